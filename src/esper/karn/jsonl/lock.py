"""One writer per event file, and a way to ask whether it lives.

Open-file-description locks (Linux, macOS) are held by the open file itself: they end with the process
however it dies, reading the file elsewhere in the same process does not drop them, and another
process can ask for them without taking them. Where they are missing, flock(2) keeps two writers apart
and the question stays open. Some file systems have neither, as parallel ones of clusters.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys

_SET = getattr(fcntl, "F_OFD_SETLK", None)
_GET = getattr(fcntl, "F_OFD_GETLK", None)
# struct flock: Linux has type, whence, start, len, pid; macOS has start, len, pid, type, whence.
_LINUX = sys.platform.startswith("linux")
_FORMAT = "hhqqi4x" if _LINUX else "qqihh"

_HELD = (errno.EAGAIN, errno.EACCES)
_MISSING = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def _whole_file(kind: int) -> bytes:
    if _LINUX:
        return struct.pack(_FORMAT, kind, os.SEEK_SET, 0, 0, 0)
    return struct.pack(_FORMAT, 0, 0, 0, kind, os.SEEK_SET)


def _kind(raw: bytes) -> int:
    return int(struct.unpack(_FORMAT, raw)[0 if _LINUX else 3])


def take_write_lock(fd: int) -> bool | None:
    """Take the exclusive lock of an open file.

    Returns:
        False if it is held already; None if this file system has no locks.

    Raises:
        OSError: if the file can't be asked.
    """
    return _taken(fd, by_ofd=True) if _SET is not None else _taken(fd, by_ofd=False)


def _taken(fd: int, *, by_ofd: bool) -> bool | None:
    try:
        if by_ofd:
            fcntl.fcntl(fd, _SET, _whole_file(fcntl.F_WRLCK))  # type: ignore[arg-type]
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno not in _MISSING:
            raise
        return _taken(fd, by_ofd=False) if by_ofd else None
    return True


def is_write_locked(fd: int) -> bool | None:
    """Whether some process holds the write lock of this file; None where that can't be known."""
    if _GET is None:
        return None
    try:
        return _kind(fcntl.fcntl(fd, _GET, _whole_file(fcntl.F_RDLCK))) != fcntl.F_UNLCK
    except OSError:
        return None
