# SPDX-License-Identifier: Apache-2.0
"""How a call to the service can fail, for the command line to tell.

Apart from `session.py`, so that commands which never call the service do not load the HTTP client.
"""

from __future__ import annotations


class Refused(Exception):
    """The service refused. `status` is HTTP's, `code` the dialect's, may be empty."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class NoService(Exception):
    """Nothing answers at the address, or the login failed."""
