# SPDX-License-Identifier: Apache-2.0
"""The identity dialects: Keystone v3 subset, vendor IAM, enterprise projects, accounts.

Translates between the wire and `iam/`; the forms are those of contract iam.md 5.1 and 6.
"""

from calotype.api.identity.errors import renderer
from calotype.api.identity.handlers import handlers

__all__ = ["handlers", "renderer"]
