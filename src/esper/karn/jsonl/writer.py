"""Append-only writer of one event file: whole lines, one ``write`` each, that survive a killed process."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shlex
import weakref
from collections.abc import Sequence
from pathlib import Path

from esper.karn.jsonl.history import FileHistory, read_history
from esper.karn.jsonl.lock import take_write_lock
from esper.karn.jsonl.source import is_archived, is_packed_by_others
from esper.karn.settings import archive_of
from esper.leyline.errors import RunLockedError, TelemetryFileError, TelemetryUsageError

_log = logging.getLogger("karn")


class LineWriter:
    """An open, locked event file; a torn last line of an earlier process is ended at once.

    Where the file system has no locks, a warning is logged and nothing keeps a second writer out.

    Raises:
        TelemetryUsageError: if the file is archived, or packed by another program.
        RunLockedError: if it is open for writing already.
        TelemetryFileError: if it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if is_archived(path):
            raise _archived(path)
        if is_packed_by_others(path):
            raise _packed_by_others(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._close_fd = weakref.finalize(self, os.close, self._fd)
        self._close_fd.atexit = False  # a buffer may still want to be written at exit
        try:
            locked = take_write_lock(self._fd)
            overtaken = locked is not False and _was_archived_meanwhile(path, self._fd)
            # Appending to a torn line would glue two events into one bad line and lose a good one.
            self._torn = not self._ends_with_newline()
            self.inode = os.fstat(self._fd).st_ino
            """The file's own number on its file system: a copy has another."""
        except OSError as error:
            self._close_fd()
            raise _cannot_write(path, error) from error
        if locked is False:
            self._close_fd()
            raise RunLockedError(
                f"{path} is being written already, by another process or an open collector; "
                "give this one a run_dir or rank of its own"
            )
        if overtaken:
            self._close_fd()
            raise _archived(path)
        if locked is None:
            _log.warning("%s is on a file system without locks: let only one process write it", path)
        with contextlib.suppress(OSError):  # a full disk: the newline then precedes the next line
            self._end_torn_line()

    def _ends_with_newline(self) -> bool:
        size = os.fstat(self._fd).st_size
        return size == 0 or os.pread(self._fd, 1, size - 1) == b"\n"

    def _end_torn_line(self) -> None:
        if self._torn:
            os.write(self._fd, b"\n")
            self._torn = False

    def write(self, line: bytes) -> None:
        """Append one line; when it returns, a killed process loses nothing of it.

        Raises:
            OSError: if the line could not be written whole; the next one starts on a line of its own.
        """
        if self._torn:
            self._end_torn_line()
        written = os.write(self._fd, line)
        if written < len(line):
            self._finish(memoryview(line), written)

    def write_many(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Append lines with as few writes as it takes.

        Returns:
            How many lines are in the file whole, and what kept the others out.
        """
        chunk = b"".join(lines)
        try:
            self._end_torn_line()
        except OSError as error:
            return 0, error
        try:
            self._finish(memoryview(chunk), 0)
        except _StoppedError as stopped:
            return chunk.count(b"\n", 0, stopped.written), stopped
        return len(lines), None

    def _finish(self, lines: memoryview, written: int) -> None:
        """Write what is left of lines that were written in part."""
        while written < len(lines):
            self._torn = written > 0 and lines[written - 1] != ord("\n")
            try:
                step = os.write(self._fd, lines[written:])
            except OSError as error:
                if self._torn and lines[written] == ord("\n"):
                    written += 1  # only the newline is missing, and the next write begins with it
                    if written == len(lines):
                        return
                raise _StoppedError(error, written) from error
            if step == 0:
                raise _StoppedError(OSError(errno.EIO, os.strerror(errno.EIO)), written)
            written += step
        self._torn = False

    def close(self) -> None:
        """Close the file and give up its lock.

        Raises:
            OSError: if the file system says only now that it could not keep what was written.
        """
        with contextlib.suppress(OSError):
            self._end_torn_line()
        self._fd = -1
        self._close_fd()

    def close_in_child(self) -> None:
        """Close a forked child's copy, which writes nothing; the parent's lock stays."""
        self._fd = -1
        self._close_fd()

    def history(self) -> FileHistory:
        """What earlier processes left in the file.

        Raises:
            TelemetryFileError: if it can't be read.
        """
        try:
            return read_history(self._fd)
        except OSError as error:
            raise TelemetryFileError(f"can't read {self.path}, to resume it: {error.strerror}") from error


class _StoppedError(OSError):
    """A write that failed after ``written`` bytes."""

    def __init__(self, cause: OSError, written: int) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.written = written


def _was_archived_meanwhile(path: Path, fd: int) -> bool:
    """Whether the file was archived since it was looked for: what is open was removed, or made anew."""
    now = os.fstat(fd)
    if not archive_of(path).exists() or (now.st_nlink and now.st_size):
        return False
    if now.st_nlink:
        path.unlink()
    return True


def _archived(path: Path) -> TelemetryUsageError:
    return TelemetryUsageError(
        f"{path} is archived and can't be written: bring it back with "
        f"`karn archive --restore {shlex.quote(path.parent.name)}`, or give another run_dir"
    )


def _packed_by_others(path: Path) -> TelemetryUsageError:
    packed = archive_of(path)
    return TelemetryUsageError(
        f"{packed} holds events of this run and was not written by karn archive: bring them back with "
        f"`gunzip {shlex.quote(str(packed))}`, or give another run_dir"
    )


def _cannot_write(path: Path, error: OSError) -> TelemetryFileError:
    return TelemetryFileError(
        f"can't write telemetry to {path}: {error.strerror}; choose a folder that can be written"
    )
