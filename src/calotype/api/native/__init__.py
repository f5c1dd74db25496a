# SPDX-License-Identifier: Apache-2.0
"""The native dialect: the OpenStack Image API over the same core (contract native.md)."""

from __future__ import annotations

from calotype.api.native import actions, data, images, info, members, schemas, tags, v1, versions
from calotype.api.native.errors import renderer
from calotype.flows.core import Core
from calotype.gate.request import Handler

__all__ = ["handlers", "renderer"]


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handler of every native operation that is served."""
    return {
        **versions.handlers(core),
        **images.handlers(core),
        **data.handlers(core),
        **actions.handlers(),
        **members.handlers(core),
        **tags.handlers(core),
        **info.handlers(core),
        **schemas.handlers(),
        **v1.handlers(core),
    }
