# SPDX-License-Identifier: Apache-2.0
"""What a program sees inside the sandbox: one place to write, nothing of the host."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from calotype import programs, sandbox
from calotype.programs import Command, Limits

LIMITS = Limits(wall=20, cpu=10, memory=1 << 30, output=1 << 30)


def shell(script: str, *inputs: Path, work: Path | None = None) -> Command:
    return Command(("sh", "-c", script), inputs=inputs, work=work, accept=(0, 1, 2))


def test_this_host_has_the_sandbox_with_all_its_parts() -> None:
    kind = programs.sandbox_kind()
    assert (kind.name, kind.call_filter) == ("bubblewrap", True)


def test_only_the_work_place_can_be_written(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(b"keep me")
    out.touch()
    places = "/in/0 /in/new /usr/new /etc/new /new /dev/new /work/new"
    script = f"for p in {places}; do (echo x > $p) 2>/dev/null && echo wrote $p; done; echo y > out"
    done = programs.run(shell(script, source, work=out), LIMITS)
    assert done.stdout == b""
    assert list(tmp_path.iterdir()) in ([source, out], [out, source])
    assert (source.read_bytes(), out.read_bytes()) == (b"keep me", b"y\n")


def test_the_sandbox_shows_no_file_process_or_network_of_the_host() -> None:
    script = "ls /proc /root /home /etc/passwd /var /work /sys 2>/dev/null; ls /etc"
    done = programs.run(shell(script), LIMITS)
    assert done.stdout == b"ld.so.cache\n"


def test_denied_calls_fail_without_ending_the_program() -> None:
    probe = (
        "import socket, os\n"
        "for what in (lambda: socket.socket(), lambda: os.unshare(0x10000000)\n"
        "             if hasattr(os, 'unshare') else socket.socket(socket.AF_UNIX)):\n"
        "    try:\n"
        "        what(); print('reached')\n"
        "    except PermissionError:\n"
        "        print('denied')\n"
    )
    shown = (Path(sys.base_prefix), Path(sys.prefix))
    done = programs.run(Command((sys.executable, "-I", "-S", "-c", probe), shown=shown), LIMITS)
    assert done.stdout.split() == [b"denied", b"denied"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_path_of_the_call_filter_ends_in_a_verdict(machine: str) -> None:
    program = sandbox.call_filter(machine)
    assert program is not None
    steps = list(struct.iter_unpack("=HBBI", program))
    reachable = {0}
    for place, (code, yes, no, _) in enumerate(steps):
        if place not in reachable:
            continue
        if code & 7 == 5:
            reachable |= {place + 1 + yes, place + 1 + no}
        elif code & 7 != 6:
            reachable.add(place + 1)
    assert max(reachable) == len(steps) - 1
    assert steps[-1][0] & 7 == 6
    assert reachable == set(range(len(steps)))


def test_an_unknown_machine_has_no_call_filter() -> None:
    assert sandbox.call_filter("pdp11") is None
