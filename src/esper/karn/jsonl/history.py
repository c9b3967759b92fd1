"""What a file that is about to be resumed holds already, read from its end."""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import msgspec

_NEAR_BYTES = 8 << 20
"""Lines of several threads, or around a gap, may lie this far out of order."""


class FileHistory(NamedTuple):
    """How often a file was opened to write, 0 for a new one, and the next ``seq`` in it."""

    attempts: int
    next_seq: int


def read_history(fd: int) -> FileHistory:
    """The history of an open event file; its last line must have ended.

    Raises:
        OSError: if it can't be read.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        return FileHistory(0, 0)
    # A private mapping: some user-space file systems have no shared ones.
    with mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as whole:
        return FileHistory(_last_attempt(whole), _next_seq(whole))


class _Numbered(msgspec.Struct):
    seq: int | None = None


class _Attempt(msgspec.Struct):
    attempt: int | None = None


class _Stamped(msgspec.Struct):
    data: _Attempt | None = None


_numbered = msgspec.json.Decoder(_Numbered)
_stamped = msgspec.json.Decoder(_Stamped)


def _seq_of(line: bytes) -> int | None:
    try:
        return _numbered.decode(line).seq
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _attempt_of(line: bytes) -> int | None:
    try:
        data = _stamped.decode(line).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if data is None else data.attempt


def _line_around(whole: mmap.mmap, position: int) -> bytes:
    end = whole.find(b"\n", position)
    return whole[whole.rfind(b"\n", 0, position) + 1 : len(whole) if end < 0 else end]


def _last_attempt(whole: mmap.mmap) -> int:
    end = len(whole)
    while (found := whole.rfind(b'"attempt":', 0, end)) >= 0:
        attempt = _attempt_of(_line_around(whole, found))
        if attempt is not None:
            return attempt
        end = found
    return 1  # written by something that does not count its attempts


def _next_seq(whole: mmap.mmap) -> int:
    """One more than the highest ``seq`` near the last one."""
    end = len(whole)
    while (found := whole.rfind(b'"seq":', 0, end)) >= 0:
        if _seq_of(_line_around(whole, found)) is not None:
            near = whole[max(0, found - _NEAR_BYTES) :].split(b"\n")
            return 1 + max(seq for line in near if (seq := _seq_of(line)) is not None)
        end = found
    return 0
