"""What is known of one event file besides its rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from esper.karn.jsonl.lines import EventLines, Probe
from esper.karn.jsonl.tail import TailReader
from esper.karn.settings import rank_of_event_file
from esper.leyline.events import SCHEMA


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
    newest_format: int = SCHEMA
    """The highest ``schema`` of its events, this program's own at least."""
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


class SeenEvents(msgspec.Struct, frozen=True):
    """The attempt of each event of a chunk, and the file's state after them."""

    attempts: list[int]
    state: FileState


_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Stamp(msgspec.Struct):
    """What the first event of each writing process carries."""

    attempt: _Count
    world_size: _Count | None = None
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
        """What was read counts no more; the reader has begun anew."""
        self.state = FileState()

    def read_anew(self) -> None:
        """Begin again at the file's first byte."""
        self.tail = TailReader(self.path)
        self.state = FileState()

    @property
    def unread_bytes(self) -> int:
        """Bytes that are not in the tables: a line being written, or a reader that is behind."""
        return max(0, self.tail.size - self.tail.offset)

    def seen_after(self, events: EventLines, moments: Sequence[datetime | None]) -> SeenEvents:
        """What will have been seen once ``events``, the next chunk, are in the tables.

        Args:
            events: the chunk's.
            moments: when each of them was written.
        """
        state = self.state
        attempt, finished = state.attempt, state.finished_attempt
        world_size, inode, numbered = state.world_size, state.inode, state.numbered
        newest_format = state.newest_format
        attempts: list[int] = []
        for line, probe in zip(events.lines, events.probes, strict=True):
            if b'"attempt"' in line and (stamp := _read_stamp(probe)) is not None:
                attempt = max(attempt, stamp.attempt)
                world_size, inode = stamp.world_size or world_size, stamp.inode
            if probe.event_type == "TRAINING_FINISHED":
                finished = attempt
            numbered = numbered or probe.seq is not None
            if probe.schema is not None and probe.schema > newest_format:
                newest_format = probe.schema
            attempts.append(attempt)
        known = [moment for moment in moments if moment is not None]
        first = min([*known, *filter(None, [state.first_timestamp])], default=None)
        last = max([*known, *filter(None, [state.last_timestamp])], default=None)
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
                newest_format=newest_format,
                first_timestamp=first,
                last_timestamp=last,
            ),
        )


def _read_stamp(probe: Probe) -> _Stamp | None:
    try:
        stamp = _stamp.decode(probe.data)
    except msgspec.DecodeError:
        return None
    # In other people's events an ``attempt`` alone may mean anything.
    by_writer = stamp.world_size is not None or probe.event_type == "TRAINING_STARTED"
    return stamp if by_writer else None
