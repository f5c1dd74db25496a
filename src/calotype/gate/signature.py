# SPDX-License-Identifier: Apache-2.0
"""Verifies requests signed with an access key, algorithm SDK-HMAC-SHA256 (contract iam.md 5.2).

Owns the checks, in the order of the contract, with the lock and the replay rule. Promises: no
database, no framework, constant-time comparison, every refusal with the `why` of the contract.
A verification has two halves, because the hash of an upload is known only when its last byte is in:
`Verifier.begin` and `PendingSignature.finish`. Refuses with Unauthenticated (rule `signature`),
NotAllowed (`foreign_project`, `foreign_domain`) and Invalid (`query_escape`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from calotype import clock
from calotype.errors import Unauthenticated
from calotype.gate import signature_canonical as canonical
from calotype.gate.signature_canonical import EMPTY_SHA256, CanonicalRequest, HeaderLines, Pairs
from calotype.gate.signature_header import (
    WHY_DATE,
    WHY_LOCKED,
    WHY_MISMATCH,
    WHY_REPLAY,
    WHY_SCOPE,
    WHY_TOKEN,
    SignatureHeader,
    parse_authorization,
    refusal,
)
from calotype.gate.signature_limits import KeyLocks, ReplayCache
from calotype.gate.signature_scope import (
    KeyRecord,
    ProjectAccount,
    Scope,
    SignedRequest,
    read_scope,
)

__all__ = [
    "EMPTY_SHA256",
    "KeyLocks",
    "KeyRecord",
    "PendingSignature",
    "ReplayCache",
    "SignatureHeader",
    "SignedRequest",
    "Verifier",
    "parse_authorization",
]

CLOCK_WINDOW = timedelta(seconds=900)
# A replay that begins inside the window may end long after it, when its body is slow.
REPLAY_MEMORY = CLOCK_WINDOW + timedelta(days=1)
TERMINATOR = b"sdk_request"
UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"

_DATE = re.compile(rb"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LISTED_WHEN_STRICT = (b"x-project-id", b"x-domain-id", b"x-security-token")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the signature has to prove; made in `begin`, used up in `finish`."""

    header: SignatureHeader
    key: KeyRecord
    date: bytes
    canonical: CanonicalRequest
    pairs: Pairs
    declared: bytes | None  # the value of X-Sdk-Content-Sha256

    def fits(self, payload_hash: bytes) -> bool:
        """Tell whether the signature fits the ordinary reading with this payload hash."""
        return self._compare(self.canonical.text(payload_hash))

    def fits_query_as_body(self) -> bool:
        """Tell whether it fits the reading that form C uses for a POST without a body."""
        digest = hashlib.sha256(canonical.query_as_form(self.pairs)).hexdigest().encode()
        moved = CanonicalRequest(self.canonical.start, b"", self.canonical.rest)
        return self._compare(moved.text(digest))

    def _compare(self, text: bytes) -> bool:
        scope = self.header.scope
        to_sign = canonical.string_to_sign(self.date, scope, text)
        key = canonical.signing_key(self.key.secret, scope)
        expected = hmac.digest(key, to_sign, "sha256").hex().encode()
        return hmac.compare_digest(expected, self.header.signature)


class Verifier:
    """Verifies signatures under one configuration; one instance serves all requests.

    `strict` and `replay` are the settings `auth.signature_strict` and `auth.replay_cache` (None is
    off); `now` gives aware datetimes.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        replay: ReplayCache | None = None,
        locks: KeyLocks | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.strict = strict
        self.replay = replay
        self.locks = locks if locks is not None else KeyLocks()
        self.now = now

    def begin(
        self,
        request: SignedRequest,
        header: SignatureHeader,
        key: KeyRecord | None,
        project_account: ProjectAccount,
    ) -> PendingSignature:
        """Make every check that needs no body, in the order of the contract.

        `key` is what is stored under `header.access`. `project_account` returns the account of an
        enabled project, None for any other; it is called at most once, and not after this
        returns. If the result says `needs_body`, nothing is proven before its `finish` returns;
        otherwise all is done.
        Raises Unauthenticated, NotAllowed or Invalid.
        """
        lines = canonical.group_headers(request.headers)
        now = self.now()
        date = canonical.single_value(lines, b"x-sdk-date") or b""
        signed_at = _read_date(date)
        if signed_at is None or abs(now - signed_at) > CLOCK_WINDOW:
            raise refusal(WHY_DATE)
        if key is None or not key.active or (key.expires_at is not None and key.expires_at <= now):
            raise refusal(f"Get secretKey failed,ak:{header.access},err:ak not exist")
        elsewhere = key.locked_until is not None and now < key.locked_until
        if elsewhere or self.locks.is_locked(header.access):
            raise refusal(WHY_LOCKED)
        if header.scope is not None:
            _check_scope(header.scope, date)
        self._check_listed(header, lines)
        _check_security_token(key, canonical.single_value(lines, b"x-security-token"))
        claim = _make_claim(request, header, key, date, lines)
        if claim is None:
            self.locks.failed(header.access)
            raise refusal(WHY_MISMATCH)
        scope = read_scope(request, key, lines, project_account)
        pending = PendingSignature(self, claim, scope, request.method.upper(), signed_at)
        pending.check_without_body()
        return pending

    def _check_listed(self, header: SignatureHeader, lines: HeaderLines) -> None:
        required = [b"x-sdk-date"]
        if b"x-sdk-content-sha256" in lines:
            required.append(b"x-sdk-content-sha256")
        if self.strict:
            required.append(b"host")
            required.extend(name for name in _LISTED_WHEN_STRICT if name in lines)
        for name in required:
            if name not in header.signed_names:
                raise refusal(f"unsigned_header:{name.decode()}")


class PendingSignature:
    """A signature of which everything but the body is checked.

    `project_id` (None: the account has no usable one) and `domain_id` are what the request acts
    in. While `needs_body` is true they are claims: `require_scope` checks them early, for a caller
    that stores an upload before the signature is proven.
    """

    def __init__(
        self,
        verifier: Verifier,
        claim: _Claim,
        scope: Scope,
        method: str,
        signed_at: datetime,
    ) -> None:
        self._verifier = verifier
        self._claim = claim
        self._scope = scope
        self._method = method
        self._signed_at = signed_at
        self.key = claim.key
        self.project_id = scope.project_id
        self.domain_id = scope.domain_id
        self.needs_body = True

    def check_without_body(self) -> None:
        """Prove or refuse what a declared payload hash allows to decide; `begin` calls it."""
        claim = self._claim
        if claim.declared is None:
            return
        if claim.fits(claim.declared):
            if claim.declared == UNSIGNED_PAYLOAD:
                self._accept(all_values_covered=False)
        elif claim.declared != UNSIGNED_PAYLOAD or not claim.fits(EMPTY_SHA256.encode()):
            raise self._mismatch()

    def finish(self, body_sha256_hex: str, body_empty: bool) -> None:
        """Prove the signature with the SHA-256 (64 lower-case hex digits) of all body bytes.

        Does nothing if `needs_body` is false. Raises Unauthenticated, or NotAllowed for a project
        or domain of somebody else.
        """
        if not self.needs_body:
            return
        claim = self._claim
        if claim.declared is not None:
            # The signature over the declared value is proven; only the body may still contradict.
            # UNSIGNED-PAYLOAD comes here only when the hash of the empty body was signed instead.
            real = body_sha256_hex.encode()
            unsigned = claim.declared == UNSIGNED_PAYLOAD
            if not (body_empty if unsigned else hmac.compare_digest(claim.declared, real)):
                raise self._mismatch()
            self._accept(all_values_covered=False)
        elif claim.fits(body_sha256_hex.encode()):
            self._accept(all_values_covered=False)
        elif self._may_sign_query_as_body(body_empty) and claim.fits_query_as_body():
            self._accept(all_values_covered=True)
        else:
            raise self._mismatch()

    @property
    def is_own(self) -> bool:
        """Tell whether project and domain are of the key's account."""
        return self._scope.foreign is None

    def require_scope(self) -> None:
        """Raise NotAllowed if the project or the domain is not of the key's account."""
        self._scope.require()

    def _may_sign_query_as_body(self, body_empty: bool) -> bool:
        return body_empty and self._method == "POST" and self._claim.header.scope is not None

    def _mismatch(self) -> Unauthenticated:
        self._verifier.locks.failed(self.key.access)
        return refusal(WHY_MISMATCH)

    def _accept(self, *, all_values_covered: bool) -> None:
        verifier, claim = self._verifier, self._claim
        verifier.locks.verified(self.key.access)
        if verifier.strict and claim.header.scope is not None and not all_values_covered:
            name = canonical.repeated_name(claim.pairs)
            if name is not None:
                raise refusal(f"unsigned_query:{name.decode('utf-8', 'replace')}")
        if verifier.replay is not None and self._method in _WRITES:
            until = (self._signed_at + REPLAY_MEMORY).timestamp()
            now = verifier.now().timestamp()
            if not verifier.replay.first_use(claim.header.signature, now=now, until=until):
                raise refusal(WHY_REPLAY)
        self._scope.require()
        self.needs_body = False


def _read_date(value: bytes) -> datetime | None:
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _check_scope(scope: bytes, date: bytes) -> None:
    parts = scope.split(b"/")
    if len(parts) != 4 or parts[0] != date[:8] or parts[3] != TERMINATOR:
        raise refusal(WHY_SCOPE)


def _check_security_token(key: KeyRecord, token: bytes | None) -> None:
    expected = key.security_token_sha256
    if token is None and expected is None:
        return
    if token is None or expected is None:
        raise refusal(WHY_TOKEN)
    if not hmac.compare_digest(hashlib.sha256(token).hexdigest(), expected):
        raise refusal(WHY_TOKEN)


def _make_claim(
    request: SignedRequest,
    header: SignatureHeader,
    key: KeyRecord,
    date: bytes,
    lines: HeaderLines,
) -> _Claim | None:
    """Return what is to be proven, or None if no signature can fit. Raises Invalid."""
    pairs = canonical.read_query(request.query)
    names = header.signed_names
    if len(set(names)) != len(names) or not all(name in lines for name in names):
        return None
    if header.scope is None:
        query = canonical.query_of_all_values(pairs)
        block = canonical.headers_of_all_lines(names, lines)
    elif b";" in request.query:
        return None
    else:
        query = canonical.query_of_first_values(pairs)
        block = canonical.headers_of_first_lines(names, lines)
    start = request.method.upper().encode() + b"\n" + canonical.canonical_uri(request.raw_path)
    rest = b"\n" + block + b"\n" + header.signed_list + b"\n"
    text = CanonicalRequest(start + b"\n", query, rest)
    return _Claim(
        header, key, date, text, pairs, canonical.single_value(lines, b"x-sdk-content-sha256")
    )
