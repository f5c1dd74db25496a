# SPDX-License-Identifier: Apache-2.0
"""The IMS dialect: JSON with `IMG.` codes over the same core (contract ims.md)."""

from calotype.api.ims.errors import renderer
from calotype.api.ims.handlers import handlers

__all__ = ["handlers", "renderer"]
