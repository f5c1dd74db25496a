# SPDX-License-Identifier: Apache-2.0
"""Every command as people and scripts use it: processes, exit codes, tables, JSON, a terminal."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FreshService
from tests.journeys.conftest import StartCluster
from tests.made_disks import Disk, make_disk, real_format, same_content
from tests.people import fresh
from tests.ports import free_port
from tests.service import PROGRAM, Service, until
from tests.terminal import run_in_terminal

NO_JOB = "0" * 32


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return make_disk(tmp_path_factory.mktemp("cli"), "vmdk", seed=41)


def ok(service: Service, *arguments: str | Path) -> str:
    done = service.cli(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_json(service: Service, *arguments: str | Path) -> Any:
    return json.loads(ok(service, *arguments, "--json"))


def refused(service: Service, code: int, word: str, *arguments: str | Path) -> None:
    done = service.cli(*arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def put(service: Service, disk: Disk) -> str:
    return service.bucket_put(disk.path, f"{fresh('disk')}.{disk.format}")


def imported(service: Service, disk: Disk) -> str:
    name = fresh("cli")
    ok(service, "image", "import", put(service, disk), "--name", name, "--min-disk", "1")
    return name


def test_a_file_goes_in_as_an_image_and_comes_out_as_a_file(
    service: Service, disk: Disk, tmp_path: Path
) -> None:
    name, source = fresh("cli"), put(service, disk)
    job = as_json(service, "image", "import", source, "--name", name, "--min-disk", "1")
    assert job["status"] == "SUCCESS"
    shown = as_json(service, "image", "show", name)
    assert shown["id"] == job["entities"]["image_id"]
    assert shown["disk_format"] == "qcow2"
    assert as_json(service, "image", "list", "--name", name) == [shown]
    ok(service, "image", "download", shown["id"], tmp_path / "down.qcow2")
    assert same_content(tmp_path / "down.qcow2", "qcow2", disk.raw, "raw")
    bucket = service.credentials["bucket"]
    target = f"{bucket}:{name}.vhd"
    done = as_json(service, "image", "export", name, target, "--file-format", "vhd")
    assert done["status"] == "SUCCESS"
    ok(service, "bucket", "get", target, tmp_path / "out.vhd")
    assert real_format(tmp_path / "out.vhd") == "vhd"
    assert same_content(tmp_path / "out.vhd", "vhd", disk.raw, "raw")
    assert not list(tmp_path.glob("*.part"))


def test_a_local_file_is_uploaded_byte_for_byte(service: Service, tmp_path: Path) -> None:
    local = make_disk(tmp_path, "qcow2", seed=42).path
    name = fresh("{upload} [red]")
    shown = as_json(service, "image", "upload", local, "--name", name)
    assert (shown["status"], shown["size"]) == ("active", local.stat().st_size)
    ok(service, "image", "download", name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()


def test_a_refused_upload_leaves_no_image(service: Service, disk: Disk) -> None:
    name = fresh("cli")
    command = ("image", "upload", disk.path, "--name", name, "--disk-format", "qcow2")
    refused(service, 1, "FORMAT_MISMATCH", *command)
    assert as_json(service, "image", "list", "--name", name) == []


def test_a_job_is_started_without_waiting_then_shown_waited_for_and_kept(
    service: Service, disk: Disk
) -> None:
    name, source = fresh("cli"), put(service, disk)
    command = ("image", "import", source, "--name", name, "--min-disk", "1", "--no-wait")
    job_id = as_json(service, *command)["job_id"]
    ended = as_json(service, "job", "wait", job_id)
    assert ended["status"] == "SUCCESS"
    assert as_json(service, "job", "show", job_id) == ended
    lines = dict(line.split(maxsplit=1) for line in ok(service, "job", "show", job_id).splitlines())
    assert lines["status"] == "SUCCESS"
    assert lines["image"] == ended["entities"]["image_id"]
    assert as_json(service, "job", "cancel", job_id) == ended, "what has ended stays as it is"


@pytest.mark.heavy
def test_a_running_job_is_cancelled_and_waiting_for_it_ends_with_1(
    service: Service, tmp_path: Path
) -> None:
    big = make_disk(tmp_path, "vdi", 512 * 2**20, seed=43, dense=0.9)
    source = put(service, big)
    command = ("image", "import", source, "--name", fresh("cli"), "--min-disk", "1", "--no-wait")
    job_id = as_json(service, *command)["job_id"]
    as_json(service, "job", "cancel", job_id)
    done = service.cli("job", "wait", job_id, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "FAIL"


@pytest.mark.heavy
def test_waiting_that_is_interrupted_ends_with_130_and_the_job_goes_on(
    service: Service, tmp_path: Path
) -> None:
    for size in (64, 128, 256, 512):  # a quick machine ends a small job before the signal comes
        big = make_disk(tmp_path, "vdi", size * 2**20, seed=44 + size, dense=0.9)
        name, source = fresh("cli"), put(service, big)
        waiting = subprocess.Popen(
            [PROGRAM, "image", "import", source, "--name", name, "--min-disk", "1"],
            env=service.environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert waiting.stderr is not None
        waiting.stderr.readline()  # the first step: the job is accepted
        waiting.send_signal(signal.SIGINT)
        code = waiting.wait(timeout=60)
        assert "Traceback" not in waiting.stderr.read()
        for _ in until(60):
            if as_json(service, "image", "list", "--name", name)[0]["status"] == "active":
                break
        if code:
            break
    assert code == 130


def test_buckets_and_objects_are_made_listed_and_removed(service: Service, tmp_path: Path) -> None:
    bucket, file = fresh("bucket"), tmp_path / "file"
    file.write_bytes(b"x" * 2048)
    ok(service, "bucket", "create", bucket)
    assert {"name": bucket, "attached": False} in as_json(service, "bucket", "list")
    ok(service, "bucket", "put", file, f"{bucket}:dir/键")
    assert as_json(service, "bucket", "ls", bucket) == [{"key": "dir/键", "size": 2048}]
    assert ok(service, "bucket", "ls", bucket).splitlines() == ["key     size", "dir/键  2.0 KiB"]
    ok(service, "bucket", "rm", f"{bucket}:dir/键")
    assert as_json(service, "bucket", "ls", bucket) == []
    refused(service, 1, "no such object", "bucket", "rm", f"{bucket}:dir/键")
    refused(service, 1, "exists already", "bucket", "create", bucket)


def test_what_is_refused_ends_with_1_and_says_why(
    service: Service, disk: Disk, tmp_path: Path
) -> None:
    bucket = service.credentials["bucket"]
    refused(service, 1, "no image is named", "image", "show", "no-such-image")
    refused(service, 1, "IMG.0023", "job", "show", NO_JOB)
    refused(service, 1, "no such object", "bucket", "get", f"{bucket}:none", tmp_path / "x")
    refused(service, 1, "does not exist", "bucket", "ls", "no-such-bucket")
    refused(service, 1, "no account", "bucket", "list", "--account", "nobody")
    missing = ("image", "import", f"{bucket}:none.qcow2", "--name", "x")
    refused(service, 1, "none.qcow2", *missing)
    name = imported(service, disk)
    refused(service, 2, "no directory", "image", "download", name, "/no/such/directory/file")


def test_two_images_of_one_name_need_the_id(service: Service, disk: Disk) -> None:
    name = fresh("twin")
    for _ in range(2):
        ok(service, "image", "upload", disk.path, "--name", name, "--disk-format", "vmdk")
    refused(service, 1, "give the id", "image", "show", name)


def test_a_list_says_when_there_is_more(service: Service, disk: Disk) -> None:
    name = fresh("many")
    for _ in range(3):
        ok(service, "image", "upload", disk.path, "--name", name, "--disk-format", "vmdk")
    done = service.cli("image", "list", "--name", name, "--limit", "2", "--json")
    assert len(json.loads(done.stdout)) == 2
    assert "more than 2" in done.stderr
    done = service.cli("image", "list", "--name", name, "--limit", "3")
    assert len(done.stdout.splitlines()) == 4
    assert not done.stderr


def test_without_a_service_commands_end_with_3_and_say_what_to_do(tmp_path: Path) -> None:
    idle = Service(tmp_path)
    refused(idle, 3, "--data-dir", "image", "list")
    idle.data_dir.mkdir()
    refused(idle, 1, "start the service", "bucket", "list")
    assert not list(idle.data_dir.iterdir()), "asking made a deployment"
    idle.settings = {"PORT": str(free_port())}
    known = dict.fromkeys(
        ("username", "password", "domain_name", "project_name", "region"), "somebody"
    )
    known["auth_url"] = f"http://127.0.0.1:{idle.settings['PORT']}/v3"
    (idle.data_dir / "credentials.json").write_text(json.dumps(known))
    refused(idle, 3, "is the service running?", "image", "list")
    (idle.data_dir / "credentials.json").write_text("{")
    refused(idle, 3, "credentials.json", "job", "show", NO_JOB)


def test_a_wrong_password_ends_with_3_and_names_where_it_came_from(
    service: Service, tmp_path: Path
) -> None:
    other = Service(tmp_path)
    other.data_dir.mkdir()
    known = service.credentials | {"password": "wrong-password"}
    (other.data_dir / "credentials.json").write_text(json.dumps(known))
    refused(other, 3, "refused the login", "image", "list")
    assert "wrong-password" not in other.cli("image", "list").stderr


@pytest.mark.parametrize("way", ["clouds", "variables"])
def test_the_credentials_of_openstack_clients_are_found(
    service: Service, way: str, tmp_path: Path
) -> None:
    known = service.credentials
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if way == "clouds":
        environment |= {
            "OS_CLOUD": "calotype",
            "OS_CLIENT_CONFIG_FILE": str(service.data_dir / "clouds.yaml"),
        }
    else:
        environment |= {
            "OS_AUTH_URL": known["auth_url"],
            "OS_USERNAME": known["username"],
            "OS_PASSWORD": known["password"],
            "OS_PROJECT_NAME": known["project_name"],
            "OS_USER_DOMAIN_NAME": known["domain_name"],
        }
    done = subprocess.run(
        [PROGRAM, "image", "list", "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


@pytest.mark.parametrize("columns", [200, 80, 12, 1])
def test_tables_and_bars_fit_terminals_of_any_width(
    service: Service, disk: Disk, columns: int
) -> None:
    name, source = fresh("tty"), put(service, disk)
    command = [str(PROGRAM), "image", "import", source, "--name", name, "--min-disk", "1"]
    code, shown = run_in_terminal(command, service.environment(), columns)
    assert code == 0, shown
    assert "SUCCESS" in shown
    command = [str(PROGRAM), "image", "list", "--name", name]
    code, shown = run_in_terminal(command, service.environment(), columns)
    assert code == 0, shown
    image_id = as_json(service, "image", "list", "--name", name)[0]["id"]
    assert image_id in shown, "an id that is cut cannot be copied"


def test_a_person_sees_a_bar_and_a_pipe_does_not(service: Service, disk: Disk) -> None:
    source = put(service, disk)
    command = ["image", "import", source, "--min-disk", "1", "--name"]
    full = [str(PROGRAM), *command, fresh("tty")]
    _, shown = run_in_terminal(full, service.environment())
    assert "━" in shown
    assert "100%" in shown
    done = service.cli(*command, fresh("pipe"))
    assert "━" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "done 100 %"
    done = service.cli(*command, fresh("json"), "--json")
    assert done.stderr == ""


def test_a_reader_that_leaves_early_is_no_failure_to_tell(service: Service) -> None:
    line = f"{PROGRAM} image list | true"
    done = subprocess.run(
        ["bash", "-c", line],
        env=service.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


# ---- check


def states(service: Service, *, code: int = 0) -> dict[str, str]:
    done = service.cli("check", "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    return {found["what"]: found["state"] for found in json.loads(done.stdout)}


def test_check_finds_nothing_missing_on_a_running_deployment(service: Service) -> None:
    found = states(service)
    assert set(found.values()) == {"ok"}, found
    table = ok(service, "check").splitlines()
    assert table[0].split() == ["what", "state", "found", "to", "do"]
    assert len(table) == len(found) + 1


def test_check_before_the_first_start_makes_nothing(tmp_path: Path) -> None:
    idle = Service(tmp_path)
    assert "missing" not in states(idle).values()
    assert not idle.data_dir.exists()


def test_check_names_what_is_open_broken_or_gone(tmp_path: Path) -> None:
    service = Service.embedded(tmp_path)
    service.close()
    key, known = service.data_dir / "master.key", service.data_dir / "credentials.json"
    key.chmod(0o644)
    known.chmod(0o640)
    service.data_dir.chmod(0o755)
    found = states(service, code=1)
    assert (found["key file"], found["credentials"]) == ("missing", "missing")
    assert found["data directory"] == "warn"
    refused_table = service.cli("check").stdout
    assert f"chmod 600 {key}" in refused_table
    assert f"chmod 700 {service.data_dir}" in refused_table
    key.unlink()
    known.unlink()
    found = states(service, code=1)
    assert (found["key file"], found["credentials"]) == ("missing", "warn")


@pytest.mark.parametrize(
    ("settings", "what", "state"),
    [
        ({"IMPORT_ALLOW": "any-public"}, "web imports", "warn"),
        ({"HOST": "0.0.0.0"}, "address", "warn"),
        ({"HOST": "0.0.0.0", "PUBLIC_ENDPOINT": "https://images.example"}, "address", "ok"),
        ({"HOST": "::1"}, "address", "ok"),
        ({"SCRATCH_RESERVE": str(2**60)}, "scratch space", "missing"),
        ({"TLS_CERT": "/no/such/file"}, "certificate", "missing"),
        ({"ADMIN_PASSWORD": "password"}, "root password", "missing"),
        ({"DATABASE_URL": "postgresql://u:pw-of-u@127.0.0.1:1/x"}, "database", "missing"),
        ({"DATABASE_URL": "postgresql://u:pw-of-u@127.0.0.1:1/x"}, "several hosts", "warn"),
        ({"BLOB_URL": "ftp://x"}, "store default", "missing"),
        ({"SCRATCH_DIR": "/dev/shm/calotype"}, "scratch and stores", "warn"),
        (
            {
                "BLOB_URL": "s3://bucket/x",
                "S3_ENDPOINT": "http://127.0.0.1:1",
                "S3_ACCESS_KEY": "key",
                "S3_SECRET_KEY": "secret-of-key",
            },
            "store default",
            "missing",
        ),
    ],
)
def test_check_judges_the_settings(
    tmp_path: Path, settings: dict[str, str], what: str, state: str
) -> None:
    idle = Service(tmp_path, settings)
    done = idle.cli("check", "--json")
    findings = json.loads(done.stdout)
    assert {one["state"] for one in findings if one["what"] == what} == {state}, findings
    assert all(one["advice"] for one in findings if one["state"] != "ok")
    assert done.returncode == (1 if any(one["state"] == "missing" for one in findings) else 0)
    assert "pw-of-u" not in done.stdout + done.stderr
    assert "secret-of-key" not in done.stdout + done.stderr
    assert done.stderr == ""


def test_check_without_the_programs_says_which_packages_bring_them(tmp_path: Path) -> None:
    """A name space of its own, in which /usr/bin lacks the two programs."""
    if os.geteuid() != 0:
        pytest.skip("needs root to hide programs")
    hide = "mount --bind /dev/null /usr/bin/qemu-img && mount --bind /dev/null /usr/bin/bwrap"
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", f"{hide} && exec {PROGRAM} check --json"],
        env=Service(tmp_path).environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert found["qemu-img"]["state"] == "missing"
    assert "qemu-utils" in found["qemu-img"]["advice"]
    assert found["sandbox"]["state"] == "warn"
    assert "bubblewrap" in found["sandbox"]["advice"]


# ---- processes


def test_a_taken_address_is_named(service: Service, tmp_path: Path) -> None:
    port = service.base_url.rpartition(":")[2]
    other = Service(tmp_path, {"PORT": port})
    refused(other, 1, f"127.0.0.1 port {port}: Address already in use", "serve")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"PORT": "99999"}, "PORT"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"STORES": "no json"}, "stores"),
        ({"CONFIG": "/no/such/file"}, "/no/such/file"),
    ],
)
def test_wrong_settings_end_every_process_with_2(
    tmp_path: Path, settings: dict[str, str], word: str
) -> None:
    for command in ("serve", "api", "worker", "migrate", "check"):
        refused(Service(tmp_path, settings), 2, word, command)


def test_the_settings_file_of_a_named_data_directory_is_read(tmp_path: Path) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir(mode=0o700)
    (here / "calotype.toml").write_text('host = "0.0.0.0"\n')
    done = Service(tmp_path).cli("check", "--json", "--data-dir", here)
    found = {one["what"]: one["found"] for one in json.loads(done.stdout)}
    assert "0.0.0.0" in found["address"]
    (here / "calotype.toml").write_text("hots = 1\n")
    refused(Service(tmp_path), 2, "HOTS", "check", "--data-dir", here)


def test_a_directory_for_others_is_made_private(fresh_service: FreshService) -> None:
    made = fresh_service()
    assert stat.S_IMODE(made.data_dir.stat().st_mode) == 0o700


@pytest.mark.heavy
def test_processes_of_a_cluster_refuse_an_empty_database_and_migrate_fills_it(
    start_cluster: StartCluster, tmp_path: Path
) -> None:
    cluster = start_cluster(workers=1)
    settings = dict(cluster.service.settings)
    settings["DATABASE_URL"] = settings["DATABASE_URL"].rpartition("/")[0] + "/postgres"
    empty = Service(tmp_path / "empty", settings)
    for command in (("api",), ("worker",), ("bucket", "list")):
        refused(empty, 1, "calotype migrate", *command)
    found = {one["what"]: one for one in json.loads(empty.cli("check", "--json").stdout)}
    assert found["database"]["advice"] == "calotype migrate"
    found = {one["what"]: one for one in json.loads(cluster.service.cli("check", "--json").stdout)}
    assert found["store default"]["state"] in ("ok", "warn")
    assert "s3" in found["store default"]["found"]
    assert "several hosts" not in found
    begun = time.monotonic()
    assert ok(cluster.service, "migrate").startswith("schema: 0001 -> 0001")
    assert time.monotonic() - begun < 60
