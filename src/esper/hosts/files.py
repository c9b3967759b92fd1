"""A host's file on the disk: read whole, backed up, and replaced in one step."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from secrets import token_hex

from esper.leyline.errors import HostFileError

_SUFFIX = ".karn-backup"


def read(path: Path) -> bytes | None:
    """A file's bytes; None if there is none.

    Raises:
        HostFileError: if it can't be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostFileError(f"can't read {path}: {error.strerror}") from error


def backups(path: Path) -> list[bytes]:
    """What the file's backups hold, the newest first.

    Raises:
        HostFileError: if one can't be read.
    """
    named = re.compile(re.escape(path.name + _SUFFIX) + r"(\d*)\Z")
    numbers = [int(found[1] or 1) for entry in path.parent.glob("*") if (found := named.match(entry.name))]
    return [read(_backup(path, number)) or b"" for number in sorted(numbers, reverse=True)]


def replace(path: Path, before: bytes | None, after: bytes | None) -> Path | None:
    """Write a file's new bytes, or take it away; returns the backup of what it was.

    A link stays a link: what it leads to is replaced. The mode stays too.

    Raises:
        HostFileError: if it is no longer as it was, or can't be written. It is as it was then.
    """
    target = path.resolve()
    if read(path) != before:
        raise HostFileError(f"{path} was changed meanwhile; nothing was written, run this again")
    try:
        if after is None:
            target.unlink()
            return None
        if before is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(target, after, None)
            return None
        mode = stat.S_IMODE(target.stat().st_mode)
        if not mode & 0o222 or not os.access(target, os.W_OK):
            raise HostFileError(f"{path} is read-only; make it writable, or change it by hand")
        backup = _back_up(path, before, mode)
        _put(target, after, mode)
    except OSError as error:
        raise HostFileError(f"can't write {path}: {error.strerror}") from error
    return backup


def _backup(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}{_SUFFIX}{number if number > 1 else ''}")


def _back_up(path: Path, content: bytes, mode: int) -> Path:
    """A copy beside the file, under the first number that is free."""
    number = 1
    while True:
        backup = _backup(path, number)
        try:
            _create(backup, content, mode)
        except FileExistsError:
            number += 1
        else:
            return backup


def _put(target: Path, content: bytes, mode: int | None) -> None:
    temporary = target.with_name(f".{target.name}.{token_hex(4)}")
    try:
        _create(temporary, content, mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _create(path: Path, content: bytes, mode: int | None) -> None:
    """Write a new file through to the disk.

    Args:
        mode: of a file that it stands for, else None: as the umask has it.
    """
    # private until it has its mode: such files hold keys
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    with open(descriptor, "wb") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
