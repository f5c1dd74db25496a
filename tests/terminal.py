# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a terminal of its own, as a person would see it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence


def run_in_terminal(
    command: Sequence[str], environment: Mapping[str, str], columns: int = 80
) -> tuple[int, str]:
    """Run `command` with a terminal of that width; return its exit status and what it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:
        pass  # Linux says EIO when the last writer has gone
    finally:
        os.close(ours)
    return process.wait(timeout=60), shown.decode(errors="replace")
