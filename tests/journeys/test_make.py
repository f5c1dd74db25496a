# SPDX-License-Identifier: Apache-2.0
"""The two commands of the README, in a fresh copy of the source: `make run`, and what `make` needs.

The copy gets a virtual environment of its own by `make setup`, as a new machine would.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.docs import pages
from tests.made_disks import make_disk
from tests.ports import free_port
from tests.service import until

ROOT = Path(__file__).parents[2]
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def environment(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
    return known | {name: os.environ[name] for name in KEPT if name in os.environ} | more


def copy_of_the_source(target: Path) -> Path:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy after `make setup`."""
    copy = copy_of_the_source(tmp_path_factory.mktemp("make") / "calotype")
    done = subprocess.run(
        ["make", "setup"], cwd=copy, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


@dataclass
class Run:
    """A running `make run`."""

    process: subprocess.Popen[str]
    url: str
    copy: Path
    ready_after: float
    output: str = ""

    def calotype(self, *arguments: str) -> str:
        return subprocess.run(
            [self.copy / ".venv/bin/calotype", *arguments, "--data-dir", self.copy / "data"],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def images(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.calotype("image", "list", "--json"))
        return found

    def server(self) -> int:
        """Return the process id of the service."""
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink()
            except OSError:
                continue
            if b"serve" in words and here == self.copy:
                return int(entry.name)
        raise AssertionError("the service does not run")


@pytest.fixture
def make_run(fresh: Path) -> Iterator[type[Run]]:
    yield Run
    with_service = [pid for pid in _processes_in(fresh) if pid != os.getpid()]
    for pid in with_service:
        os.kill(pid, signal.SIGKILL)
    assert not with_service, "a process was left behind"


def _processes_in(copy: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cwd").readlink() == copy:
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def start(copy: Path, *arguments: str, **more: str) -> Run:
    """Run `make run` until it has printed everything."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    begun = time.monotonic()
    process = subprocess.Popen(
        ["make", "run", *arguments],
        cwd=copy,
        env=environment(CALOTYPE_PORT=port, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    for _ in until(60, 0.01):
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            continue
    run = Run(process, url, copy, time.monotonic() - begun)
    assert process.stdout is not None
    for line in process.stdout:
        run.output += line
        if line.startswith("log: "):
            break
    return run


def assert_the_readme_is_true(run: Run) -> None:
    """The transcript in the README is this run, except for ids, times and addresses."""
    readme = (ROOT / "README.md").read_text()
    transcript = re.search(r"```console\n\$ make run\n(.*?)```", readme, re.DOTALL)
    assert transcript is not None
    shown, command, listed = re.split(r"^\$ (.+)\n", transcript[1], flags=re.MULTILINE)
    assert pages.by_kind(run.output) == pages.by_kind(shown)
    assert command in run.output
    assert pages.by_kind(run.calotype("image", "list")) == pages.by_kind(listed)
    program = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert program is not None
    done = subprocess.run(
        [run.copy / ".venv/bin/python", "-c", program[1]],
        cwd=run.copy,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "grub-rescue active FusionCompute\n", done.stderr


def end(run: Run, how: str) -> str:
    """End it as a terminal does (Ctrl-C) or as a service manager does; return its last words."""
    server = run.server()
    if how == "Ctrl-C":
        os.killpg(run.process.pid, signal.SIGINT)
    else:
        run.process.terminate()
    assert run.process.stdout is not None
    rest = run.process.stdout.read()
    run.process.wait(timeout=60)
    assert not Path(f"/proc/{server}").exists(), "the service outlived make"
    log = (run.copy / "data" / "service.log").read_text()
    assert '"message": "drained"' in log, log[-500:]
    return rest


@pytest.mark.heavy
@pytest.mark.xdist_group("make")
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_make_run_serves_a_first_image_and_again_with_its_data(
    fresh: Path, make_run: type[Run], how: str
) -> None:
    shutil.rmtree(fresh / "data", ignore_errors=True)
    first = start(fresh)
    assert re.search(r"^done 100 %$", first.output, re.MULTILINE), first.output
    assert re.search(r"^status +SUCCESS$", first.output, re.MULTILINE)
    commands = re.findall(r"^  (.+)$", first.output, re.MULTILINE)
    assert len(commands) == 3, first.output
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=fresh,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    images = first.images()
    assert [image["name"] for image in images] == ["grub-rescue"]
    assert_the_readme_is_true(first)
    end(first, how)

    second = start(fresh)
    status = Path(f"/proc/{second.server()}/stat").read_text().rpartition(")")[2].split()
    ticks = int(status[11]) + int(status[12])
    assert second.images() == images, "a second run keeps the data and adds nothing"
    assert "SUCCESS" not in second.output
    # Seconds of the processor, because other tests share the machine; on an idle one the service
    # is ready after half of this.
    assert ticks / os.sysconf("SC_CLK_TCK") < 3.0
    assert second.ready_after < 20
    end(second, how)


@pytest.mark.heavy
@pytest.mark.xdist_group("make")
def test_make_run_takes_a_disk_of_ones_own(
    fresh: Path, make_run: type[Run], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "with space", "vhdx", seed=51, name="own-disk")
    run = start(fresh, f"IMAGE={disk.path}")
    assert "own-disk" in [image["name"] for image in run.images()]
    assert "image export own-disk" in run.output
    again = subprocess.run(
        ["make", "run"], cwd=fresh, env=environment(), capture_output=True, text=True, check=False
    )
    assert again.returncode != 0
    assert "serves data already" in again.stderr
    end(run, "SIGTERM")
    missing = subprocess.run(
        ["make", "run", "IMAGE=/no/such/disk"],
        cwd=fresh,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert "/no/such/disk" in missing.stderr


@pytest.mark.heavy
@pytest.mark.xdist_group("make")
def test_make_run_says_why_the_service_did_not_start(fresh: Path, make_run: type[Run]) -> None:
    done = subprocess.run(
        ["make", "run"],
        cwd=fresh,
        env=environment(CALOTYPE_HOST="192.0.2.1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "cannot listen on 192.0.2.1" in done.stderr


@pytest.mark.heavy
@pytest.mark.xdist_group("make")
def test_a_second_setup_does_nothing(fresh: Path) -> None:
    before = (fresh / ".venv/bin/calotype").stat().st_mtime_ns
    done = subprocess.run(
        ["make", "setup"], cwd=fresh, env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (fresh / ".venv/bin/calotype").stat().st_mtime_ns == before


# ---- system packages, without installing any


@pytest.fixture
def bare() -> Iterator[Path]:
    """The scripts alone, with a finished virtual environment, where every user may read them."""
    with tempfile.TemporaryDirectory(prefix="calotype-setup-") as directory:
        Path(directory).chmod(0o777)
        copy = Path(directory) / "copy"
        for name in ("scripts/setup", "requirements.lock", "pyproject.toml"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        (copy / ".venv/bin").mkdir(parents=True)
        for name in ("python", "calotype"):
            (copy / ".venv/bin" / name).symlink_to("/bin/true")
        line = "sha256sum requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1"
        sums = subprocess.check_output(["bash", "-c", line], cwd=copy)
        (copy / ".venv/.installed").write_bytes(sums)
        yield copy


def setup_without_bubblewrap(
    copy: Path, user: str, fakes: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `scripts/setup` on a path without bubblewrap, sudo and apt, with `fakes` instead."""
    farm, fake = copy.parent / "bin", copy.parent / "fakes"
    for directory in (farm, fake):
        directory.mkdir(mode=0o755)
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("bwrap", "sudo", "apt-get"):
            (farm / program.name).symlink_to(program)
    for name, text in fakes.items():
        (fake / name).write_text(f"#!/bin/bash\n{text}\n")
        (fake / name).chmod(0o755)
    become = "setpriv --reuid nobody --regid nogroup --clear-groups".split()
    return subprocess.run(
        [*(become if user == "nobody" else ()), "bash", copy / "scripts" / "setup"],
        env={"PATH": f"{fake}:{farm}", "HOME": str(copy), "LOG": str(copy.parent / "log")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@needs_root
def test_root_installs_what_is_missing_and_nothing_else(bare: Path) -> None:
    fakes = {"apt-get": 'echo "$*" >>"$LOG"'}
    done = setup_without_bubblewrap(bare, "root", fakes)
    assert done.returncode == 0, done.stderr
    update, install = (bare.parent / "log").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends bubblewrap")


@needs_root
def test_others_go_through_sudo(bare: Path) -> None:
    fakes = {"apt-get": 'echo "$*" >>"$LOG"', "sudo": '[ "$1" != -n ] || shift; exec "$@"'}
    done = setup_without_bubblewrap(bare, "nobody", fakes)
    assert done.returncode == 0, done.stderr
    assert "install -y --no-install-recommends bubblewrap" in (bare.parent / "log").read_text()


@needs_root
@pytest.mark.parametrize("fakes", [{}, {"sudo": "exit 1"}], ids=["no sudo", "no right"])
def test_without_rights_it_says_exactly_what_to_install(bare: Path, fakes: dict[str, str]) -> None:
    done = setup_without_bubblewrap(bare, "nobody", fakes)
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends bubblewrap\n" in done.stderr


@needs_root
def test_an_installation_that_fails_is_told_with_its_last_words(bare: Path) -> None:
    fakes = {"apt-get": "echo E: no such mirror; exit 100"}
    done = setup_without_bubblewrap(bare, "root", fakes)
    assert done.returncode == 1
    assert "E: no such mirror" in done.stderr
    assert "apt-get install --no-install-recommends bubblewrap\n" in done.stderr


# ---- the rest of the commands


def test_help_lists_every_command() -> None:
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {line.split()[0] for line in done.stdout.splitlines()} == targets


def test_continuous_integration_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_policy_vectors_are_evaluated_by_make() -> None:
    done = subprocess.run(
        ["make", "policy-vectors"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    passed, total = re.fullmatch(r"(\d+) of (\d+)\n", done.stdout).groups()  # type: ignore[union-attr]  # a mismatch fails the test
    assert passed == total != "0"
