"""Follows a growing event file by stat and read; no notification, which network file systems lack."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_MARK_BYTES = 64


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
        self._mark = b""
        self._seen: tuple[int, int, int, int] | None = None

    def read(self, max_bytes: int = 8 << 20) -> Chunk | None:
        """The next whole lines, or None if there are none now.

        Args:
            max_bytes: about as much as one chunk holds; a longer single line comes whole all the same.
        """
        try:
            stat = os.stat(self.path)
        except OSError:
            return self._restart() if self.offset else None
        state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        self.size = stat.st_size
        if state == self._seen:
            return None
        replaced = self._seen is not None and self._seen[:2] != state[:2]
        if replaced or stat.st_size < self.offset:
            return self._restart()
        try:
            with open(self.path, "rb", buffering=0) as file:
                if (
                    self._mark
                    and os.pread(file.fileno(), len(self._mark), self.offset - len(self._mark)) != self._mark
                ):
                    return self._restart()
                data = self._read_lines(file.fileno(), max_bytes)
        except OSError:
            return None
        if not data:
            self._seen = state
            return None
        chunk = Chunk(data=data, offset=self.offset, line_number=self._lines + 1, restarted=False)
        self.offset += len(data)
        self._lines += data.count(b"\n")
        self._mark = data[-_MARK_BYTES:]
        self._seen = (*state[:2], -1, -1)  # there may be more, so look again
        return chunk

    def _read_lines(self, fd: int, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        position = self.offset
        while True:
            part = os.pread(fd, max_bytes, position)
            end = part.rfind(b"\n") + 1
            if end:
                return b"".join([*parts, part[:end]])
            if not part:
                return b""
            parts.append(part)
            position += len(part)

    def _restart(self) -> Chunk:
        self.offset = self._lines = 0
        self._mark = b""
        self._seen = None
        return Chunk(data=b"", offset=0, line_number=1, restarted=True)
