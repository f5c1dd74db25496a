# SPDX-License-Identifier: Apache-2.0
"""Tokens over HTTP: issue, show, check, revoke; and the version document (contract iam.md 5.1)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from calotype import clock
from calotype.api.identity import catalog
from calotype.api.identity.bodies import wrong
from calotype.api.identity.parts import Parts
from calotype.api.identity.token_request import (
    AssumeRequest,
    PasswordRequest,
    TokenRequest,
    read_request,
)
from calotype.errors import NotFound, Unauthenticated
from calotype.gate.request import Answer, Handler, Request, reads, waits, writes
from calotype.iam import tokens
from calotype.iam.login import Issued
from calotype.iam.login_words import AgencyWanted
from calotype.iam.snapshot import AccountSnapshot, effective_roles
from calotype.iam.tokens import TokenRecord

SUBJECT = "X-Subject-Token"
Json = dict[str, Any]


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of this chapter."""

    async def create(request: Request) -> Answer:
        issued = await _issue(parts, request)
        body = _body(parts, request, issued.record, issued.snapshot)
        return Answer(201, json=body, headers=((SUBJECT, issued.text),))

    def show(connection: Connection, request: Request) -> Answer:
        text, record = _subject(connection, request)
        holder = record.holder
        snapshot = parts.room.snapshots.get(connection, holder.account_id, holder.iam_version)
        body = _body(parts, request, record, snapshot)
        return Answer(200, json=body, headers=((SUBJECT, text),))

    return {
        "iam.versions": reads(_versions),
        "iam.token_create": waits(create),
        "iam.token_show": reads(show),
        "iam.token_check": reads(_check),
        "iam.token_revoke": writes(_revoke),
    }


def _versions(connection: Connection, request: Request) -> Answer:
    del connection
    version = {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{request.base_url}/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }
    return Answer(200, json={"version": version})


def _check(connection: Connection, request: Request) -> Answer:
    text, _ = _subject(connection, request)
    return Answer(200, headers=((SUBJECT, text),))


def _revoke(connection: Connection, request: Request) -> Answer:
    _, record = _subject(connection, request)
    tokens.revoke(connection, record.sha256)
    return Answer(204)


async def _issue(parts: Parts, request: Request) -> Issued:
    wanted = read_request(request.body)
    login = parts.room.login
    source_ip = request.caller.source_ip
    match wanted:
        case PasswordRequest():
            return await login.by_password(wanted.user, wanted.password, wanted.scope, source_ip)
        case TokenRequest():
            return await login.by_token(wanted.token, wanted.scope)
        case AssumeRequest():
            caller_token = request.headers.get("X-Auth-Token")
            if not caller_token:
                raise Unauthenticated("assume_role needs the caller's token in X-Auth-Token")
            agency = AgencyWanted(caller_token, wanted.agency_name, wanted.account)
            return await login.by_agency(agency, wanted.scope, source_ip)


def _subject(connection: Connection, request: Request) -> tuple[str, TokenRecord]:
    """Return the token that the request speaks about.

    Raises Invalid without one, NotFound when it is unknown, ended or of another account.
    """
    text = request.headers.get(SUBJECT)
    if not text:
        raise wrong(SUBJECT, "", "the header must name a token", "field_missing")
    record = tokens.find(connection, tokens.fingerprint(text))
    if record is None or record.holder.account_id != request.caller.principal.account_id:
        raise NotFound("the token is unknown, expired or of another account", kind="token")
    return text, record


def _body(parts: Parts, request: Request, record: TokenRecord, snapshot: AccountSnapshot) -> Json:
    holder = record.holder
    account = {"id": holder.account_id, "name": holder.account_name}
    expires_at = holder.password_expires_at
    user: Json = {"id": holder.id, "name": holder.name, "domain": account}
    token: Json = {
        "methods": list(record.methods),
        "issued_at": clock.to_microseconds(record.issued_at),
        "expires_at": clock.to_microseconds(record.expires_at),
        "user": user,
    }
    if not holder.is_agency:
        user["password_expires_at"] = clock.to_microseconds(expires_at) if expires_at else None
    if holder.person is not None:
        person = holder.person
        home = {"id": person.account_id, "name": person.account_name}
        token["assumed_by"] = {"user": {"id": person.id, "name": person.name, "domain": home}}
    if record.mfa_at is not None:
        token["mfa_authn_at"] = clock.to_microseconds(record.mfa_at)
    if record.project is None:
        token["domain"] = account
    else:
        token["project"] = {
            "id": record.project.id,
            "name": record.project.name,
            "domain": account,
        }
    project_id = record.project.id if record.project else None
    token["roles"] = [
        {"id": role_id, "name": name}
        for role_id, name in effective_roles(snapshot, holder.principal(), project_id)
    ]
    if not any(name == "nocatalog" for name, _ in request.query):
        token["catalog"] = catalog.catalog(request.base_url, parts.room.region)
    return {"token": token}
