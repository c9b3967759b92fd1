"""Writes an event file's archive, and the event file from its archive. Neither removes what it was made of.

Both write under a temporary name, sync, read back what is on disk, and rename: the new file is there as a
whole or not at all, however the process dies.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from esper.karn.jsonl.beside import conflict
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
    with _written(archive, parts(), before) as new:
        packed = PackedFile(new, archive.name)
        # Without locks somebody may have written all the same; a digest read anew notices that too.
        if packed.size != plain.size or not digest_of(packed) == digest_of(plain) == packed.index.digest:
            raise TelemetryFileError(f"{path} and its archive are not the same; the event file was kept")
        reason = conflict(path, plain)
        if reason is not None:
            raise TelemetryFileError(reason)
        return os.fstat(new).st_size


def unpack(path: Path, packed: PackedFile) -> None:
    """Write an event file from its archive, byte for byte.

    Args:
        path: the event file.
        packed: its archive, open.

    Raises:
        TelemetryFileError: if the result is not what was archived, or the event file is there by now.
        OSError: if it can't be written, or the archive can't be read.
    """
    with _written(path, _parts(packed, _READ_BYTES), os.fstat(packed.fd)) as new:
        plain = PlainFile(new)
        if plain.size != packed.size or digest_of(plain) != packed.index.digest:
            raise TelemetryFileError(f"{archive_of(path)} does not hold what was archived; it was kept")
        os.utime(new, ns=(packed.index.mtime_ns, packed.index.mtime_ns))
        if os.path.lexists(path):
            raise TelemetryFileError(f"{path} was made meanwhile; it was kept")


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


def temporary_of(path: Path) -> Path:
    """Where a file lies while it is written: one name for all, by which a killed process's is found."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def _written(path: Path, parts: Iterable[bytes], like: os.stat_result) -> Iterator[int]:
    """Write a file under a temporary name; after the block, which may still refuse, under its own.

    Args:
        path: its own name.
        parts: its bytes.
        like: of the file that it stands for: nobody may read it who can't read that one.

    Yields:
        The file, open to be read; closed after the block.
    """
    temporary = temporary_of(path)
    # Whoever writes it holds a lock, so this is what a killed process left, or somebody's link or pipe.
    temporary.unlink(missing_ok=True)
    try:
        fd = _create(temporary)
        try:
            for part in parts:
                _write(fd, part)
            _give_access(fd, like)
            os.fsync(fd)
            yield fd
            # Without locks somebody else may write under the same name.
            if not os.path.samestat(os.lstat(temporary), os.fstat(fd)):
                raise TelemetryFileError(f"{temporary.name} was replaced: another process archives it too")
        finally:
            os.close(fd)
        temporary.rename(path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _give_access(fd: int, like: os.stat_result) -> None:
    mode = like.st_mode & 0o777
    with suppress(OSError):  # to another owner only root can give it
        os.fchown(fd, like.st_uid, -1)
    try:
        os.fchown(fd, -1, like.st_gid)
    except OSError:
        mode &= ~stat.S_IRWXG  # its group is another one, which may not have been meant
    os.fchmod(fd, mode)
