"""Opens an event file wherever its bytes are: as it was written, or archived beside where it was."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from esper.karn.jsonl.lock import is_write_locked
from esper.karn.jsonl.packed import PackedFile
from esper.karn.settings import archive_of


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
        return _look(os.stat(path), is_packed=False)
    except FileNotFoundError:
        return _look(os.stat(archive_of(path)), is_packed=True)


def look_at(source: Source) -> Look:
    """The same of an open one."""
    return _look(os.fstat(source.fd), is_packed=source.is_packed)


def is_archived(path: Path) -> bool:
    """Whether an event file is there as an archive alone."""
    return not os.path.lexists(path) and archive_of(path).is_file()


@contextmanager
def open_events(path: Path) -> Iterator[Source]:
    """An event file, or its archive where there is no such file.

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
        inode: the one that its writer noted.
    """
    if inode is None:
        return None
    try:
        with open_events(path) as source:
            if isinstance(source, PackedFile):
                return False if source.index.inode == inode else None
            return is_write_locked(source.fd) if os.fstat(source.fd).st_ino == inode else None
    except OSError:
        return None


def _open(path: Path) -> Source:
    try:
        return PlainFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        archive = archive_of(path)
        return PackedFile(os.open(archive, os.O_RDONLY | os.O_CLOEXEC), f"{path.parent.name}/{archive.name}")


def _look(now: os.stat_result, *, is_packed: bool) -> Look:
    identity = now.st_dev, now.st_ino
    return Look(identity, now.st_size, now.st_mtime_ns, is_packed, stat.S_ISREG(now.st_mode))
