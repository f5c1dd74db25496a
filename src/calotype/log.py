# SPDX-License-Identifier: Apache-2.0
"""Structured log: one JSON object a line, with secrets removed in the one formatter.

Whatever a caller logs, tokens, signatures, passwords and the userinfo of addresses do not pass
(security contract P5).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache

_SECRET_NAMES = re.compile(
    r"(?i)(token|authorization|password|secret|cookie|signature|passcode|credential)"
)
_NAME = (
    r"(?:x-auth-token|x-subject-token|x-security-token|x-amz-[a-z-]{0,40}token|authorization"
    r"|cookie|password|passcode|secret(?:_key)?)"
)
# A name, then its value: in quotes up to the closing one, else up to a blank, or all the line for
# headers whose values have blanks.
_SECRET_TEXT = re.compile(
    rf"(?i)({_NAME}\\*[\"']?\s*(?:[:=]|,(?=\s*b?[\"']))\s*)"
    r"(?:b?\"(?:[^\"\\\n]|\\.)*\"?|b?'(?:[^'\\\n]|\\.)*'?|\\+[\"'][^\"'\\\n]*"
    r"|[^\s\"',;]+)"
)
_SECRET_LINE = re.compile(r"(?i)((?:authorization|cookie)[\"']?\s*[:=]\s*)(?!b?[\"'])[^\n]+")
# What each pattern above and below needs; most texts have none of it, and one search says so.
_SUSPECT = re.compile(r"(?i)token|authorization|password|secret|signature|cookie|passcode|x-amz-|@")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://)[^/\s@]+@")
_QUERY = re.compile(r"(?i)([?&](?:x-amz-[a-z-]+|signature|token|password)=)[^&\s\"]+")
_ENCODE = json.JSONEncoder(default=str, ensure_ascii=False).encode
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Return `text` without what looks like a secret."""
    if not _SUSPECT.search(text):
        return text
    text = _SECRET_LINE.sub(r"\1***", text)
    text = _SECRET_TEXT.sub(r"\1***", text)
    text = _USERINFO.sub(r"\1***@", text)
    return _QUERY.sub(r"\1***", text)


class JSONFormatter(logging.Formatter):
    """Render a record and its extra fields as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="microseconds")[:26] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name in _STANDARD:
                continue
            if _is_secret(name):
                line[name] = "***"
            elif value is None or isinstance(value, int | float):
                line[name] = value
            else:
                line[name] = redact(str(value))
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return _ENCODE(line)


@lru_cache(maxsize=512)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def configure(level: str) -> None:
    """Send every logger of the process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("alembic", "httpx", "dbos", "uvicorn.error"):
        logging.getLogger(noisy).setLevel("WARNING")
