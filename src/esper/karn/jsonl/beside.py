"""An event file and an archive of its name, both there: which counts, and whether that is as it was meant."""

from __future__ import annotations

import os
from pathlib import Path

from esper.karn.jsonl.source import Source, open_archive, open_events
from esper.karn.settings import archive_of

_READ_BYTES = 8 << 20


def are_both_there(path: Path) -> bool:
    """Whether an event file has something of its archive's name beside it."""
    return os.path.lexists(path) and os.path.lexists(archive_of(path))


def conflict(path: Path, plain: Source) -> str | None:
    """Why what has the name of an event file's archive may not be written over.

    Args:
        path: the event file.
        plain: it, open.

    Returns:
        None if nothing is there, or an archive whose every byte is in the event file too: what an archiver or
        a restorer leaves that was killed between its last steps.
    """
    archive = archive_of(path)
    if not os.path.lexists(archive):
        return None
    try:
        packed = open_archive(archive)
    except OSError as error:
        return f"{path.name} has a file beside it that can't be its archive; move one of them away: {error}"
    try:
        if not _agree(plain, packed):
            return (
                f"{path.name} and {archive.name} hold different events, and only the first is read: "
                "move one of them away"
            )
        if packed.size <= plain.size:
            return None
        return (
            f"{path.name} holds only {plain.size} of the {packed.size} bytes of {archive.name} and hides the "
            f"others: remove {path.name}, or move {archive.name} away"
        )
    except OSError as error:
        return f"{path.name} can't be compared with its archive; move one of them away: {error}"
    finally:
        packed.close()


def conflict_of(path: Path) -> str | None:
    """The same of an event file that is not open, or is not there."""
    if not are_both_there(path):
        return None
    try:
        with open_events(path) as plain:
            return conflict(path, plain)
    except OSError as error:
        return f"{path.name} can't be read: {error.strerror or error}"


def _agree(one: Source, other: Source) -> bool:
    """Whether one begins with all that the other holds."""
    offset = 0
    while True:
        left, right = one.read_at(_READ_BYTES, offset), other.read_at(_READ_BYTES, offset)
        length = min(len(left), len(right))
        if left[:length] != right[:length]:
            return False
        if not length:
            return True
        offset += length
