"""Opens an event file wherever its bytes are: as it was written, or archived beside where it was."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from esper.karn.jsonl.lock import is_write_locked
from esper.karn.jsonl.packed import PackedFile, is_foreign
from esper.karn.settings import ARCHIVE_SUFFIX, archive_of

_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Without the last, who opens a pipe that lies in a file's place would wait for its writer."""


class PlainFile:
    """An open event file.

    Args:
        fd: of the file; closed with this.
    """

    is_packed = False

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def size(self) -> int:
        """Bytes that it holds now."""
        return os.fstat(self.fd).st_size

    def read_at(self, length: int, offset: int) -> bytes:
        """As ``os.pread``."""
        return os.pread(self.fd, length, offset)

    def known_edges(self, start: int, end: int) -> str | None:
        """Nothing is noted of a file that may be written."""
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


Source = PlainFile | PackedFile


class Look(NamedTuple):
    """What a glance at an event file or its archive shows: whether anything has changed."""

    identity: tuple[int, int]
    size: int
    """On disk, so that of an archive it is not the event file's."""
    mtime_ns: int
    is_packed: bool
    is_regular: bool


def look(path: Path) -> Look:
    """A glance at an event file, or at its archive where that counts.

    Raises:
        OSError: if neither is there.
    """
    try:
        return _look(os.stat(path), is_packed=_names_archive(path))
    except FileNotFoundError:
        return _look(os.stat(archive_of(path)), is_packed=True)


def look_at(source: Source) -> Look:
    """The same of an open one."""
    return _look(os.fstat(source.fd), is_packed=source.is_packed)


def is_archived(path: Path) -> bool:
    """Whether an event file is there as an archive alone."""
    return _is_packed_alone(path) and not _is_foreign(archive_of(path))


def is_packed_by_others(path: Path) -> bool:
    """Whether an event file is there alone as gzip that ``karn archive`` did not write."""
    return _is_packed_alone(path) and _is_foreign(archive_of(path))


@contextmanager
def open_events(path: Path) -> Iterator[Source]:
    """An event file, or its archive where there is no such file.

    Args:
        path: the event file; an archive's own name opens the archive, whatever is beside it.

    Raises:
        OSError: if neither can be read.
    """
    source = _open(path)
    try:
        yield source
    finally:
        source.close()


def size_of(path: Path) -> int:
    """Bytes of an event file, archived or not.

    Raises:
        OSError: if it can't be known.
    """
    seen = look(path)
    if not seen.is_packed:
        return seen.size
    with open_events(path) as source:
        return source.size


def writer_lives(path: Path, inode: int | None) -> bool | None:
    """Whether some process holds an event file to write; None for a copy, or where that can't be known.

    Args:
        path: the event file.
        inode: the one that its writer noted; None before its first event.
    """
    try:
        with open_events(path) as source:
            if inode is None:  # no lock says nothing: the file may be a copy
                return True if isinstance(source, PlainFile) and is_write_locked(source.fd) else None
            if isinstance(source, PackedFile):
                return False if source.index.inode == inode else None
            return is_write_locked(source.fd) if os.fstat(source.fd).st_ino == inode else None
    except OSError:
        return None


def open_archive(archive: Path) -> PackedFile:
    """An archive by its own name.

    Raises:
        OSError: if it can't be read.
    """
    fd = os.open(archive, _TO_READ)
    try:
        return PackedFile(fd, f"{archive.parent.name}/{archive.name}")
    except BaseException:
        os.close(fd)
        raise


def _open(path: Path) -> Source:
    if _names_archive(path):
        return open_archive(path)
    try:
        return PlainFile(os.open(path, _TO_READ))
    except FileNotFoundError:
        return open_archive(archive_of(path))


def _names_archive(path: Path) -> bool:
    return path.suffix == ARCHIVE_SUFFIX


def _is_packed_alone(path: Path) -> bool:
    return not os.path.lexists(path) and archive_of(path).is_file()


def _is_foreign(archive: Path) -> bool:
    try:
        fd = os.open(archive, _TO_READ)
    except OSError:
        return False
    try:
        return is_foreign(fd)
    finally:
        os.close(fd)


def _look(now: os.stat_result, *, is_packed: bool) -> Look:
    identity = now.st_dev, now.st_ino
    return Look(identity, now.st_size, now.st_mtime_ns, is_packed, stat.S_ISREG(now.st_mode))
