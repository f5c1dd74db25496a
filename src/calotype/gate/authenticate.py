# SPDX-License-Identifier: Apache-2.0
"""From the headers of a request to its caller: a token, or an access key with its signature.

A readable signature wins over a token; neither is Unauthenticated. Identity headers from outside
are not looked at. What a signature covers but has not come yet (the body) stays pending in the
Identity, and nothing is proven before its `finish` returned; until then nothing is told about the
projects of a key either (contract iam.md 4.1, 5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from calotype import ids
from calotype.errors import NotAllowed, Unauthenticated
from calotype.gate.incoming import Incoming
from calotype.gate.signature import (
    KeyRecord,
    PendingSignature,
    SignedRequest,
    Verifier,
    parse_authorization,
)
from calotype.iam import authentication
from calotype.iam.access_keys import Wrapper
from calotype.iam.authentication import Identified
from calotype.iam.snapshot import Snapshots
from calotype.principal import Caller, Credential, Principal, PrincipalType


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `known` is None for an open row."""

    caller: Caller
    known: Identified | None
    pending: PendingSignature | None = None
    token: str | None = None  # as presented; for the identity calls that speak about it

    @property
    def needs_body(self) -> bool:
        """Whether the signature covers a body that has to be hashed."""
        return self.pending is not None and self.pending.needs_body

    def finish(self, body_sha256: str, empty: bool) -> None:
        """Prove a pending signature. Raises Unauthenticated, NotAllowed."""
        if self.pending is not None:
            self.pending.finish(body_sha256, empty)

    def require_scope(self) -> None:
        """Refuse foreign and suspended projects. Raises NotAllowed."""
        if self.pending is not None:
            self.pending.require_scope()
        known = self.known
        if known is not None and known.project is not None and not known.project.enabled:
            raise NotAllowed(
                f"the project {known.project.id} is suspended",
                rule="project_suspended",
                reason="project_suspended",
            )


class Authenticator:
    """Identifies callers; one instance serves all requests."""

    def __init__(self, snapshots: Snapshots, wrapper: Wrapper, verifier: Verifier) -> None:
        self._snapshots = snapshots
        self._wrapper = wrapper
        self._verifier = verifier

    def anonymous(self, incoming: Incoming, source_ip: str) -> Identity:
        """Return the caller of an open row."""
        nobody = Principal(PrincipalType.ANONYMOUS, "", "", "", "")
        caller = _caller(nobody, Credential("none"), None, incoming, source_ip)
        return Identity(caller, None, token=incoming.headers.get("x-auth-token"))

    def identify(
        self,
        connection: Connection,
        incoming: Incoming,
        source_ip: str,
        params: Mapping[str, str],
        learn: Callable[[Caller], None],
    ) -> Identity:
        """Return who asks; `learn` is told as soon as it is known, proven or not.

        Raises Unauthenticated, NotAllowed (foreign project or domain of a proven caller).
        """
        header = parse_authorization(incoming.headers.raw)
        if header is None:
            identity = self._by_token(connection, incoming, source_ip)
            learn(identity.caller)
            return identity
        found = authentication.by_key(connection, header.access, self._snapshots, self._wrapper)
        record = None
        if found is not None:
            default = found[1].snapshot.default_project
            record = KeyRecord(
                access=found[0].access,
                secret=found[0].secret,
                account_id=found[1].snapshot.account.id,
                default_project_id=default.id if default and default.enabled else None,
                security_token_sha256=found[0].security_token,
                expires_at=found[0].expires_at,
            )
        enabled: dict[str, str] = {}
        if found is not None:
            learn(_of(found[1], incoming, source_ip))
            snapshot = found[1].snapshot
            enabled = {
                one.id: snapshot.account.id for one in snapshot.projects.values() if one.enabled
            }
        signed = SignedRequest(
            method=incoming.method,
            raw_path=incoming.raw_path,
            query=incoming.query_string,
            headers=incoming.headers.raw,
            path_project=params.get("project_id"),
        )
        pending = self._verifier.begin(signed, header, record, enabled.get)
        assert found is not None
        known = found[1]
        if pending.is_own:  # else `require_scope` refuses, once the signature is proven
            known = authentication.in_project(known, pending.project_id)
        identity = Identity(_of(known, incoming, source_ip), known, pending)
        learn(identity.caller)
        return identity

    def _by_token(self, connection: Connection, incoming: Incoming, source_ip: str) -> Identity:
        token = incoming.headers.get("x-auth-token")
        if not token:
            raise Unauthenticated("the request carries neither a token nor a signature")
        asked = incoming.headers.get("x-project-id")
        # What is no id names no project either, which is refused rather than passed over.
        project_id = (ids.project_id(asked) or asked) if asked else None
        known = authentication.by_token(connection, token, self._snapshots, project_id)
        if known is None:
            raise Unauthenticated("the token is unknown, has expired or was revoked")
        return Identity(_of(known, incoming, source_ip), known, token=token)


def _of(known: Identified, incoming: Incoming, source_ip: str) -> Caller:
    return _caller(known.principal, known.credential, known, incoming, source_ip)


def _caller(
    principal: Principal,
    credential: Credential,
    known: Identified | None,
    incoming: Incoming,
    source_ip: str,
) -> Caller:
    project = known.project if known else None
    return Caller(
        principal=principal,
        credential=credential,
        project_id=project.id if project else None,
        project_name=project.name if project else None,
        eps_enabled=known.eps_enabled if known else False,
        source_ip=source_ip,
        user_agent=incoming.user_agent,
        request_id=incoming.request_id,
        arrived_at=incoming.arrived_at,
    )
