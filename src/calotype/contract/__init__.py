# SPDX-License-Identifier: Apache-2.0
"""The promises as data: every operation and every error code, loaded into frozen values.

Nothing is read at import; `load_operations()` and `load_errors()` read the packaged files when they
are called and refuse a bad row by file and id. Source: contract operations.yaml, errors.yaml.
"""

from calotype.contract.error_table import ErrorRow, ErrorTable, Wire, load_errors
from calotype.contract.files import BadRow
from calotype.contract.loader import (
    JobType,
    ObjectRight,
    Operation,
    Requirement,
    load_operations,
)

__all__ = [
    "BadRow",
    "ErrorRow",
    "ErrorTable",
    "JobType",
    "ObjectRight",
    "Operation",
    "Requirement",
    "Wire",
    "load_errors",
    "load_operations",
]
