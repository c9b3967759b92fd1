"""What is known of one event file besides its rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from esper.karn.jsonl.lines import EventLines
from esper.karn.jsonl.tail import TailReader
from esper.karn.settings import rank_of_event_file


class FileState(msgspec.Struct, frozen=True):
    """What was seen in the part of a file that was read."""

    events: int = 0
    bad_lines: int = 0
    attempt: int = 1
    """The process that wrote the last event: 1, then one more for each resume."""
    finished_attempt: int = 0
    """The last attempt that said it finished; 0 for none."""
    world_size: int | None = None
    inode: int | None = None
    """Of the file that was written; another number than the file's own means that this is a copy."""
    numbered: bool = False
    """Whether its events carry ``seq``."""
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


class SeenEvents(msgspec.Struct, frozen=True):
    """The attempt of each event of a chunk, and the file's state after them."""

    attempts: list[int]
    state: FileState


class _Stamp(msgspec.Struct):
    attempt: int | None = None
    world_size: int | None = None
    inode: int | None = None


_stamp = msgspec.json.Decoder(_Stamp)


class EventFile:
    """One event file of a run.

    Args:
        path: the file.
        run_dir: its run folder's name.
    """

    def __init__(self, path: Path, run_dir: str) -> None:
        self.path = path
        self.run_dir = run_dir
        self.filename = f"{run_dir}/{path.name}"
        """Relative to the telemetry folder."""
        self.rank = rank_of_event_file(path.name) or 0
        self.tail = TailReader(path)
        self.state = FileState()

    def forget(self) -> None:
        """The file is to be read anew."""
        self.state = FileState()

    @property
    def unread_bytes(self) -> int:
        """Bytes that are not in the tables: a line being written, or a reader that is behind."""
        return max(0, self.tail.size - self.tail.offset)

    def seen_after(self, events: EventLines) -> SeenEvents:
        """What will have been seen once ``events``, the next chunk, are in the tables."""
        state = self.state
        attempt, finished = state.attempt, state.finished_attempt
        world_size, inode, numbered = state.world_size, state.inode, state.numbered
        first, last = state.first_timestamp, state.last_timestamp
        attempts: list[int] = []
        for line, probe in zip(events.lines, events.probes, strict=True):
            if b'"attempt":' in line and (stamp := _read_stamp(probe.data)) is not None:
                attempt = max(attempt, stamp.attempt or 1)
                world_size, inode = stamp.world_size or world_size, stamp.inode
            if probe.event_type == "TRAINING_FINISHED":
                finished = attempt
            numbered = numbered or probe.seq is not None
            attempts.append(attempt)
            moment = parse_timestamp(probe.timestamp)
            if moment is not None:
                first = moment if first is None else min(first, moment)
                last = moment if last is None else max(last, moment)
        return SeenEvents(
            attempts,
            FileState(
                events=state.events + len(events.lines),
                bad_lines=state.bad_lines + sum(problem.kind == "line" for problem in events.problems),
                attempt=attempt,
                finished_attempt=finished,
                world_size=world_size,
                inode=inode,
                numbered=numbered,
                first_timestamp=first,
                last_timestamp=last,
            ),
        )


def _read_stamp(data: msgspec.Raw) -> _Stamp | None:
    """The stamp that the first event of each writing process carries."""
    try:
        stamp = _stamp.decode(data)
    except msgspec.DecodeError:
        return None
    return None if stamp.attempt is None else stamp


def parse_timestamp(text: str | None) -> datetime | None:
    """A moment from ISO-8601 text, UTC where it names no offset; None if it is no such text."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
