# SPDX-License-Identifier: Apache-2.0
"""The error table: codes of the IMS dialect, and the answer of each refusal in each dialect.

The core raises classes with a stable `rule` word; this table says which code or status a dialect
answers with. Refuses a file whose rules name unknown codes. Source: contract errors.yaml,
security.md section 2 (verdict words), jobs.md section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calotype.contract.files import BadRow, parse_table, read_table
from calotype.errors import BadImage, CalotypeError, Reason

FILE = "errors.yaml"
RAISES = frozenset({"required", "backend", "never"})
_CODE_KEYS = frozenset({"http", "http_in_path", "origin", "raise", "message", "when"})
_WIRE_KEYS = frozenset({"ims", "native", "iam", "eps"})


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One IMS code: status of a request answered with it, who raises it, default text."""

    code: str
    http: int
    http_in_path: int | None
    raised: str
    message: str
    when: str


@dataclass(frozen=True, slots=True)
class Wire:
    """How one refusal is answered: IMS code, native status, identity status, EPS code."""

    ims: str
    native: int
    iam: int
    eps: str


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Every code and every mapping, read once."""

    codes: Mapping[str, ErrorRow]
    rules: Mapping[str, Wire]
    classes: Mapping[str, Wire]
    reasons: Mapping[str, Wire]
    job_reasons: Mapping[str, str]

    def wire(self, error: CalotypeError) -> Wire:
        """Return the answer of `error`: by its verdict word, else its rule, else its class."""
        if isinstance(error, BadImage):
            return self.reasons[error.reason.value]
        if error.rule in self.rules:
            return self.rules[error.rule]
        for kind in type(error).__mro__:
            if kind.__name__ in self.classes:
                return self.classes[kind.__name__]
        return self.classes["CalotypeError"]

    def status(self, code: str, *, in_path: bool = False) -> int:
        """Return the HTTP status of an IMS code; `in_path`: the path names the missing thing."""
        row = self.codes[code]
        return row.http_in_path if in_path and row.http_in_path is not None else row.http

    def job_code(self, word: str) -> str:
        """Return the code of a job that failed for `word`, a verdict word or one of jobs.md."""
        if word in self.job_reasons:
            return self.job_reasons[word]
        return self.reasons[word].ims


def load_errors() -> ErrorTable:
    """Return the table. Raises BadRow naming the code, rule or word."""
    return build_errors(read_table(FILE))


def parse_errors(text: str) -> ErrorTable:
    """Return the table that `text` holds. Raises BadRow."""
    return build_errors(parse_table(FILE, text))


def build_errors(raw: Mapping[str, Any]) -> ErrorTable:
    """Return `raw` as a table. Raises BadRow."""
    wanted = {"version", "codes", "classes", "rules", "reasons", "job_reasons"}
    if set(raw) != wanted or raw["version"] != 1:
        raise BadRow(FILE, "file", f"needs version 1 and exactly {sorted(wanted)}")
    codes = {code: _code(code, row) for code, row in raw["codes"].items()}
    classes = {name: _wire(name, row, codes) for name, row in raw["classes"].items()}
    rules = {name: _wire(name, row, codes) for name, row in raw["rules"].items()}
    if "CalotypeError" not in classes:
        raise BadRow(FILE, "classes", "lacks CalotypeError")
    reasons: dict[str, Wire] = {}
    for word, row in raw["reasons"].items():
        full = {**row, "iam": 400, "eps": "EPS.0002"}
        reasons[word] = _wire(word, full, codes)
    if set(reasons) != {reason.value for reason in Reason}:
        raise BadRow(FILE, "reasons", "are not the verdict words of the program")
    for word, code in raw["job_reasons"].items():
        if code not in codes:
            raise BadRow(FILE, word, f"{code} is no code")
    return ErrorTable(codes, rules, classes, reasons, dict(raw["job_reasons"]))


def _code(code: str, row: Mapping[str, Any]) -> ErrorRow:
    if set(row) - _CODE_KEYS or not {"http", "raise", "message", "when"} <= set(row):
        raise BadRow(FILE, code, f"keys {sorted(row)} are not those of a code")
    if row["raise"] not in RAISES:
        raise BadRow(FILE, code, f"raise is {row['raise']!r}, allowed: {sorted(RAISES)}")
    if row.get("origin") == "local" and code[-3:] != str(row["http"]):
        raise BadRow(FILE, code, "a local code ends in its status")
    return ErrorRow(
        code, int(row["http"]), row.get("http_in_path"), row["raise"], row["message"], row["when"]
    )


def _wire(name: str, row: Mapping[str, Any], codes: Mapping[str, ErrorRow]) -> Wire:
    if set(row) != _WIRE_KEYS:
        raise BadRow(FILE, name, f"keys {sorted(row)}, needed: {sorted(_WIRE_KEYS)}")
    if row["ims"] not in codes:
        raise BadRow(FILE, name, f"{row['ims']} is no code")
    return Wire(row["ims"], int(row["native"]), int(row["iam"]), str(row["eps"]))
