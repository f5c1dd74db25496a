# SPDX-License-Identifier: Apache-2.0
"""No secret is kept or told anywhere but where its owner looks (security P5, iam.md 8).

One service at the level DEBUG is used in every way that a secret takes: logins good and bad,
tokens, keys, signatures, credentials of buckets, refusals of bodies that hold one. Then everything
that it wrote and said is searched for each of them.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.made_disks import raw_bytes
from tests.people import Account, password
from tests.security.conftest import Door
from tests.service import Service
from tests.unit.gate.signer import FORMS, sign
from tests.wire import JSON, OCTETS, client, operator_of

KEPT = {"credentials.json", "clouds.yaml", "master.key"}  # their mode is their protection


@dataclass
class Session:
    """What was done, what was secret in it, and every answer."""

    service: Service
    minted: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=client)

    def secret(self, name: str, value: str = "") -> str:
        """Note a secret; without a value it is made up."""
        self.minted[name] = value or f"sEcReT{secrets.token_hex(12)}"
        return self.minted[name]

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request whose answer must tell no secret."""
        answer = self.http.request(method, self.service.base_url + path, **more)
        self.answers.append(f"{answer.text}\n{answer.headers}")
        return answer

    def leaks(self, found: str | bytes) -> list[str]:
        """Return the names of the secrets that stand in what was found, in any usual spelling."""
        data = found if isinstance(found, bytes) else found.encode()
        names = []
        for name, value in self.minted.items():
            raw = value.encode()
            if raw in data or base64.b64encode(raw).rstrip(b"=") in data:
                names.append(name)
        return names


def _login_body(name: str, secret: Any, domain: str) -> dict[str, Any]:
    user = {"name": name, "password": secret, "domain": {"name": domain}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}


def _use(session: Session, directory: Path) -> None:
    service = session.service
    known = service.credentials
    for name in ("password", "secret_key", "operator_token"):
        session.secret(f"first {name}", known[name])
    account = Account.make(service)
    session.secret("root token", account.root.token)
    session.secret("account token", account.admin.token)
    _people(session, account)
    _logins(session, account)
    _signatures(session, account)
    _bodies(session, account)
    _bytes(session, account, directory)
    session.send("GET", "/metrics")


def _people(session: Session, account: Account) -> None:
    user = account.user()
    session.secret("user password", user.password)
    session.secret("user token", user.api.token)
    new, third = session.secret("own new password", password()), session.secret("set", password())
    own = {"password": new, "original_password": user.password}
    path = f"/v3/users/{user.id}"
    headers = {"X-Auth-Token": user.api.token}
    assert session.send("POST", f"{path}/password", json={"user": own}, headers=headers).is_success
    headers = {"X-Auth-Token": account.admin.token}
    change = {"user": {"password": third}}
    assert session.send("PATCH", path, json=change, headers=headers).is_success
    assert session.send("GET", path, headers=headers).is_success
    assert session.send("GET", "/v3/users", headers=headers).is_success


def _logins(session: Session, account: Account) -> None:
    wrong, nobody = session.secret("wrong password"), session.secret("password of nobody")
    for name, secret in ((account.name, wrong), ("nobody", nobody)):
        body = _login_body(name, secret, account.name)
        assert session.send("POST", "/v3/auth/tokens", json=body).status_code == 401
    listed = session.secret("password in a list")
    body = _login_body(account.name, [listed], account.name)
    assert session.send("POST", "/v3/auth/tokens", json=body).status_code == 400
    body["auth"]["identity"]["methods"] = ["password", "totp"]
    assert session.send("POST", "/v3/auth/tokens", json=body).status_code == 400
    old = account.root.token
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": old}}}}
    answer = session.http.post(f"{session.service.base_url}/v3/auth/tokens", json=body)
    new = session.secret("token of a token", answer.headers["X-Subject-Token"])
    both = {"X-Auth-Token": old, "X-Subject-Token": new}
    assert session.http.get(f"{session.service.base_url}/v3/auth/tokens", headers=both).is_success
    assert session.send("DELETE", "/v3/auth/tokens", headers=both).is_success
    for name in ("unknown token", "operator-like token"):
        value = session.secret(
            name, f"operator-{secrets.token_urlsafe(24)}" if "op" in name else ""
        )
        headers = {"X-Auth-Token": value, "X-Subject-Token": value}
        assert session.send("GET", "/v2/images", headers=headers).status_code == 401
        assert session.send("GET", "/v3/auth/tokens", headers=headers).status_code == 401


def _signatures(session: Session, account: Account) -> None:
    access, secret = account.access_key(account.root_id)
    session.secret("secret key", secret)
    for form in FORMS:
        for signing in (secret, session.secret(f"wrong secret key, {form}")):
            path = "/v2/images?limit=1&name=x"
            url = session.service.base_url + path
            security = session.secret(f"security token, {form}, {signing[:4]}")
            extra = {} if signing == secret else {"X-Security-Token": security}
            lines = sign(form, access, signing, "GET", url, extra, None)
            header = dict(lines)["Authorization"]
            session.secret(f"signature, {form}, {signing[:4]}", header.rpartition("=")[2])
            session.send("GET", path, headers=dict(lines))
    for text_ in ("Bearer ", "SDK-HMAC-SHA256 Access=x ", "AWS4-HMAC-SHA256 Credential=a/b "):
        value = session.secret(f"authorization {text_}")
        session.send("GET", "/v2/images", headers={"Authorization": text_ + value})
    cookie = session.secret("cookie")
    session.send("GET", "/v2/images", headers={"Cookie": f"session={cookie}"})
    query = session.secret("presigned")
    session.send("GET", f"/v2/images?X-Amz-Signature={query}&password={query}&token={query}")


def _bodies(session: Session, account: Account) -> None:
    headers = {"X-Auth-Token": account.root.token, "Content-Type": JSON}
    userinfo = session.secret("userinfo of an address")
    url = {"name": "x", "image_url": f"https://me:{userinfo}@host/disk.qcow2", "min_disk": 1}
    account_body = {"account": {"name": "1", "root": {"password": session.secret("of a root")}}}
    user = {"user": {"name": "1", "password": session.secret("of a bad user")}}
    weak = {"user": {"name": "weak", "password": 7, "description": session.secret("not shown")}}
    operator = operator_of(session.service)
    for path, body, token in (
        ("/v2/cloudimages/action", url, account.root.token),
        ("/authz/v1/accounts", account_body, operator.token),
        ("/v3/users", user, account.admin.token),
        ("/v3/users", weak, account.admin.token),
    ):
        answer = session.http.post(
            session.service.base_url + path,
            content=json.dumps(body),
            headers=headers | {"X-Auth-Token": token},
        )
        assert answer.status_code == 400, answer.text
        if body is not url:  # who sent an address may see it again
            session.answers.append(answer.text)
    broken = session.secret("in a broken body")
    content = f'{{"user": {{"password": "{broken}", "password": "{broken}"}}}}'
    admin = headers | {"X-Auth-Token": account.admin.token}
    for data in (content, content[:-3], content.replace("}", "")):
        answer = session.send("POST", "/v3/users", content=data, headers=admin)
        assert answer.status_code == 400, answer.text


def _bytes(session: Session, account: Account, directory: Path) -> None:
    session.secret("key of a bucket")
    given = {
        "endpoint": "http://127.0.0.1:9",
        "region": "us-east-1",
        "access_key": "AKBUCKET",
        "secret_key": session.minted["key of a bucket"],
    }
    file = directory / "bucket.json"
    file.write_text(json.dumps(given))
    service, name = session.service, f"attached-{secrets.token_hex(4)}"
    done = service.cli(
        "bucket", "attach", name, "--account", account.name, "--url", "s3://there/x",
        "--credentials", file,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    session.answers.append(done.stdout + done.stderr)
    own = account.bucket()
    disk = directory / "disk.raw"
    disk.write_bytes(raw_bytes())
    source = account.put(disk, own, "disk.raw")
    root = account.root
    image = root.import_file(source, "made")
    for bucket in (own, name):
        target = {"bucket_url": f"{bucket}:out.raw", "file_format": "raw"}
        answer = root.call("POST", f"/v1/cloudimages/{image}/file", target)
        session.answers.append(answer.text)
        if answer.status_code == 200:
            root.wait(answer.json()["job_id"])
    row = root.make()
    sent = {"Content-Type": OCTETS, "X-Auth-Token": root.token}
    assert session.send(
        "PUT", f"/v2/images/{row}/file", content=raw_bytes(), headers=sent
    ).is_success


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A service that was used, and has ended so that everything is written."""
    chosen = f"Chosen.{secrets.token_hex(8)}"
    settings = {"LOG_LEVEL": "DEBUG", "ADMIN_PASSWORD": chosen}
    service = Service.embedded(tmp_path_factory.mktemp("secrets"), settings)
    try:
        used = Session(service)
        _use(used, tmp_path_factory.mktemp("files"))
        assert used.minted["first password"] == chosen
        service.stop()
        yield used
    finally:
        service.close()


def test_no_log_line_holds_a_secret(session: Session) -> None:
    logs = session.service.logs()
    assert '"level": "debug"' in logs or '"level": "info"' in logs
    assert session.leaks(logs) == []


def test_no_answer_and_no_metric_holds_a_secret(session: Session) -> None:
    assert len(session.answers) > 30
    assert [one for answer in session.answers for one in session.leaks(answer)] == []


def test_nothing_that_is_kept_holds_a_secret(session: Session) -> None:
    """The database and its log, job rows and audit records, scratch and stores."""
    files = [one for one in session.service.data_dir.rglob("*") if one.is_file()]
    assert {"calotype.sqlite", "credentials.json", "master.key"} <= {one.name for one in files}
    for file in files:
        if file.name not in KEPT:
            assert session.leaks(file.read_bytes()) == [], file.name


def test_every_cell_of_the_database_was_looked_at(session: Session) -> None:
    """Not only the file: a page may be compressed or split, a cell is not."""
    rows = 0
    for name in ("calotype.sqlite", "calotype-jobs.sqlite"):
        database = sqlite3.connect(session.service.data_dir / name)
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                rows += 1
                assert session.leaks(repr(row)) == [], table
        database.close()
    assert rows > 50


def test_the_key_that_wraps_secrets_is_in_its_own_file_only(session: Session) -> None:
    line = (session.service.data_dir / "master.key").read_text().split()[1]
    raw = base64.b64decode(line)
    for file in session.service.data_dir.rglob("*"):
        if file.is_file() and file.name != "master.key":
            data = file.read_bytes()
            assert raw not in data, file.name
            assert line.rstrip("=").encode() not in data, file.name
    assert line.rstrip("=") not in session.service.logs()


def test_files_with_secrets_are_open_to_nobody_else(session: Session) -> None:
    directory = session.service.data_dir
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in KEPT:
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name


def test_a_fault_of_the_database_is_logged_without_what_was_to_be_stored(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = door.tenant()
    with door.core.db.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER broken BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    with caplog.at_level(logging.DEBUG):
        body = {"user": {"name": "odd-name-17", "password": password()}}
        reply = tenant.call("POST", "/v3/users", body=body)
    assert reply.status == 500
    assert reply.headers["x-request-id"] in reply.text
    assert "a request failed unexpectedly" in caplog.text
    assert "odd-name-17" not in caplog.text
    assert "argon2" not in caplog.text
