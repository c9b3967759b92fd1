"""Follows a growing event file by stat and read; no notification, which network file systems lack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

_MARK_BYTES = 64
_LONG_LINE_BYTES = 1 << 20
"""Read at a time of a line that is longer than a chunk."""


class Chunk(msgspec.Struct, frozen=True):
    """Whole lines that were appended to a file."""

    data: bytes
    """The lines; empty, or ends with a newline."""
    offset: int
    """Byte offset of the first one in the file."""
    line_number: int
    """Number of the first one, counted from 1."""
    restarted: bool
    """The file shrank, was replaced or is gone: whatever was read from it before counts no more."""


class TailReader:
    """Reads each whole line of a file once, however it grows; holds no file open between two reads.

    A half-written last line waits until it is whole. A file that shrank, was replaced or rewritten is
    read anew from its start; the next chunk then says ``restarted``.

    Attributes:
        path: the file.
        offset: bytes read so far; always the start of a line.
        size: bytes that the file held when it was last looked at; more than ``offset`` where a line is
            half-written or the file is ahead of the reader.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.size = 0
        self._lines = 0
        self._unended = 0
        """Bytes after ``offset`` that were searched and hold no newline."""
        self._mark = b""
        self._identity: tuple[int, int] | None = None
        self._nothing_new: tuple[int, ...] | None = None
        """Size and time of the file when it had nothing more to give."""

    def read(self, max_bytes: int = 8 << 20) -> Chunk | None:
        """The next whole lines, or None if there are none now.

        Args:
            max_bytes: about as much as one chunk holds; a longer single line comes whole all the same.
        """
        try:
            now = os.stat(self.path)
            self.size = now.st_size
            if self._identity == _identity(now) and self._nothing_new == (now.st_size, now.st_mtime_ns):
                return None
            if not stat.S_ISREG(now.st_mode):
                return None  # to open a pipe would wait for its writer
            with open(self.path, "rb", buffering=0) as file:
                return self._read_open(file.fileno(), max(1, max_bytes))
        except (FileNotFoundError, NotADirectoryError):
            self.size, had_lines = 0, self.offset > 0
            gone = self._restart()
            return gone if had_lines else None
        except OSError:
            return None  # a network file system that stumbled is no reason to read anew

    @property
    def lines(self) -> int:
        """Lines read so far."""
        return self._lines

    def may_have_more(self) -> bool:
        """Whether ``read`` could find something: False where all was read and nobody has written since."""
        try:
            now = os.stat(self.path)
        except OSError:
            return True
        self.size = now.st_size
        return self._identity != _identity(now) or self._nothing_new != (now.st_size, now.st_mtime_ns)

    def skip_to(self, offset: int, lines: int) -> None:
        """Go on from ``offset``, as if what is before it had been read; known from elsewhere.

        Args:
            offset: start of a line.
            lines: how many come before it.

        Raises:
            OSError: if the file can't be read.
        """
        with open(self.path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            mark = os.pread(file.fileno(), min(_MARK_BYTES, offset), max(0, offset - _MARK_BYTES))
        self.offset, self.size, self._lines, self._unended = offset, now.st_size, lines, 0
        self._mark = mark
        self._identity = _identity(now)
        self._nothing_new = (now.st_size, now.st_mtime_ns) if now.st_size == offset else None

    def _read_open(self, fd: int, max_bytes: int) -> Chunk | None:
        now = os.fstat(fd)  # of the file that is read, whatever its name means by now
        if self._identity not in (None, _identity(now)) or now.st_size < self.offset:
            return self._restart()
        if os.pread(fd, len(self._mark), self.offset - len(self._mark)) != self._mark:
            return self._restart()
        self._identity = _identity(now)
        if now.st_size < self.offset + self._unended:
            self._unended = 0
        data = self._read_lines(fd, max_bytes)
        self._nothing_new = None if data else (now.st_size, now.st_mtime_ns)
        if not data:
            return None
        chunk = Chunk(data=data, offset=self.offset, line_number=self._lines + 1, restarted=False)
        self.offset += len(data)
        self._lines += data.count(b"\n")
        self._mark = data[-_MARK_BYTES:]
        self._unended = 0
        return chunk

    def _read_lines(self, fd: int, max_bytes: int) -> bytes:
        """Whole lines from ``offset`` on: what one read brings, or one line that is longer than that."""
        if not self._unended:
            part = os.pread(fd, max_bytes, self.offset)
            end = part.rfind(b"\n") + 1
            if end:
                return part[:end]
            self._unended = len(part)
        while part := os.pread(fd, _LONG_LINE_BYTES, self.offset + self._unended):
            end = part.find(b"\n") + 1
            if end:
                return _read_exactly(fd, self.offset, self._unended) + part[:end]
            self._unended += len(part)
        return b""

    def _restart(self) -> Chunk:
        self.offset = self._lines = self._unended = 0
        self._mark = b""
        self._identity = self._nothing_new = None
        return Chunk(data=b"", offset=0, line_number=1, restarted=True)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    parts = []
    while length and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    if length:
        raise OSError("the file shrank while it was read")
    return b"".join(parts)
