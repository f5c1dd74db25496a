# SPDX-License-Identifier: Apache-2.0
"""Every handler of this dialect, by the id of its row."""

from __future__ import annotations

from calotype.api.ims import exports, images, imports, jobs, members, os_versions, quotas, tags
from calotype.flows.core import Core
from calotype.gate.request import Handler


def handlers(core: Core) -> dict[str, Handler]:
    """Return the handlers of all chapters."""
    found: dict[str, Handler] = {}
    for chapter in (images, imports, exports, jobs, os_versions, quotas, tags, members):
        found |= chapter.handlers(core)
    return found
