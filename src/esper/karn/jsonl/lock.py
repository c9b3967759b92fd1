"""One writer per event file, and a way to ask whether it lives.

Open-file-description locks (Linux, macOS) are held by the open file itself: they end with the process
however it dies, reading the file elsewhere in the same process does not drop them, and another
process can ask for them without taking them. Where they are missing, flock(2) keeps two writers apart
and the question stays open.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

_SET = getattr(fcntl, "F_OFD_SETLK", None)
_GET = getattr(fcntl, "F_OFD_GETLK", None)
# struct flock: Linux has type, whence, start, len, pid; macOS has start, len, pid, type, whence.
_LINUX = sys.platform.startswith("linux")
_FORMAT = "hhqqi4x" if _LINUX else "qqihh"


def _whole_file(kind: int) -> bytes:
    if _LINUX:
        return struct.pack(_FORMAT, kind, os.SEEK_SET, 0, 0, 0)
    return struct.pack(_FORMAT, 0, 0, 0, kind, os.SEEK_SET)


def _kind(raw: bytes) -> int:
    return int(struct.unpack(_FORMAT, raw)[0 if _LINUX else 3])


def take_write_lock(fd: int) -> bool:
    """Take the exclusive lock of an open file; False if another process holds it."""
    try:
        if _SET is None:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.fcntl(fd, _SET, _whole_file(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    except PermissionError:  # what some file systems answer for a lock that is held
        return False
    return True


def is_write_locked(fd: int) -> bool | None:
    """Whether some process holds the write lock of this file; None where that can't be known."""
    if _GET is None:
        return None
    try:
        return _kind(fcntl.fcntl(fd, _GET, _whole_file(fcntl.F_RDLCK))) != fcntl.F_UNLCK
    except OSError:
        return None
