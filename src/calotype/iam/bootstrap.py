# SPDX-License-Identifier: Apache-2.0
"""First start: the first account, its root user, one access key, the operator token, two files.

Runs at every start and does nothing when it is done. Killed at any moment it loses nothing: the
secrets are in a synced draft before the transaction commits, and a later start gives the draft its
name when its operator token is the one in the database (contract iam.md 6.5, architecture 3).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from calotype.db.session import Database
from calotype.errors import Conflict, Invalid
from calotype.iam import access_keys, accounts, credentials_file, names, new_account, tokens
from calotype.iam.credentials_file import Credentials
from calotype.iam.new_account import MadeAccount, WantedAccount
from calotype.iam.room import IamRoom

ACCOUNT = "calotype"
ROOT = "admin"


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What the first start is made from.

    `base_url` is the address clients use, without a path. `also` runs in the same transaction, for
    what other rooms need to begin with (the bucket's row).
    """

    directory: Path
    base_url: str
    bucket: str
    password: str = ""  # empty: a random one
    also: Callable[[Connection, MadeAccount], None] | None = None


def first_start(database: Database, room: IamRoom, wanted: FirstStart) -> bool:
    """Make what is missing; tell whether the database was empty. Safe to run at every start.

    Raises Invalid for a password that is not allowed.
    """
    made = None
    if database.read(accounts.first) is None:
        made = _make(database, room, wanted)
    _recover(database, wanted.directory)
    return made is not None


def refresh_endpoints(directory: Path, base_url: str) -> bool:
    """Write the address of this start into both files; tell whether the files are there."""
    known = credentials_file.read(directory)
    if known is None:
        return False
    credentials_file.replace(
        directory, replace(known, auth_url=f"{base_url}/v3", image_endpoint=base_url)
    )
    return True


def renew_operator_token(database: Database, directory: Path) -> str:
    """Replace the operator token, in the file too where there is one; return the new one.

    The draft makes it safe against an end between commit and file, as at the first start.
    """
    token = tokens.new_operator_token()
    known = credentials_file.read(directory)
    if known is None:
        database.write(lambda connection: tokens.set_operator(connection, token))
        return token
    renewed = replace(known, operator_token=token)
    draft = credentials_file.write_draft(directory, renewed)
    database.write(lambda connection: tokens.set_operator(connection, token))
    credentials_file.replace(directory, renewed)
    draft.unlink(missing_ok=True)
    return token


def _make(database: Database, room: IamRoom, wanted: FirstStart) -> Credentials | None:
    password = wanted.password or secrets.token_urlsafe(18)
    try:
        names.password(password, "admin_password", ROOT)
    except Invalid as refusal:
        raise Invalid(
            f"CALOTYPE_ADMIN_PASSWORD is not allowed: {refusal.message}", rule=refusal.rule
        ) from None
    account = WantedAccount(
        name=ACCOUNT,
        root_name=ROOT,
        password_hash=room.passwords.hash_now(password),
        region=room.region,
        is_first=True,
    )

    def work(connection: Connection) -> Credentials | None:
        if accounts.first(connection) is not None:
            return None  # another process was faster
        made = new_account.create(connection, account)
        credentials = _credentials(made, wanted, room, password)
        pair = (credentials.access_key, credentials.secret_key)
        access_keys.insert_row(
            connection, room.keys, made.account.id, made.root.id, pair, "first start"
        )
        tokens.set_operator(connection, credentials.operator_token)
        if wanted.also is not None:
            wanted.also(connection, made)
        credentials_file.write_draft(wanted.directory, credentials)
        return credentials

    try:
        return database.write(work)
    except Conflict:
        return None  # on PostgreSQL another machine may be faster up to this point


def _credentials(
    made: MadeAccount, wanted: FirstStart, room: IamRoom, password: str
) -> Credentials:
    return Credentials(
        auth_url=f"{wanted.base_url}/v3",
        username=made.root.name,
        password=password,
        domain_name=made.account.name,
        domain_id=made.account.id,
        project_name=made.project.name,
        project_id=made.project.id,
        region=room.region,
        access_key=access_keys.new_access(),
        secret_key=access_keys.new_secret(),
        image_endpoint=wanted.base_url,
        bucket=wanted.bucket,
        operator_token=tokens.new_operator_token(),
    )


def _recover(database: Database, directory: Path) -> None:
    """Give the draft that belongs to the database its name; remove those that belong to nothing."""
    found = list(credentials_file.drafts(directory))
    if not found:
        return
    current = database.read(tokens.operator_fingerprint)
    for draft, credentials in found:
        if credentials is not None and current is not None:
            fingerprint = tokens.fingerprint(credentials.operator_token)
            if hmac.compare_digest(fingerprint, current):
                credentials_file.publish(draft, credentials)
                continue
        draft.unlink(missing_ok=True)
