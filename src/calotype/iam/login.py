# SPDX-License-Identifier: Apache-2.0
"""Logging in: by password, by another token, by assuming an agency (contract iam.md 5.1, 4.8).

A wrong name, a wrong password, a disabled user and a locked one get one text and cost one hash.
The user is read again when the token is stored, so a password changed or a user disabled while the
hash was computed yields no token. A token is scoped once, to an enabled project or to the account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from calotype import clock, ids
from calotype.db.session import Database
from calotype.errors import NotAllowed, NotFound, Unauthenticated
from calotype.iam import agencies, lockout, names, projects, tokens, users
from calotype.iam.agencies import Agency, LoginAgency
from calotype.iam.assume import ASSUME, Candidate, Outcome, may_assume
from calotype.iam.assume import Agency as AskedAgency
from calotype.iam.evaluate import Context
from calotype.iam.lockout import SourceRate
from calotype.iam.login_words import AgencyWanted, Scope, UserRef
from calotype.iam.passwords import Passwords
from calotype.iam.projects import Project
from calotype.iam.snapshot import AccountSnapshot, Snapshots, applicable
from calotype.iam.tokens import NewToken, TokenRecord
from calotype.iam.users import LoginUser

REFUSED = "the user name, the password or the account is wrong, or the user may not log in"


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token: its text, its record, and the account it acts in."""

    text: str = field(repr=False)
    record: TokenRecord
    snapshot: AccountSnapshot


class Login:
    """Issues tokens; one instance serves the process."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        snapshots: Snapshots,
        *,
        region: str,
        hours: int,
        rate: SourceRate | None = None,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._snapshots = snapshots
        self._region = region
        self._life = timedelta(hours=hours)
        self._rate = rate or SourceRate()

    async def confirm(self, user: UserRef, password: str, source_ip: str) -> LoginUser:
        """Return the user whose password this is, and count the attempt.

        Raises Unauthenticated; Unavailable with rule `rate_limit` for a source that keeps failing,
        `busy` when too many log in at once.
        """
        source = lockout.network(source_ip)
        self._rate.require(source)
        found, locked = await self._database.run_read(lambda c: _look_up(c, user, source))
        stored = found.user.password_hash if found is not None else None
        fits = await self._passwords.verify(password, stored)
        if found is None or not fits or locked or not _may_log_in(found):
            self._rate.failed(source)
            user_id = found.user.id if found is not None else None
            await self._database.run_write(lambda c: lockout.record_failure(c, user_id, source))
            raise Unauthenticated(REFUSED)
        return found

    async def by_password(
        self, user: UserRef, password: str, scope: Scope, source_ip: str
    ) -> Issued:
        """Issue a token for a password. Raises as `confirm`."""
        verified = await self.confirm(user, password, source_ip)
        source = lockout.network(source_ip)
        return await self._database.run_write(lambda c: self._accept(c, verified, scope, source))

    async def change_password(
        self,
        user: UserRef,
        original: str,
        password: str,
        source_ip: str,
        also: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """Set a user's own new password, which ends all its tokens. Raises as `confirm`, and
        Invalid for a password that is not allowed. `also` joins the transaction."""
        verified = await self.confirm(user, original, source_ip)
        known = verified.user
        names.password(password, "user.password", known.name)
        stored = await self._passwords.hash(password)

        def work(connection: Connection) -> None:
            self._require_unchanged(connection, verified, lockout.network(source_ip))
            users.change(connection, known.account_id, known.id, password_hash=stored)
            also(connection)

        await self._database.run_write(work)

    async def by_token(self, text: str, scope: Scope) -> Issued:
        """Issue a token for another one, with another scope; it ends no later. Raises
        Unauthenticated."""
        sha256 = tokens.fingerprint(text)

        def work(connection: Connection) -> Issued:
            old = tokens.find(connection, sha256)
            if old is None:
                raise Unauthenticated("the token is unknown, expired or revoked")
            holder = old.holder
            project = _project(connection, holder.account_id, holder.account_name, scope)
            now = clock.now()
            token = NewToken(
                user_id=None if holder.is_agency else holder.id,
                agency_id=holder.id if holder.is_agency else None,
                assumed_by=holder.person.id if holder.person else None,
                account_id=holder.account_id,
                project_id=project.id if project else None,
                methods=("token",),
                issued_at=now,
                expires_at=min(now + self._life, old.expires_at),
                mfa_at=old.mfa_at,
            )
            return self._issue(connection, token)

        return await self._database.run_write(work)

    async def by_agency(self, wanted: AgencyWanted, scope: Scope, source_ip: str) -> Issued:
        """Issue a token that acts as an agency of another account.

        Raises Unauthenticated for the caller's token or the scope, NotAllowed when the caller may
        not assume it or is itself an agency, NotFound for an agency that does not exist, has ended
        or trusts somebody else.
        """
        sha256 = tokens.fingerprint(wanted.caller_token)

        def work(connection: Connection) -> Issued:
            caller = tokens.find(connection, sha256)
            if caller is None:
                raise Unauthenticated("the token is unknown, expired or revoked")
            agency, owner_name = self._assumable(connection, caller, wanted, source_ip)
            project = _project(connection, agency.account_id, owner_name, scope)
            now = clock.now()
            ends = [now + self._life, caller.expires_at, agency.expires_at]
            token = NewToken(
                user_id=None,
                agency_id=agency.id,
                assumed_by=caller.holder.id,
                account_id=agency.account_id,
                project_id=project.id if project else None,
                methods=("assume_role",),
                issued_at=now,
                expires_at=min(end for end in ends if end is not None),
                mfa_at=caller.mfa_at,
            )
            return self._issue(connection, token)

        return await self._database.run_write(work)

    def _assumable(
        self, connection: Connection, caller: TokenRecord, wanted: AgencyWanted, source_ip: str
    ) -> tuple[Agency, str]:
        """Return the agency and the name of its account, if the caller may assume it."""
        holder = caller.holder
        principal = holder.principal()
        snapshot = self._snapshots.get(connection, holder.account_id, holder.iam_version)
        now = clock.now()
        found = agencies.find_for_login(
            connection,
            wanted.agency_name,
            account_id=wanted.account.id,
            account_name=wanted.account.name,
        )
        who = Candidate(
            account_id=holder.account_id,
            account_enabled=True,  # else the token would not have been found
            is_root=principal.is_root,
            is_agency=holder.is_agency,
            context=_context(caller, source_ip, now),
            region=self._region,
            arrived_at=now,
        )
        attempt = may_assume(who, _as_asked(found), applicable(snapshot, principal))
        if attempt.outcome is Outcome.DENY:
            raise NotAllowed(f"{ASSUME} is not allowed", rule="not_allowed", action=ASSUME)
        if attempt.outcome is Outcome.NOT_FOUND or found is None:
            raise NotFound(
                f"no agency {wanted.agency_name} to assume", kind="agency", id=wanted.agency_name
            )
        return found.agency, found.account_name

    def _accept(
        self, connection: Connection, verified: LoginUser, scope: Scope, source: str
    ) -> Issued:
        """Issue the token unless the user changed, or was locked, since the hash was verified."""
        user = verified.user
        current = self._require_unchanged(connection, verified, source)
        project = _project(connection, user.account_id, current.account_name, scope)
        lockout.record_success(connection, user.id, source)
        now = clock.now()
        token = NewToken(
            user_id=user.id,
            agency_id=None,
            assumed_by=None,
            account_id=user.account_id,
            project_id=project.id if project else None,
            methods=("password",),
            issued_at=now,
            expires_at=now + self._life,
        )
        return self._issue(connection, token)

    def _require_unchanged(
        self, connection: Connection, verified: LoginUser, source: str
    ) -> LoginUser:
        user = verified.user
        current = users.find_for_login(connection, user_id=user.id)
        if (
            current is None
            or current.user.password_hash != user.password_hash
            or not _may_log_in(current)
            or lockout.is_locked(connection, user.id, source)
        ):
            raise Unauthenticated(REFUSED)
        return current

    def _issue(self, connection: Connection, token: NewToken) -> Issued:
        text = tokens.issue(connection, token)
        record = tokens.find(connection, tokens.fingerprint(text))
        if record is None:
            raise Unauthenticated(REFUSED)
        holder = record.holder
        snapshot = self._snapshots.get(connection, holder.account_id, holder.iam_version)
        return Issued(text, record, snapshot)


def _look_up(connection: Connection, user: UserRef, source: str) -> tuple[LoginUser | None, bool]:
    found = users.find_for_login(
        connection,
        user_id=user.id,
        name=user.name,
        account_id=user.account.id,
        account_name=user.account.name,
    )
    user_id = found.user.id if found is not None else None
    return found, lockout.is_locked(connection, user_id, source)


def _may_log_in(found: LoginUser) -> bool:
    expires_at = found.user.password_expires_at
    return (
        found.user.enabled
        and found.account_enabled
        and (expires_at is None or expires_at > clock.now())
    )


def _project(
    connection: Connection, account_id: str, account_name: str, scope: Scope
) -> Project | None:
    """Return the wanted project, None for the account. Raises Unauthenticated, as Keystone does."""
    if not scope.account.fits(account_id, account_name):
        raise Unauthenticated("the scope is not in the account of the user")
    if not scope.is_project:
        return None
    known: Sequence[Project] = projects.of_account(connection, account_id)
    wanted_id = None if scope.project_id is None else ids.project_id(scope.project_id)
    for project in known:
        by_id = scope.project_id is not None and project.id == wanted_id
        by_name = scope.project_id is None and project.name == scope.project_name
        if (by_id or by_name) and project.enabled:
            return project
    raise Unauthenticated("the project of the scope is not an enabled project of the account")


def _as_asked(found: LoginAgency | None) -> AskedAgency | None:
    if found is None:
        return None
    agency = found.agency
    return AskedAgency(
        id=agency.id,
        account_id=agency.account_id,
        account_enabled=found.account_enabled,
        trusts=agency.trust_account_id,
        expires_at=agency.expires_at,
    )


def _context(caller: TokenRecord, source_ip: str, now: datetime) -> Context:
    """Return what conditions may ask when an agency is assumed (contract iam.md 2.4)."""
    holder, mfa_at, project = caller.holder, caller.mfa_at, caller.project
    context = {
        "g:currenttime": (clock.to_milliseconds(now),),
        "g:domainname": (holder.account_name,),
        "g:domainid": (holder.account_id,),
        "g:username": (holder.name,),
        "g:userid": (holder.id,),
        "g:mfapresent": ("true" if mfa_at else "false",),
        "g:servicename": ("iam",),
        "g:sourceip": (source_ip,),
    }
    if project is not None:
        context |= {"g:projectname": (project.name,), "g:projectid": (project.id,)}
    if mfa_at is not None:
        context["g:mfaage"] = (str(int((now - mfa_at).total_seconds())),)
    return context
