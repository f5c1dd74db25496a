# SPDX-License-Identifier: Apache-2.0
"""Reads the Authorization header of a signed request, and words the refusals of signatures.

Owns: whether a request carries a signature at all, the form of its three members, and the texts
that tell the client why (contract iam.md 5.2). Refuses with Unauthenticated, rule `signature`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from calotype.errors import Unauthenticated
from calotype.gate.signature_canonical import ALGORITHM

WHY_MISMATCH = "verify aksk signature fail"
WHY_DATE = "x-sdk-date expired"
WHY_SCOPE = "credential scope invalid"
WHY_TOKEN = "security token invalid"  # noqa: S105 - a text of the contract, not a secret
WHY_REPLAY = "signature already used"
WHY_LOCKED = "AK access failed to reach the limit,forbidden"
WHY_ALGORITHM = "unsupported algorithm"

_ACCESS = re.compile(rb"[!-+\--~]{1,128}")  # visible ASCII without the comma
_SIGNATURE = re.compile(rb"[0-9a-f]{64}")
_OTHER_ALGORITHMS = (b"SDK-", b"V11-HMAC-")


def refusal(why: str) -> Unauthenticated:
    """Return the error that tells a signing client `why`."""
    message = f"Incorrect IAM authentication information: {why}"
    return Unauthenticated(message, rule="signature", why=why)


@dataclass(frozen=True, slots=True)
class SignatureHeader:
    """A readable Authorization header. `scope` is None in form A (`Access=`)."""

    access: str
    scope: bytes | None
    signed_list: bytes  # as given
    signed_names: tuple[bytes, ...]  # in the order given, lower case
    signature: bytes  # 64 lower-case hex digits


def parse_authorization(headers: Sequence[tuple[bytes, bytes]]) -> SignatureHeader | None:
    """Return the signature header of a request, or None if it does not carry a signature.

    A signature that cannot be read, or of another algorithm, counts as absent beside an
    X-Auth-Token; without one it raises Unauthenticated.
    """
    authorization: list[bytes] = []
    has_token = False
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"authorization":
            authorization.append(value)
        elif lowered == b"x-auth-token":
            has_token = has_token or bool(value.strip())
    text = b", ".join(authorization).strip()
    if text.startswith(ALGORITHM):
        header = _read_members(text[len(ALGORITHM) :])
        if header is None and not has_token:
            raise refusal(WHY_MISMATCH)
        return header
    if text.startswith(_OTHER_ALGORITHMS) and not has_token:
        raise refusal(WHY_ALGORITHM)
    return None


def _read_members(text: bytes) -> SignatureHeader | None:
    if text[:1] not in (b" ", b"\t"):
        return None
    members: dict[bytes, bytes] = {}
    pieces = text.split(b",")
    for piece in pieces:
        name, _, value = piece.strip(b" \t").partition(b"=")
        members[name] = value
    if len(pieces) != 3 or len(members) != 3:
        return None
    signed_list = members.get(b"SignedHeaders")
    signature = members.get(b"Signature", b"")
    access, scope = members.get(b"Access"), None
    if access is None:
        access, _, scope = members.get(b"Credential", b"").partition(b"/")
    if not signed_list or not _SIGNATURE.fullmatch(signature) or not _ACCESS.fullmatch(access):
        return None
    names = tuple(signed_list.lower().split(b";"))
    return SignatureHeader(access.decode("ascii"), scope, signed_list, names, signature)
