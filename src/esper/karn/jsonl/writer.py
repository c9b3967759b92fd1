"""Append-only writer of one event file: whole lines, one ``write`` each, that survive a killed process."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from esper.karn.jsonl.lock import take_write_lock
from esper.leyline.errors import RunLockedError, TelemetryFileError

_TAIL_BYTES = 1 << 16


class LineWriter:
    """An open, locked event file; a torn last line of an earlier process is ended at once.

    Raises:
        RunLockedError: if another process writes the file.
        TelemetryFileError: if it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise TelemetryFileError(
                f"can't write telemetry to {path}: {error.strerror}; choose a folder that can be written"
            ) from error
        if not take_write_lock(self._fd):
            os.close(self._fd)
            raise RunLockedError(
                f"{path} is being written by another process; give this one its own run_dir or rank"
            )
        # Appending to a torn line would glue two events into one bad line and lose a good one.
        self._torn = not self._ends_with_newline()
        with contextlib.suppress(OSError):  # a full disk: the newline then precedes the next line
            self._end_torn_line()

    def _ends_with_newline(self) -> bool:
        size = os.fstat(self._fd).st_size
        return size == 0 or os.pread(self._fd, 1, size - 1) == b"\n"

    def _end_torn_line(self) -> None:
        if self._torn:
            os.write(self._fd, b"\n")
            self._torn = False

    @property
    def inode(self) -> int:
        """The file's own number on its file system: a copy has another."""
        return os.fstat(self._fd).st_ino

    def write(self, line: bytes) -> None:
        """Append one line; when it returns, a killed process loses nothing of it.

        Raises:
            OSError: if the line could not be written whole; the next one starts on a line of its own.
        """
        self._end_torn_line()
        written = os.write(self._fd, line)
        while written < len(line):
            self._torn = True
            written += os.write(self._fd, line[written:])
            self._torn = written < len(line)

    def write_many(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Append lines with as few writes as it takes.

        Returns:
            How many lines are in the file whole, and what kept the others out.
        """
        chunk, written = b"".join(lines), 0
        try:
            self._end_torn_line()
            while written < len(chunk):
                written += os.write(self._fd, chunk[written:])
        except OSError as error:
            whole = chunk.count(b"\n", 0, written)
            self._torn = written > 0 and chunk[written - 1 : written] != b"\n"
            return whole, error
        return len(lines), None

    def sync(self) -> None:
        """Ask the disk to keep what was written; only a machine's crash, not a process's, needs it."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file and give up its lock."""
        os.close(self._fd)

    def history(self) -> tuple[int, int]:
        """How often the file was opened to write, 0 for a new one, and the next ``seq`` in it."""
        size = os.fstat(self._fd).st_size
        if size == 0:
            return 0, 0
        with mmap.mmap(self._fd, size, prot=mmap.PROT_READ) as whole:
            return _last_attempt(whole), _next_seq(whole)


class _Stamp(msgspec.Struct):
    attempt: int | None = None


class _Trace(msgspec.Struct):
    seq: int | None = None
    data: _Stamp | None = None


_trace = msgspec.json.Decoder(_Trace)


def _decoded(line: bytes) -> _Trace:
    try:
        return _trace.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Trace()


def _line_around(whole: mmap.mmap, position: int) -> bytes:
    end = whole.find(b"\n", position)
    return whole[whole.rfind(b"\n", 0, position) + 1 : len(whole) if end < 0 else end]


def _last_attempt(whole: mmap.mmap) -> int:
    end = len(whole)
    while (found := whole.rfind(b'"attempt":', 0, end)) >= 0:
        line = _decoded(_line_around(whole, found))
        if line.data is not None and line.data.attempt is not None:
            return line.data.attempt
        end = found
    return 1  # written by something that does not count its attempts


def _next_seq(whole: mmap.mmap) -> int:
    """One more than the highest ``seq`` near the end; two threads' lines may lie a little out of order."""
    end = whole.rfind(b'"seq":')
    if end < 0:
        return 0
    near = [*whole[max(0, end - _TAIL_BYTES) :].split(b"\n")[1:], _line_around(whole, end)]
    return max((trace.seq + 1 for line in near if (trace := _decoded(line)).seq is not None), default=0)
