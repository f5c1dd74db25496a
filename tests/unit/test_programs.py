# SPDX-License-Identifier: Apache-2.0
"""External programs: how each end is told apart, what a program may touch, that none is left.

Every test runs in both ways of holding a program: the sandbox, and limits alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calotype import programs, sandbox
from calotype.errors import Cancelled, ProgramFailed
from calotype.programs import Command, Limits, SandboxKind

LIMITS = Limits(wall=20, cpu=10, memory=1 << 30, output=1 << 30)


@pytest.fixture(params=["bubblewrap", "limits"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "limits":
        monkeypatch.setattr(programs, "_KIND", [SandboxKind("limits")])
    elif programs.sandbox_kind().name != "bubblewrap":
        pytest.skip("this host has no working bubblewrap")
    return str(request.param)


def shell(script: str, **more: object) -> Command:
    return Command(("sh", "-c", script), **more)  # type: ignore[arg-type]  # free keywords of a test


def wait_for(condition: Callable[[], bool]) -> None:
    stop = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < stop, "the condition never came true"
        time.sleep(0.01)


def marked_processes(mark: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in place.read_bytes().split(b"\0"):
                found.append(place.parent.name)
    return found


def test_output_and_code_of_an_accepted_end_are_returned() -> None:
    done = programs.run(shell("echo out; echo err >&2; exit 1", accept=(0, 1)), LIMITS)
    assert (done.stdout, done.stderr, done.code) == (b"out\n", b"err\n", 1)


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exit 3", "exit"),
        ("kill -SEGV $$", "signal"),
        ("echo 'cannot go on: Cannot allocate memory' >&2; exit 1", "limit"),
    ],
)
def test_the_kind_of_end_is_told_apart(script: str, how: str) -> None:
    with pytest.raises(ProgramFailed) as caught:
        programs.run(shell(script), LIMITS)
    assert caught.value.how == how


def test_a_program_that_is_not_installed_is_missing() -> None:
    with pytest.raises(ProgramFailed) as caught:
        programs.run(Command(("no-such-program-here",)), LIMITS)
    assert caught.value.how == "missing"


def test_cpu_time_is_limited() -> None:
    with pytest.raises(ProgramFailed) as caught:
        programs.run(shell("while :; do :; done"), Limits(15, 1, 1 << 30, 1 << 20))
    assert caught.value.how == "limit"


def test_size_of_an_output_file_is_limited(tmp_path: Path) -> None:
    script = "exec dd if=/dev/zero of=big bs=65536 count=64"
    with pytest.raises(ProgramFailed) as caught:
        programs.run(shell(script, work=tmp_path), Limits(15, 5, 1 << 30, 1 << 20))
    assert caught.value.how == "limit"
    assert (tmp_path / "big").stat().st_size <= 1 << 20


def test_memory_is_limited() -> None:
    script = "bytearray(1 << 29); print('got it')"
    command = Command(
        (sys.executable, "-I", "-S", "-c", script), shown=(Path(sys.base_prefix), Path(sys.prefix))
    )
    with pytest.raises(ProgramFailed):
        programs.run(command, Limits(15, 5, 256 << 20, 1 << 20))


def test_time_out_kills_every_process_of_the_group() -> None:
    mark = f"calotype-test-{os.getpid()}-{time.monotonic_ns()}"
    script = f"sh -c 'sleep 60; :' {mark} & sh -c 'sleep 60; :' {mark}"
    with pytest.raises(ProgramFailed) as caught:
        programs.run(shell(script), Limits(0.5, 5, 1 << 30, 1 << 20))
    assert caught.value.how == "timeout"
    wait_for(lambda: not marked_processes(mark))


def test_a_child_that_outlives_its_parent_is_killed_and_not_waited_for() -> None:
    mark = f"calotype-test-{os.getpid()}-{time.monotonic_ns()}"
    began = time.monotonic()
    programs.run(shell(f"sh -c 'sleep 60; :' {mark} & echo started"), LIMITS)
    assert time.monotonic() - began < 5
    wait_for(lambda: not marked_processes(mark))


def test_cancel_ends_the_program_at_once() -> None:
    began = time.monotonic()
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    with pytest.raises(Cancelled):
        programs.run(shell("sleep 60"), LIMITS, cancel=asked.is_set)
    assert time.monotonic() - began < 2


def test_cancel_before_the_start_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        programs.run(shell("touch ran", work=tmp_path), LIMITS, cancel=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_progress_sees_lines_and_carriage_return_pieces() -> None:
    seen: list[str] = []
    script = r"printf '(1.00/100%%)\r(50.00/100%%)\r'; sleep 0.2; printf '(100.00/100%%)\n'"
    programs.run(shell(script), LIMITS, progress=seen.append)
    assert seen == ["(1.00/100%)", "(50.00/100%)", "(100.00/100%)"]


def test_an_error_of_the_progress_callable_kills_the_program() -> None:
    mark = f"calotype-test-{os.getpid()}-{time.monotonic_ns()}"

    def broken(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="one"):
        programs.run(shell(f"echo one; exec sh -c 'sleep 60; :' {mark}"), LIMITS, progress=broken)
    wait_for(lambda: not marked_processes(mark))


def test_captured_output_is_bounded_and_the_program_still_ends() -> None:
    limits = Limits(wall=20, cpu=10, memory=1 << 30, output=1 << 30, captured=1000)
    done = programs.run(shell("head -c 3000000 /dev/zero; echo end >&2"), limits)
    assert len(done.stdout) == 1000
    assert done.stderr == b"end\n"


def test_environment_and_standard_input_come_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "hunter2")
    done = programs.run(shell("env; cat"), LIMITS)
    names = {line.split(b"=")[0] for line in done.stdout.splitlines()}
    assert names <= {b"PATH", b"LC_ALL", b"MALLOC_ARENA_MAX", b"PWD", b"OLDPWD", b"SHLVL", b"_"}


def test_inputs_are_read_by_descriptor_and_outputs_land_in_the_work_place(tmp_path: Path) -> None:
    first, second = tmp_path / "first, odd name", tmp_path / "second"
    first.write_text("one ")
    second.write_text("two")
    work = tmp_path / "work"
    work.mkdir()
    script = 'cat "$0" "$1" > joined'
    args = ("sh", "-c", script, f"{sandbox.INPUT_ROOT}/0", f"{sandbox.INPUT_ROOT}/1")
    with first.open("rb") as opened:
        programs.run(Command(args, inputs=(opened.fileno(), second), work=work), LIMITS)
    assert (work / "joined").read_text() == "one two"


def test_an_input_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="link"):
        programs.run(shell("cat /in/0", inputs=(tmp_path / "link",)), LIMITS)


def test_a_program_whose_starter_is_gone_does_not_begin() -> None:
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    assert setpriv is not None
    assert shell is not None
    for parent, output in ((os.getpid(), "ran\n"), (1, "")):
        args = [*sandbox.tied_to(parent, setpriv, shell), shell, "-c", "echo ran"]
        done = subprocess.run(args, capture_output=True, text=True, check=False)
        assert done.stdout == output


def test_death_of_the_service_ends_the_program(kind: str, tmp_path: Path) -> None:
    mark = f"calotype-test-{os.getpid()}-{time.monotonic_ns()}"
    code = (
        "from calotype import programs as p\n"
        f"p._KIND[:] = [p.SandboxKind('limits')] if {kind!r} == 'limits' else []\n"
        "from pathlib import Path\n"
        "script = 'touch started; sleep 60; :'\n"
        f"c = p.Command(('sh', '-c', script, {mark!r}), work=Path({str(tmp_path)!r}))\n"
        "p.run(c, p.Limits(60, 60, 1 << 30, 1 << 20))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as service:
        wait_for((tmp_path / "started").exists)
        service.send_signal(signal.SIGKILL)
    wait_for(lambda: not marked_processes(mark))
