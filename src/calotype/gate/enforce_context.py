# SPDX-License-Identifier: Apache-2.0
"""What conditions and resources may ask about a request (contract iam.md 2.2, 2.4).

Every key has one getter here; a key that is absent by the contract is left out. The key of the
enterprise project follows from the question and is not here.
"""

from __future__ import annotations

from calotype.gate.enforce_types import Asked, TargetImage
from calotype.iam.conditions import TAG_PREFIX
from calotype.iam.evaluate import Context
from calotype.iam.matching import Resource
from calotype.principal import Caller


def request_context(caller: Caller) -> dict[str, tuple[str, ...]]:
    """Return the keys of the request, the service's name apart."""
    principal = caller.principal
    moment = caller.arrived_at.isoformat().replace("+00:00", "Z")
    mfa_at = caller.credential.mfa_at
    context: dict[str, tuple[str, ...]] = {
        "g:currenttime": (moment,),
        "g:domainname": (principal.account_name,),
        "g:domainid": (principal.account_id,),
        "g:username": (principal.name,),
        "g:userid": (principal.id,),
        "g:mfapresent": ("false" if mfa_at is None else "true",),
        "g:sourceip": (caller.source_ip,),
    }
    if caller.project_id is not None:
        context["g:projectid"] = (caller.project_id,)
        if caller.project_name is not None:
            context["g:projectname"] = (caller.project_name,)
    if mfa_at is not None:
        age = int((caller.arrived_at - mfa_at).total_seconds())
        context["g:mfaage"] = (str(age),)
    return context


def service_context(context: Context, service: str) -> Context:
    """Return the context of a question to one service."""
    return {**context, "g:servicename": (service,)}


def image_context(context: Context, image: TargetImage, *, foreign: bool) -> Context:
    """Return the context with the keys of the addressed image; tags of a foreign one are absent."""
    extended = {
        **context,
        "ims:visibility": (image.visibility,),
        "ims:imagetype": (image.image_type,),
    }
    if not foreign:
        for key, values in image.tags.items():
            extended[TAG_PREFIX + key] = values
    return extended


def image_resource(asked: Asked, region: str, image_id: str = "") -> Resource:
    """Return the resource of an image action; without an id no single image is addressed."""
    return Resource("ims", region, asked.caller.principal.account_id, "image", image_id)


def action_resource(asked: Asked, region: str, action: str, path: str = "") -> Resource:
    """Return the resource of another service's action: its type is that of the action."""
    service, kind, _ = action.split(":")
    kind = kind.removesuffix("s") if service in {"iam", "eps", "cbr", "csbs"} else kind
    return Resource(service, region, asked.caller.principal.account_id, kind, path)
