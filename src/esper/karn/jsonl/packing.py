"""Writes an event file's archive, and the event file from its archive. Neither removes what it was made of.

Both write under a temporary name, sync, read back what is on disk, and rename: the new file is there as a
whole or not at all, however the process dies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from esper.karn.jsonl.packed import MEMBER_BYTES, Index, PackedFile, index_member, pack_member
from esper.karn.jsonl.source import PlainFile, Source
from esper.karn.settings import archive_of
from esper.leyline.errors import TelemetryFileError

_READ_BYTES = 8 << 20


def pack(path: Path, fd: int, edges: Mapping[str, str]) -> int:
    """Write the archive of an event file beside it.

    Args:
        path: the event file.
        fd: of it, open and locked; nobody may write it meanwhile.
        edges: ``Index.edges``.

    Returns:
        Size of the archive in bytes.

    Raises:
        TelemetryFileError: if what was written is not what the event file holds.
        OSError: if it can't be written.
    """
    before = os.fstat(fd)
    plain = PlainFile(fd)
    digest, members = blake2b(digest_size=32), []

    def parts() -> Iterator[bytes]:
        for part in _parts(plain, MEMBER_BYTES):
            digest.update(part)
            member = pack_member(part)
            members.append(len(member))
            yield member
        yield index_member(
            Index(
                source=path.name,
                size=before.st_size,
                digest=digest.hexdigest(),
                inode=before.st_ino,
                mtime_ns=before.st_mtime_ns,
                archived_at=datetime.now(UTC).isoformat(timespec="seconds"),
                edges=dict(edges),
                members=members,
            )
        )

    archive = archive_of(path)
    temporary = _temporary(archive)
    try:
        _write(temporary, parts())
        packed = PackedFile(os.open(temporary, os.O_RDONLY | os.O_CLOEXEC), archive.name)
        try:
            size = os.fstat(packed.fd).st_size
            # Without locks somebody may have written all the same; a digest read anew notices that too.
            if packed.size != plain.size or not digest_of(packed) == digest_of(plain) == packed.index.digest:
                raise TelemetryFileError(f"{path} and its archive are not the same; the event file was kept")
        finally:
            packed.close()
        temporary.rename(archive)
        sync(archive.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return size


def unpack(path: Path, packed: PackedFile) -> None:
    """Write an event file from its archive, byte for byte.

    Args:
        path: the event file.
        packed: its archive, open.

    Raises:
        TelemetryFileError: if the result is not what was archived.
        OSError: if it can't be written, or the archive can't be read.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, _parts(packed, _READ_BYTES))
        plain = PlainFile(os.open(temporary, os.O_RDONLY | os.O_CLOEXEC))
        try:
            if plain.size != packed.size or digest_of(plain) != packed.index.digest:
                raise TelemetryFileError(f"{archive_of(path)} does not hold what was archived; it was kept")
        finally:
            plain.close()
        os.utime(temporary, ns=(packed.index.mtime_ns, packed.index.mtime_ns))
        temporary.rename(path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def digest_of(source: Source) -> str:
    """``Index.digest`` of an event file or of what an archive holds, read whole."""
    digest = blake2b(digest_size=32)
    for part in _parts(source, _READ_BYTES):
        digest.update(part)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _parts(source: Source, length: int) -> Iterator[bytes]:
    """A file's bytes, ``length`` at a time but for the last."""
    offset = 0
    while part := source.read_at(length, offset):
        yield part
        offset += len(part)


def _temporary(path: Path) -> Path:
    # One name for all, so that what a killed process left is overwritten: whoever writes it holds a lock.
    return path.with_name(f".{path.name}.tmp")


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
