# SPDX-License-Identifier: Apache-2.0
"""The yardsticks measure what they say: a wrong ruler would make every figure wrong."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from bench.limits import (
    MIB,
    Memory,
    Series,
    bare_upload_server,
    cpu_seconds,
    download,
    interleaved,
    nginx,
    nginx_program,
    paired,
    random_file,
    started,
    together,
    upload,
)
from bench.report import Row, table, write

from tests.server.live import Recorder, live


@pytest.mark.skipif(nginx_program() is None, reason="nginx is not installed")
def test_nginx_serves_a_directory_and_the_reader_counts_every_byte(tmp_path: Path) -> None:
    random_file(tmp_path / "file", 3 * MIB + 1)
    with nginx(tmp_path) as server:
        got = download(server.url + "/file")
        assert (got.status, got.size) == (200, 3 * MIB + 1)
        assert download(server.url + "/absent").status == 404
        assert together(3, lambda _: download(server.url + "/file")) > 0
        with pytest.raises(RuntimeError, match="failed"):
            together(2, lambda _: download(server.url + "/absent"))


def test_the_bare_server_stores_and_hashes_what_the_client_sent(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 5 * MIB + 3)
    with bare_upload_server(tmp_path) as server:
        got = upload(server.url + "/target", source)
    assert (got.status, got.size) == (200, 5 * MIB + 3)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_the_upload_client_sends_the_file_whole_to_our_server(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 2 * MIB)
    app = Recorder()
    with live(app) as server:
        assert upload(server.url + "/read", source, {"X-A": "b"}).status == 200
    assert app.received == 2 * MIB
    assert (b"x-a", b"b") in app.scopes[0]["headers"]


def test_memory_and_time_of_a_process_are_seen(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "held = bytearray(b'a') * (64 << 20)\n"
        "end = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "open(sys.argv[1], 'w').close()\n"
        "time.sleep(60)\n"
    )
    done = tmp_path / "done"
    with started([sys.executable, "-c", script, str(done)]) as child:
        with Memory(child.pid) as memory:
            end = time.monotonic() + 20
            while not done.exists() and time.monotonic() < end:
                time.sleep(0.02)
        assert memory.peak > 64 * MIB
        assert 0.2 < cpu_seconds(child.pid) < 20


def test_interleaved_runs_take_turns_and_give_medians() -> None:
    order: list[str] = []

    def run(name: str, figures: list[float]) -> float:
        order.append(name)
        return figures.pop(0)

    one, two = [9.0, 1.0, 5.0, 3.0], [9.0, 2.0, 2.0, 2.0]
    result = interleaved({"one": lambda: run("one", one), "two": lambda: run("two", two)})
    assert order == ["one", "two"] * 4
    assert (result["one"].median, result["two"].median) == (3.0, 2.0)
    assert result["two"] == Series((2.0, 2.0, 2.0))
    assert result["one"].spread == pytest.approx(4 / 3)
    assert paired(result, "one", "two") == 1.5


def test_the_table_says_how_much_of_the_limit_is_reached_and_whether_that_is_enough(
    tmp_path: Path,
) -> None:
    rows = [
        Row("get", 2700, "MB/s", limit=3000, target=0.8, limited_by="copies | kernel"),
        Row("start", 0.4, "s", limit=0.1, target=0.5, smaller_is_better=True),
        Row("memory", 70, "MiB", target=64, smaller_is_better=True),
    ]
    lines = table(rows).splitlines()[2:]
    assert lines[0] == ("| get | 2700 MB/s | 3000 MB/s | 0.90 | ≥ 0.8, met | copies \\| kernel |")
    assert lines[1] == "| start | 0.4 s | 0.1 s | 0.25 | ≥ 0.5, **missed** | - |"
    assert lines[2] == "| memory | 70 MiB | - | - | ≤ 64 MiB, **missed** | - |"
    write(tmp_path / "page.md", "Figures", rows, ["a note"])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# Figures\n")
    assert "- a note" in page
