"""What the two ends of an event file tell of its run, without what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from esper.karn.jsonl.source import Look, Source, look, open_events
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.leyline.events import TelemetryEventType

_HEAD_BYTES = 1 << 12
_BLOCK_BYTES = 1 << 14
_GIVE_UP_BYTES = 1 << 26
_RECENT = 32

_Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Last(msgspec.Struct):
    event_type: str | None = None
    timestamp: str | None = None


class _Opening(msgspec.Struct):
    world_size: _Small | None = None
    inode: int | None = None


class _First(msgspec.Struct):
    data: _Opening | None = None


_last = msgspec.json.Decoder(_Last)
_first = msgspec.json.Decoder(_First)
_NOT_ONE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FileEnds(NamedTuple):
    """An event file as its first and last lines show it."""

    size: int
    """Bytes, unpacked."""
    last_event_at: datetime | None = None
    """UTC, of the last whole line that has a time."""
    recent: Sequence[datetime] = ()
    """Times of the lines before it, those that were read anyway."""
    finished: bool = False
    """Whether the training's end is the last that it says."""
    world_size: int = 0
    """Ranks of the run, 0 where the file does not say."""
    inode: int | None = None
    """The file's, as its writer noted it."""


class EndsReader:
    """Reads files' ends, and those of a file that has not changed but once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Look, FileEnds]] = {}

    def read(self, path: Path) -> FileEnds | None:
        """The ends of a file; None where it can't be read."""
        try:
            now = look(path)
            if not now.is_regular:
                return None  # to open a pipe would wait for its writer
            if path not in self._known or self._known[path][0] != now:
                with open_events(path) as source:
                    self._known[path] = (now, _read(source))
        except OSError:
            return None
        return self._known[path][1]


def _read(source: Source) -> FileEnds:
    size = source.size
    opening = _opening(source.read_at(min(_HEAD_BYTES, size), 0))
    found = FileEnds(size, world_size=opening.world_size or 0, inode=opening.inode)
    end, block, finished = size, b"", None
    while end > 0 and len(block) < _GIVE_UP_BYTES:
        start = max(0, end - max(_BLOCK_BYTES, len(block)))
        block = source.read_at(end - start, start) + block
        # The first line of the block may be the rest of one that began before it.
        whole = block.split(b"\n")[0 if start == 0 else 1 : -1]
        if finished is None and whole:
            finished = _decode(whole[-1]).event_type == TelemetryEventType.TRAINING_FINISHED
        times = _times(whole)
        if times:
            return found._replace(last_event_at=times[-1], recent=times, finished=bool(finished))
        end = start
    return found._replace(finished=bool(finished))


def _times(lines: Sequence[bytes]) -> list[datetime]:
    """The times of the last lines that have any, in order."""
    times: list[datetime] = []
    for line in reversed(lines):
        if len(times) == _RECENT:
            break
        if (moment := parse_timestamp(_decode(line).timestamp)) is not None:
            times.append(moment)
    return times[::-1]


def _decode(line: bytes) -> _Last:
    try:
        return _last.decode(line)
    except _NOT_ONE:
        return _Last()


def _opening(head: bytes) -> _Opening:
    try:
        return _first.decode(head.split(b"\n", 1)[0]).data or _Opening()
    except _NOT_ONE:
        return _Opening()
