# SPDX-License-Identifier: Apache-2.0
"""How content gets into a directory: taken over by a link, or copied with its holes.

Works on descriptors, so that the bytes which were looked at are the bytes which are stored.
Raises OSError as it comes; `files.py` gives it a meaning.
"""

from __future__ import annotations

import errno
import fcntl
import os

from calotype.storage.base import BLOCK, source_changed

# ENOENT: no /proc to make the link through.
_NO_SHARING = {
    errno.EXDEV,
    errno.EPERM,
    errno.EMLINK,
    errno.EACCES,
    errno.EOPNOTSUPP,
    errno.ENOENT,
}
_NO_FAST_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}
_FICLONE = 0x40049409
_COPY_STEP = 64 << 20


def seal(descriptor: int) -> None:
    """Make content read-only, dated now, and durable."""
    os.fchmod(descriptor, 0o400)
    os.utime(descriptor)
    os.fsync(descriptor)


def adopt(content: int, directory: int, name: str) -> bool:
    """Link the open file itself to its new name; False when it must be copied instead."""
    found = os.fstat(content)
    if found.st_nlink != 1 or found.st_dev != os.fstat(directory).st_dev:
        return False  # whoever holds another name could change the bytes later
    try:
        seal(content)
        # A link made through the descriptor is a link to what was opened, not to what lies under
        # the name now; dst_dir_fd makes Python pass AT_SYMLINK_FOLLOW, which that needs.
        os.link(f"/proc/self/fd/{content}", name, dst_dir_fd=directory, follow_symlinks=True)
    except OSError as error:
        if error.errno in _NO_SHARING:
            return False
        raise
    return True


def copy(source: int, target: int) -> None:
    """Copy data extents only, by sharing or in the kernel where the file system can."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError:
        pass  # most file systems cannot share extents
    at = 0
    while at < size:
        try:
            begin = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            raise
        end = os.lseek(source, begin, os.SEEK_HOLE)
        _copy_extent(source, target, begin, min(end, size))
        at = end


def _copy_extent(source: int, target: int, at: int, end: int) -> None:
    in_kernel = True
    while at < end:
        step = min(_COPY_STEP, end - at)
        if in_kernel:
            try:
                copied = os.copy_file_range(source, target, step, at, at)
            except OSError as error:
                if error.errno not in _NO_FAST_COPY:
                    raise
                in_kernel = False
                continue
        else:
            copied = os.pwrite(target, os.pread(source, min(BLOCK, step), at), at)
        if copied == 0:
            raise source_changed()  # it became shorter while it was copied
        at += copied
