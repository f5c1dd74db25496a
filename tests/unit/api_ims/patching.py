# SPDX-License-Identifier: Apache-2.0
"""Patches for tests: an active image, operations, and one call for all three steps."""

from __future__ import annotations

from typing import Any

from calotype.api.ims import patch
from calotype.images.model import Image
from tests.unit.api_ims.refusals import code_of
from tests.unit.images.making import image

EP = "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"
ACTIVE = image(name="x", status="active")
FLAGS = (
    "__support_kvm __support_xen __support_largememory __support_diskintensive"
    " __support_highperformance __support_xen_hana __support_kvm_infiniband __support_amd"
    " __support_fc_inject __support_kvm_hi1822_hisriov __support_kvm_hi1822_hivirtionet"
    " __is_config_init hw_vif_multiqueue_enabled".split()
)


def op(op: str, name: str, value: object = None) -> dict[str, Any]:
    return {"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": value})


def run(before: Image, *body: dict[str, Any], limit: int = 128) -> Image:
    patch.check_form(list(body))
    return patch.apply(before, patch.read(body), limit)


def code(before: Image, *body: dict[str, Any]) -> str:
    return code_of(run, before, *body)
