# SPDX-License-Identifier: Apache-2.0
"""The only module that starts external programs.

Promises: argument lists only, never read as text by a shell; a session of its own that is killed
as a whole on time-out, cancel or any error; limits of memory, CPU time, output and descriptors; an
environment made from nothing; bounded capture; no child outlives the call or this process (security
contract, C2). Synchronous: call it from a worker thread, which must wait until it returns (the
kernel ties the child's life to that thread).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from calotype import clock, sandbox
from calotype.errors import Cancelled, ProgramFailed

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}
_POLL_SECONDS = 0.05
_LINE_BYTES = 4096
_LIMIT_SIGNALS = (signal.SIGXCPU, signal.SIGXFSZ)
# A tool that meets a limit without a signal says so in the words of the C library.
_LIMIT_WORDS = (b"File too large", b"Cannot allocate memory", b"failed to allocate")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. Seconds and bytes; `captured` is kept of each output stream."""

    wall: float
    cpu: int
    memory: int
    output: int
    captured: int = 64 << 10
    files: int = 64
    processes: int = 128
    niceness: int = 5


@dataclass(frozen=True, slots=True)
class Command:
    """One run: `args[0]` is looked up on a fixed path.

    `inputs` (open descriptors or files) appear read-only as /in/0, /in/1 …; `inherited` keep
    their numbers; `work` is the one writable place (a directory, or one existing file) and the
    current directory, so outputs are named relative to it; `shown` are visible read-only.
    """

    args: tuple[str, ...]
    inputs: tuple[int | Path, ...] = ()
    inherited: tuple[int, ...] = ()
    work: Path | None = None
    shown: tuple[Path, ...] = ()
    accept: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Completed:
    """Outcome of a program that ended with an accepted code; streams are cut at `captured`."""

    stdout: bytes
    stderr: bytes
    code: int


@dataclass(frozen=True, slots=True)
class SandboxKind:
    """What holds programs on this host: `bubblewrap` or only `limits`."""

    name: str
    call_filter: bool = False
    binds_descriptors: bool = False


def run(
    command: Command,
    limits: Limits,
    *,
    progress: Callable[[str], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Completed:
    """Run a program to its end and return what it said.

    `progress` receives each line or carriage-return separated piece of both streams; `cancel` is
    asked at least every 50 ms. Raises ProgramFailed (`how`: missing, exit, signal, timeout,
    limit) and Cancelled. An exception of either callable kills the program and goes on upwards.
    """
    if cancel is not None and cancel():
        raise Cancelled("the work was cancelled before the program started")
    with contextlib.ExitStack() as stack:
        argv, descriptors, cwd = _prepare(command, limits, stack)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                cwd=cwd,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            name = command.args[0]
            text = f"the program {name} could not be started"
            raise ProgramFailed(text, how="missing", program=name) from error
        watched = _Watched(process, limits, progress, cancel)
        try:
            how = watched.until_end()
        finally:
            code = watched.finish()
    return _judge(command, watched, how, code)


def sandbox_kind() -> SandboxKind:
    """Say what holds programs on this host; asked once, and again only after a failed try."""
    with _KIND_LOCK:
        if not _KIND:
            kind = _probe()
            if kind.name == "limits" and _which("bwrap"):
                return kind  # installed but not working now: ask again next time
            _KIND.append(kind)
        return _KIND[0]


_KIND: list[SandboxKind] = []
_KIND_LOCK = threading.Lock()


def _which(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _need(name: str) -> str:
    found = _which(name)
    if found is None:
        raise ProgramFailed(f"the program {name} is not installed", how="missing", program=name)
    return found


def _probe() -> SandboxKind:
    bubblewrap = _which("bwrap")
    if bubblewrap is None:
        return SandboxKind("limits")
    with contextlib.ExitStack() as stack:
        for filtered in (True, False):
            filter_fd = _filter_descriptor(stack) if filtered else None
            argv = sandbox.bubblewrap(bubblewrap, (), filter_fd)
            for by_descriptor in (True, False):
                here = os.open(bubblewrap, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, here)
                full = [*argv, *sandbox.input_binds([here], by_descriptor), *sandbox.SEAL]
                full.append("/usr/bin/true")
                fds = [here] if filter_fd is None else [here, filter_fd]
                done = subprocess.run(
                    full,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    env=_ENVIRONMENT,
                    pass_fds=fds,
                    timeout=10,
                    check=False,
                )
                if done.returncode == 0:
                    return SandboxKind("bubblewrap", filter_fd is not None, by_descriptor)
                if filter_fd is not None:
                    os.lseek(filter_fd, 0, os.SEEK_SET)
    return SandboxKind("limits")


def _filter_descriptor(stack: contextlib.ExitStack) -> int | None:
    program = sandbox.call_filter()
    if program is None:
        return None
    descriptor = os.memfd_create("calls", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _prepare(
    command: Command, limits: Limits, stack: contextlib.ExitStack
) -> tuple[list[str], list[int], Path | None]:
    """Return the full command line, the descriptors to inherit and the directory to start in."""
    kind = sandbox_kind()
    tool = _need(command.args[0])
    inputs = [_opened(item, stack) for item in command.inputs]
    numbers = [
        ("as", limits.memory),
        ("cpu", limits.cpu),
        ("fsize", limits.output),
        ("core", 0),
        ("nofile", limits.files),
    ]
    start = sandbox.tied_to(os.getpid(), _need("setpriv"), _need("sh"))
    start += [_need("nice"), "-n", str(limits.niceness), _need("ionice"), "-c2", "-n6"]
    if kind.name == "bubblewrap":
        filter_fd = _filter_descriptor(stack) if kind.call_filter else None
        argv = sandbox.bubblewrap(_need("bwrap"), command.shown, filter_fd)
        argv += sandbox.input_binds(inputs, kind.binds_descriptors)
        argv += sandbox.work_bind(command.work)
        argv += sandbox.SEAL
        # Counted inside the sandbox's own user name space, where nothing else runs.
        argv += sandbox.limit_args(_need("prlimit"), [*numbers, ("nproc", limits.processes)])
        passed = [*command.inherited, *([] if filter_fd is None else [filter_fd])]
        passed += inputs if kind.binds_descriptors else []
        return [*start, *argv, tool, *command.args[1:]], passed, None
    argv = [*start, _need("setpriv"), "--no-new-privs"]
    argv += [*sandbox.limit_args(_need("prlimit"), numbers), tool]
    for argument in command.args[1:]:
        seen = argument
        for number, descriptor in enumerate(inputs):
            seen = seen.replace(f"{sandbox.INPUT_ROOT}/{number}", f"/proc/self/fd/{descriptor}")
        argv.append(seen)
    work = command.work
    cwd = work.parent if work is not None and not work.is_dir() else work
    return argv, [*command.inherited, *inputs], cwd


def _opened(item: int | Path, stack: contextlib.ExitStack) -> int:
    if isinstance(item, int):
        return item
    descriptor = os.open(item, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    stack.callback(os.close, descriptor)
    return descriptor


class _Watched:
    """One running program: its streams, its deadline and the certain end of its whole group."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        progress: Callable[[str], None] | None,
        cancel: Callable[[], bool] | None,
    ) -> None:
        self._process = process
        self._captured = limits.captured
        self._deadline = clock.monotonic() + limits.wall
        self._progress = progress
        self._cancel = cancel
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = (process.stdout, process.stderr)
        self._open = {pipe.fileno() for pipe in self._pipes}
        self.stdout, self.stderr = bytearray(), bytearray()
        self._kept = {process.stdout.fileno(): self.stdout, process.stderr.fileno(): self.stderr}
        self._line = {fd: bytearray() for fd in self._open}
        self._selector = selectors.DefaultSelector()
        for fd in self._open:
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ)
        self._end = os.pidfd_open(process.pid)
        self._selector.register(self._end, selectors.EVENT_READ)

    def until_end(self) -> str | None:
        """Follow the program until it ends; return why it must be killed, or None."""
        while True:
            ended = False
            for key, _ in self._selector.select(_POLL_SECONDS):
                if key.fd == self._end:
                    ended = True
                else:
                    self._read(key.fd)
            if ended:
                self._last_words()
                return None
            if self._cancel is not None and self._cancel():
                return "cancel"
            if clock.monotonic() > self._deadline:
                return "timeout"

    def _last_words(self) -> None:
        """Read what is already in the pipes; bounded, because a stray child may go on writing."""
        for fd in tuple(self._open):
            for _ in range(16):
                if fd not in self._open or not self._read(fd):
                    break

    def finish(self) -> int:
        """Kill what is left of the group, drain the pipes, reap; return the exit status."""
        # The leader is not reaped yet, so its group number cannot have been given to another.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        stop = clock.monotonic() + 5
        self._progress = None
        while self._open and clock.monotonic() < stop:
            for key, _ in self._selector.select(_POLL_SECONDS):
                if key.fd != self._end:
                    self._read(key.fd)
                elif self._open:
                    self._selector.unregister(self._end)
        code = self._process.wait()
        self._selector.close()
        os.close(self._end)
        for pipe in self._pipes:
            pipe.close()
        return code

    def _read(self, fd: int) -> bool:
        """Take one block from a stream; False when there is none now or never again."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(fd)
            self._open.discard(fd)
            return False
        kept = self._kept[fd]
        kept += data[: self._captured - len(kept)]
        if self._progress is not None:
            for piece in _pieces(self._line[fd], data):
                self._progress(piece)
        return True


def _pieces(pending: bytearray, data: bytes) -> Iterator[str]:
    """Yield complete lines of `pending + data`; what is unfinished stays in `pending`."""
    pending += data
    *done, rest = pending.replace(b"\r", b"\n").split(b"\n")
    pending[:] = rest[-_LINE_BYTES:]
    for line in done:
        if line:
            yield line[:_LINE_BYTES].decode("utf-8", "replace")


def _judge(command: Command, watched: _Watched, how: str | None, code: int) -> Completed:
    """Turn the end of a program into its outcome or the error that names how it ended."""
    name = command.args[0]
    if how == "cancel":
        raise Cancelled(f"the work was cancelled while {name} was running")
    if how == "timeout":
        raise ProgramFailed(f"{name} took longer than allowed", how="timeout", program=name)
    stderr = bytes(watched.stderr)
    if code in command.accept:
        return Completed(bytes(watched.stdout), stderr, code)
    # A sandboxed program that dies by a signal is reported by bubblewrap as 128 + number.
    number = -code if code < 0 else code - 128
    if number in _LIMIT_SIGNALS or any(word in stderr for word in _LIMIT_WORDS):
        error = ProgramFailed(f"{name} needed more than allowed", how="limit", program=name)
    elif number > 0:
        text = f"{name} was ended by signal {number}"
        error = ProgramFailed(text, how="signal", program=name, signal=number)
    elif stderr.startswith(b"bwrap: "):
        error = ProgramFailed(f"the sandbox for {name} failed", how="missing", program=name)
    else:
        text = f"{name} ended with code {code}"
        full = b"No space left on device" in stderr
        error = ProgramFailed(text, how="exit", program=name, code=code, disk_full=full)
    # A note shows in tracebacks for operators and is never part of a message to a caller.
    error.add_note("its last words: " + ascii(stderr[-300:].decode("utf-8", "replace")))
    raise error
