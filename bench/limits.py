# SPDX-License-Identifier: Apache-2.0
"""Yardsticks: the fastest thing this machine does for the same work, and how to time it fairly.

A download is compared with nginx (one worker, sendfile), an upload with a bare-socket server that
hashes and writes what it reads. Clients are as cheap as clients get: `sendfile` out, 1 MiB
`recv_into` in. Runs of the things compared are interleaved, and the median counts, because figures
of one machine drift by 10-15 % within minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Running:
    """A server of this page: its base URL and the process whose tree does the work."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one client saw: status line's number, body bytes, seconds from connect to the end."""

    status: int
    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Megabytes (10^6) a second."""
        return self.size / self.seconds / 1e6


# Servers


def free_port() -> int:
    """Return a loopback port that was free a moment ago (for programs that cannot report one)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_port(port: int, process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """Return when `port` accepts. Raises RuntimeError when the process ended or time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s")


_NGINX = """
daemon off; master_process on; worker_processes 1; pid {work}/nginx.pid; user root;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_timeout 75; default_type
  application/octet-stream;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
}}
"""


def nginx_program() -> str | None:
    """Return the path of nginx, or None: comparisons with it are then left out."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[Running]:
    """Serve the files of `directory` by nginx: one worker, sendfile, no access log."""
    program = nginx_program()
    if program is None:
        raise RuntimeError("nginx is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as work:
        text = _NGINX.format(work=work, port=port, root=directory.resolve())
        if os.geteuid() != 0:
            text = text.replace("user root;", "")
        config = Path(work, "nginx.conf")
        config.write_text(text, encoding="utf-8")
        with started([program, "-p", work, "-c", str(config)]) as process:
            wait_port(port, process)
            yield Running(f"http://127.0.0.1:{port}", process.pid)


@contextlib.contextmanager
def bare_upload_server(directory: Path) -> Iterator[Running]:
    """Run `bench.bare_upload` in its own process: PUT into a new file, md5 beside sha512."""
    port = free_port()
    arguments = [sys.executable, "-m", "bench.bare_upload", str(port), str(directory)]
    with started(arguments, cwd=Path(__file__).resolve().parent.parent) as process:
        wait_port(port, process)
        yield Running(f"http://127.0.0.1:{port}", process.pid)


@contextlib.contextmanager
def started(
    arguments: list[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the time of the block; SIGTERM at its end, SIGKILL 10 s later."""
    env = None if environment is None else {**os.environ, **environment}
    process = subprocess.Popen(arguments, cwd=cwd, env=env, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# Clients


def download(url: str, headers: Mapping[str, str] | None = None) -> Transfer:
    """GET `url` over a new connection and throw the body away."""
    begin = time.perf_counter()
    with _connected(url) as sock:
        sock.sendall(_head("GET", url, headers, None))
        block = bytearray(MIB)
        status, length, size = _read_head(sock, block)
        view = memoryview(block)
        while length is None or size < length:
            got = sock.recv_into(view)
            if got == 0:
                break
            size += got
    return Transfer(status, size, time.perf_counter() - begin)


def upload(
    url: str, source: Path, headers: Mapping[str, str] | None = None, method: str = "PUT"
) -> Transfer:
    """Send the file as the body over a new connection; `size` is what was sent."""
    begin = time.perf_counter()
    size = source.stat().st_size
    with _connected(url) as sock, source.open("rb") as file:
        sock.sendall(_head(method, url, headers, size))
        sock.sendfile(file)
        status, length, got = _read_head(sock, bytearray(MIB))
        while length is not None and got < length:
            more = len(sock.recv(MIB))
            if not more:
                break
            got += more
    return Transfer(status, size, time.perf_counter() - begin)


def together(count: int, one: Callable[[int], Transfer]) -> float:
    """Run `one(0..count-1)` at once; return their common rate in MB/s.

    Raises RuntimeError when one of them did not get a 2xx.
    """
    results: list[Transfer | BaseException] = []

    def work(number: int) -> None:
        try:
            results.append(one(number))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    total = 0
    for result in results:
        if isinstance(result, BaseException) or result.status // 100 != 2:
            raise RuntimeError(f"a transfer failed: {result}")
        total += result.size
    return total / seconds / 1e6


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), 120)
    # A time-out would make the socket non-blocking, with one poll for each read.
    sock.settimeout(None)
    return sock


def _head(method: str, url: str, headers: Mapping[str, str] | None, length: int | None) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read_head(sock: socket.socket, block: bytearray) -> tuple[int, int | None, int]:
    """Return status, Content-Length, and how many body bytes came with the head."""
    held = b""
    while b"\r\n\r\n" not in held:
        got = sock.recv_into(block)
        if got == 0:
            raise RuntimeError(f"the answer ended in its head: {held[:200]!r}")
        held += bytes(block[:got])
    head, _, body = held.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    length = None
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return int(first.split()[1]), length, len(body)


# Cost


def process_tree(pid: int) -> list[int]:
    """Return `pid` and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def resident(pid: int) -> int:
    """Return the resident bytes of the whole process tree."""
    total = 0
    for one in process_tree(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of the process tree, ended and awaited children included."""
    ticks = 0
    for one in process_tree(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


class Memory:
    """Samples the resident bytes of a process tree while the `with` block runs.

    `begin` is the first sample, `peak` the largest; `growth` their difference, all in bytes.
    """

    def __init__(self, pid: int, interval: float = 0.03) -> None:
        self._pid = pid
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.begin = self.peak = 0

    @property
    def growth(self) -> int:
        return self.peak - self.begin

    def __enter__(self) -> Memory:
        self.begin = self.peak = resident(self._pid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.peak = max(self.peak, resident(self._pid))

    def _sample(self) -> None:
        while not self._end.wait(self._interval):
            self.peak = max(self.peak, resident(self._pid))


def until_still(measure: Callable[[], float], quiet: float = 0.5, seconds: float = 20) -> float:
    """Return the value of `measure` once it has not changed for `quiet` seconds."""
    end = time.monotonic() + seconds
    last, since = measure(), time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.02)
        now = measure()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= quiet:
            break
    return last


# Figures


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one thing over all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median: a difference below it is no difference."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0


def interleaved(
    runs: Mapping[str, Callable[[], float]], rounds: int = 3, warm: int = 1
) -> dict[str, Series]:
    """Call each run once a round, in turn (a, b, a, b ...), after `warm` uncounted rounds."""
    values: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm + rounds):
        for name, run in runs.items():
            figure = run()
            if number >= warm:
                values[name].append(figure)
    return {name: Series(tuple(figures)) for name, figures in values.items()}


def paired(result: Mapping[str, Series], ours: str, limit: str) -> float:
    """Return the median over the rounds of ours / limit: load that both felt cancels out."""
    pairs = zip(result[ours].values, result[limit].values, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


def random_file(path: Path, size: int) -> Path:
    """Write `size` bytes that no one can compress or skip; returns the path."""
    block = os.urandom(min(size, 16 * MIB))
    with path.open("wb") as file:
        left = size
        while left:
            part = block[: min(left, len(block))]
            file.write(part)
            left -= len(part)
    return path


def sparse_file(path: Path, size: int) -> Path:
    """Make a file of `size` bytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
