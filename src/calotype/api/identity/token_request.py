# SPDX-License-Identifier: Apache-2.0
"""The body of `POST /v3/auth/tokens`, read into what a login names (contract iam.md 5.1).

One method of `password`, `token`, `assume_role`; a scope to a project, a domain or none. What is
malformed is refused with its field; whether it names anything is the login's to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from calotype.api.identity.bodies import Body, read, wrong
from calotype.errors import Invalid, NotAllowed
from calotype.iam.login_words import AccountRef, Scope, UserRef

Part = TypeVar("Part")
METHODS = ("password", "token", "assume_role")


class _Domain(Body):
    id: str | None = None
    name: str | None = None


class _User(Body):
    id: str | None = None
    name: str | None = None
    password: str
    domain: _Domain | None = None


class _Password(Body):
    user: _User


class _Token(Body):
    id: str


class _AssumeRole(Body):
    agency_name: str | None = None
    xrole_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


class _Identity(Body):
    methods: list[str]
    password: _Password | None = None
    token: _Token | None = None
    assume_role: _AssumeRole | None = None


class _Project(Body):
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None


class _Scope(Body):
    project: _Project | None = None
    domain: _Domain | None = None
    system: dict[str, object] | None = None


class _Auth(Body):
    identity: _Identity
    scope: object = None


class _Request(Body):
    auth: _Auth


class _ScopedAuth(Body):
    scope: _Scope


class _ScopedRequest(Body):
    auth: _ScopedAuth


@dataclass(frozen=True, slots=True)
class PasswordRequest:
    """Log in by password."""

    user: UserRef
    password: str = field(repr=False)
    scope: Scope


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Log in by another token."""

    token: str = field(repr=False)
    scope: Scope


@dataclass(frozen=True, slots=True)
class AssumeRequest:
    """Act as an agency."""

    agency_name: str
    account: AccountRef
    scope: Scope


TokenWanted = PasswordRequest | TokenRequest | AssumeRequest


def read_request(body: object) -> TokenWanted:
    """Return what is wanted. Raises Invalid; NotAllowed for a scope to the whole system."""
    auth = read(_Request, body).auth
    identity = auth.identity
    method = _method(identity.methods)
    scope = _scope(auth.scope, body)
    if method == "password":
        given = _given(identity.password, "auth.identity.password").user
        return PasswordRequest(_user(given), given.password, scope)
    if method == "token":
        return TokenRequest(_given(identity.token, "auth.identity.token").id, scope)
    wanted = _given(identity.assume_role, "auth.identity.assume_role")
    name = wanted.agency_name or wanted.xrole_name
    account = AccountRef(wanted.domain_id or None, wanted.domain_name or None)
    if not name:
        raise _missing("auth.identity.assume_role.agency_name")
    if account == AccountRef():
        raise _missing("auth.identity.assume_role.domain_name")
    return AssumeRequest(name, account, scope)


def _method(methods: list[str]) -> str:
    if "totp" in methods:
        raise wrong(
            "auth.identity.methods", methods, "one-time passcodes are not offered; log in without"
        )
    if len(methods) != 1 or methods[0] not in METHODS:
        raise wrong("auth.identity.methods", methods, f"it must be one of: {', '.join(METHODS)}")
    return methods[0]


def _user(given: _User) -> UserRef:
    account = _account(given.domain)
    if given.id:
        return UserRef(given.id, None, account)
    if not given.name:
        raise _missing("auth.identity.password.user.name")
    if account == AccountRef():
        raise _missing("auth.identity.password.user.domain")
    return UserRef(None, given.name, account)


def _scope(raw: object, body: object) -> Scope:
    if raw is None or raw == "unscoped":
        return Scope()
    if isinstance(raw, str):
        raise wrong("auth.scope", raw, "allowed: unscoped, or an object")
    given = read(_ScopedRequest, body).auth.scope
    if given.system is not None:
        raise NotAllowed("nobody gets a token for the whole system", rule="not_allowed")
    project = given.project
    if project is not None:
        if not project.id and not project.name:
            raise _missing("auth.scope.project.id")
        name = None if project.id else project.name
        return Scope(project.id or None, name, _account(project.domain))
    if given.domain is not None and _account(given.domain) == AccountRef():
        raise _missing("auth.scope.domain.id")
    return Scope(account=_account(given.domain))


def _account(domain: _Domain | None) -> AccountRef:
    return AccountRef() if domain is None else AccountRef(domain.id or None, domain.name or None)


def _given(part: Part | None, field_name: str) -> Part:
    if part is None:
        raise _missing(field_name)
    return part


def _missing(field_name: str) -> Invalid:
    return Invalid(f"{field_name}: it must be given", rule="field_missing", field=field_name)
