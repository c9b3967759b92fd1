"""What the two ends of an event file tell of its run, without what lies between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from esper.karn.jsonl.repair import NotAnEvent, repair_line
from esper.karn.jsonl.source import Look, Source, look, open_events
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.leyline.events import TelemetryEventType

_HEAD_BYTES = 1 << 12
_BLOCK_BYTES = 1 << 14
_GIVE_UP_BYTES = 1 << 26
_RECENT = 32

NEVER = datetime.min.replace(tzinfo=UTC)
"""The time of the last event of a run that has none."""

_Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Last(msgspec.Struct):
    event_type: str | None = None
    timestamp: str | None = None


class _Kind(msgspec.Struct):
    event_type: str


class _Opening(msgspec.Struct):
    world_size: _Small | None = None
    inode: int | None = None


class _First(msgspec.Struct):
    data: _Opening | None = None


_last = msgspec.json.Decoder(_Last)
_kind = msgspec.json.Decoder(_Kind)
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
    """Whether the training's end is the last event of it; what follows that is no event is no matter."""
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


def last_event_of(paths: Iterable[Path], reader: EndsReader) -> datetime:
    """When a run's last event was written, UTC; the beginning of time where there is none.

    The event's own timestamp decides, not the file's: copying or compacting an old run does not make it
    the latest.
    """
    ends = [found for path in paths if (found := reader.read(path)) is not None]
    return max((found.last_event_at or NEVER for found in ends), default=NEVER)


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
        if finished is None:
            kind = next((kind for line in reversed(whole) if (kind := _kind_of(line)) is not None), None)
            finished = None if kind is None else kind == TelemetryEventType.TRAINING_FINISHED
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


def _kind_of(line: bytes) -> str | None:
    """The type of a line's event; None for what is none, or for a writer's word about lost events."""
    try:
        kind = _kind.decode(repair_line(line)[0]).event_type
    except (*_NOT_ONE, NotAnEvent):
        return None
    return None if kind == TelemetryEventType.EVENTS_DROPPED else kind


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
