"""Follows a growing event file by stat and read; no notification, which network file systems lack."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from esper.karn.jsonl.packed import DamagedArchiveError
from esper.karn.jsonl.source import Look, Source, look, look_at, open_events, size_of

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
    read anew from its start; the next chunk then says ``restarted``. One that was archived, or is back from
    its archive, holds the same lines: it is read on.

    Attributes:
        path: the file.
        offset: bytes read so far; always the start of a line.
        size: bytes that the file held when it was last looked at; more than ``offset`` where a line is
            half-written or the file is ahead of the reader.
        damage: why its archive can't be read; None if it can, or there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.size = 0
        self.damage: str | None = None
        self._lines = 0
        self._unended = 0
        """Bytes after ``offset`` that were searched and hold no newline."""
        self._mark = b""
        self._seen: Look | None = None
        """The file when it was last read."""
        self._nothing_new = False
        """Whether it had nothing more to give then."""

    def read(self, max_bytes: int = 8 << 20) -> Chunk | None:
        """The next whole lines, or None if there are none now.

        Args:
            max_bytes: about as much as one chunk holds; a longer single line comes whole all the same.
        """
        try:
            now = look(self.path)
            if not now.is_packed:
                self.size = now.size
            if self._nothing_new and self._seen == now:
                return None
            if not now.is_regular:
                return None  # to open a pipe would wait for its writer
            with self.opened() as source:
                self.damage = None
                self.size = source.size
                return self._read_open(source, max(1, max_bytes))
        except (FileNotFoundError, NotADirectoryError):
            self.size, had_lines = 0, self.offset > 0
            gone = self._restart()
            return gone if had_lines else None
        except DamagedArchiveError as error:
            self.damage = str(error)
            return None
        except OSError:
            return None  # a network file system that stumbled is no reason to read anew

    def opened(self) -> AbstractContextManager[Source]:
        """The file, open to be read."""
        return open_events(self.path)

    @property
    def lines(self) -> int:
        """Lines read so far."""
        return self._lines

    def may_have_more(self) -> bool:
        """Whether ``read`` could find something: False where all was read and nobody has written since."""
        try:
            now = look(self.path)
        except OSError:
            return True
        if not now.is_packed:
            self.size = now.size
        return not self._nothing_new or self._seen != now

    def bytes_left(self) -> int:
        """Bytes that the file holds now and that were not read; some if it shrank.

        Raises:
            OSError: if that can't be known.
        """
        return abs(size_of(self.path) - self.offset)

    def skip_to(self, offset: int, lines: int) -> None:
        """Go on from ``offset``, as if what is before it had been read; known from elsewhere.

        Args:
            offset: start of a line.
            lines: how many come before it.

        Raises:
            OSError: if the file can't be read.
        """
        with self.opened() as source:
            now, size = look_at(source), source.size
            mark = source.read_at(min(_MARK_BYTES, offset), max(0, offset - _MARK_BYTES))
        self.offset, self.size, self._lines, self._unended = offset, size, lines, 0
        self._mark = mark
        self._seen = now
        self._nothing_new = size == offset

    def _read_open(self, source: Source, max_bytes: int) -> Chunk | None:
        now, size = look_at(source), source.size  # of the file that is read, whatever its name means by now
        if (self._seen is not None and not _may_be_the_same(self._seen, now)) or size < self.offset:
            return self._restart()
        if source.read_at(len(self._mark), self.offset - len(self._mark)) != self._mark:
            return self._restart()
        self._seen = now
        if size < self.offset + self._unended:
            self._unended = 0
        data = self._read_lines(source, max_bytes)
        if not data:
            self._nothing_new = True
            return None
        chunk = Chunk(data=data, offset=self.offset, line_number=self._lines + 1, restarted=False)
        self.offset += len(data)
        self._lines += data.count(b"\n")
        self._mark = data[-_MARK_BYTES:]
        self._unended = 0
        # Whatever came after this look at its size changes the next one.
        self._nothing_new = self.offset >= size
        return chunk

    def _read_lines(self, source: Source, max_bytes: int) -> bytes:
        """Whole lines from ``offset`` on: what one read brings, or one line that is longer than that."""
        if not self._unended:
            part = source.read_at(max_bytes, self.offset)
            end = part.rfind(b"\n") + 1
            if end:
                return part[:end]
            self._unended = len(part)
        while part := source.read_at(_LONG_LINE_BYTES, self.offset + self._unended):
            end = part.find(b"\n") + 1
            if end:
                return _read_exactly(source, self.offset, self._unended) + part[:end]
            self._unended += len(part)
        return b""

    def _restart(self) -> Chunk:
        self.offset = self._lines = self._unended = 0
        self._mark = b""
        self._seen, self._nothing_new = None, False
        return Chunk(data=b"", offset=0, line_number=1, restarted=True)


def _may_be_the_same(before: Look, now: Look) -> bool:
    return before.identity == now.identity or before.is_packed or now.is_packed


def _read_exactly(source: Source, offset: int, length: int) -> bytes:
    parts = []
    while length and (part := source.read_at(length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    if length:
        raise OSError("the file shrank while it was read")
    return b"".join(parts)
