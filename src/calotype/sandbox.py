# SPDX-License-Identifier: Apache-2.0
"""What an external program may see and do, as argument lists; nothing is started here.

Owns the bubblewrap arguments, the resource-limit arguments and the system-call filter (security
contract, C2). With bubblewrap a program sees an empty machine: the system's read-only libraries,
the inputs it was given, one place to write, no network, no other process, no capability. Without
it only the limits remain; `programs.sandbox_kind()` says which of the two this host has.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

# Present on every merged-/usr distribution as links, on older ones as directories.
_LIBRARIES = ("/lib", "/lib64", "/lib32", "/bin", "/sbin")
SCRATCH_BYTES = 16 << 20
INPUT_ROOT = "/in"
WORK_ROOT = "/work"
# After all binds: the root and /dev are memory that a program could otherwise fill.
SEAL = ("--remount-ro", "/dev", "--remount-ro", "/")


def bubblewrap(program: str, shown: Iterable[Path], seccomp: int | None) -> list[str]:
    """Return the start of a bubblewrap command line: the empty machine, before any binds.

    `shown` are further places visible read-only; `seccomp` is a descriptor of `call_filter()`.
    """
    args = [program, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    args += ["--hostname", "sandbox", "--clearenv"]
    args += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "LC_ALL", "C.UTF-8"]
    # One heap for all threads: an arena per thread would reserve address space up to the limit.
    args += ["--setenv", "MALLOC_ARENA_MAX", "2"]
    args += ["--ro-bind", "/usr", "/usr"]
    for place in map(Path, _LIBRARIES):
        if place.is_symlink():
            args += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            args += ["--ro-bind", str(place), str(place)]
    args += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    args += ["--dev", "/dev", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 it is the sandbox's own, private and empty
    # After /tmp, which would hide a program that is installed below it.
    for place in shown:
        args += ["--ro-bind", str(place), str(place)]
    if seccomp is not None:
        args += ["--seccomp", str(seccomp)]
    return args


def input_binds(descriptors: Sequence[int], by_descriptor: bool) -> list[str]:
    """Return binds that show each open file read-only as /in/0, /in/1 and so on.

    Bound by descriptor where this bubblewrap can (it then checks that it is the same file), else
    by the name the kernel knows for the descriptor.
    """
    args: list[str] = []
    for number, descriptor in enumerate(descriptors):
        if by_descriptor:
            args += ["--ro-bind-fd", str(descriptor), f"{INPUT_ROOT}/{number}"]
        else:
            name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            args += ["--ro-bind", name, f"{INPUT_ROOT}/{number}"]
    return args


def work_bind(work: Path | None) -> list[str]:
    """Return the bind of the one writable place: a directory, or a single existing file in /work.

    A single file is the tighter choice: a program that was taken over cannot fill the disk with
    many files, each of them under the size limit.
    """
    if work is None:
        return []
    seen = WORK_ROOT if work.is_dir() else f"{WORK_ROOT}/{work.name}"
    return ["--bind", str(work), seen, "--chdir", WORK_ROOT]


def tied_to(parent: int, setpriv: str, shell: str) -> list[str]:
    """Return a command line that dies with process `parent`, its starter, and becomes the tool.

    The tie alone would come too late for a parent that died before it was made; so the parent is
    looked for once more after it. The shell runs this constant text; the tool is an argument list.
    """
    check = 'test "$PPID" = "$0" && exec "$@"'
    return [setpriv, "--pdeathsig", "KILL", shell, "-c", check, str(parent)]


def limit_args(program: str, limits: Iterable[tuple[str, int]]) -> list[str]:
    """Return a `prlimit` command line that sets soft and hard limits and then becomes the tool.

    The hard limit of CPU time lies a little higher: at the soft one a program dies of SIGXCPU,
    which names the cause; at the hard one of SIGKILL, which could be anything.
    """
    pairs = [(name, value, value + 2 if name == "cpu" else value) for name, value in limits]
    return [program, *(f"--{name}={soft}:{hard}" for name, soft, hard in pairs), "--"]


# Numbers of denied calls: (x86_64, aarch64). What reaches another process, the kernel's set-up,
# a new name space, a socket, or the two largest young interfaces (io_uring, bpf).
_DENIED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "socket": (41, 198),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "personality": (135, 92),
    "syslog": (103, 116),
    "acct": (163, 89),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "quotactl": (179, 60),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
}
_MACHINES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}
_CLONE3 = 435
_CLONE_NEWUSER = 0x10000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def call_filter(machine: str | None = None) -> bytes | None:
    """Return a seccomp filter program for bubblewrap, or None on a machine it is not made for.

    Denied calls fail with EPERM, so that a tool can go on without what it does not need; `clone3`
    says ENOSYS because its flags cannot be read by a filter and C libraries then use `clone`.
    """
    row = _MACHINES.get(machine or os.uname().machine)
    if row is None:
        return None
    column, architecture, clone = row

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, k)

    program = [step(_LOAD, 4), step(_JUMP_EQUAL, architecture, 1, 0), step(_RETURN, _KILL)]
    # The x32 calls of x86_64 would pass by every comparison below under other numbers.
    program += [step(_LOAD, 0), step(_JUMP_GREATER_EQUAL, 0x40000000, 0, 1), step(_RETURN, _KILL)]
    program += [step(_JUMP_EQUAL, _CLONE3, 0, 1), step(_RETURN, _ERRNO | _ENOSYS)]
    for numbers in _DENIED.values():
        program += [step(_JUMP_EQUAL, numbers[column], 0, 1), step(_RETURN, _ERRNO | _EPERM)]
    program += [step(_JUMP_EQUAL, clone, 0, 3), step(_LOAD, 16)]
    program += [step(_JUMP_SET, _CLONE_NEWUSER, 0, 1), step(_RETURN, _ERRNO | _EPERM)]
    program += [step(_RETURN, _ALLOW)]
    return b"".join(program)
