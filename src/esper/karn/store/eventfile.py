"""What is known of one event file besides its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from esper.karn.jsonl.tail import TailReader
from esper.karn.settings import rank_of_event_file
from esper.karn.store.filestate import FileState
from esper.karn.store.segments import Segment

if TYPE_CHECKING:  # where segments stand for all of a file, no line is read
    from esper.karn.jsonl.lines import EventLines, Probe


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
        self.segments: list[Segment] = []
        """What stands for the file's beginning, instead of rows in memory."""
        self.tail_rows: Counter[str] = Counter()
        """Rows in memory by table."""

    @property
    def sealed_bytes(self) -> int:
        """Bytes at its beginning that segments stand for."""
        return self.segments[-1].meta.end if self.segments else 0

    def begin_at(self, segments: list[Segment]) -> None:
        """Let segments stand for the beginning of a file of which no more than that was read."""
        self.segments = segments
        last = segments[-1].meta
        if last.end >= self.tail.offset:
            self.tail.skip_to(last.end, last.lines)
            self.state = last.state

    def bytes_left(self) -> int:
        """Bytes that it holds now and that were not read; some if it shrank."""
        try:
            return self.tail.bytes_left()
        except OSError:
            return 1

    def may_have_more(self) -> bool:
        """Whether it has changed since nothing more was found in it."""
        return self.tail.may_have_more()

    def forget(self) -> None:
        """What was read counts no more; the reader has begun anew."""
        self.state = FileState()
        self.segments = []
        self.tail_rows.clear()

    def read_anew(self) -> None:
        """Begin again at the file's first byte."""
        self.tail = TailReader(self.path)
        self.state = FileState()

    @property
    def unread_bytes(self) -> int:
        """Bytes that are not in the tables: a line being written, or a reader that is behind."""
        return max(0, self.tail.size - self.tail.offset)

    def seen_after(self, events: EventLines, moments: Iterable[datetime]) -> SeenEvents:
        """What will have been seen once ``events``, the next chunk, are in the tables.

        Args:
            events: the chunk's.
            moments: the first and the last time at which one of them was written, as far as it is known.
        """
        state = self.state
        attempt, finished = state.attempt, state.finished_attempt
        world_size, inode, numbered = state.world_size, state.inode, state.numbered
        newest_format = state.newest_format
        count = len(events.lines)
        attempts: list[int] = []
        for index in range(count) if events.telling is None else events.telling:
            probe = events.probes[index]
            attempts += [attempt] * (index - len(attempts))
            if b'"attempt"' in events.lines[index] and (stamp := _read_stamp(probe)) is not None:
                attempt = max(attempt, stamp.attempt)
                world_size, inode = stamp.world_size or world_size, stamp.inode
            if probe.event_type == "TRAINING_FINISHED":
                finished = attempt
        attempts += [attempt] * (count - len(attempts))
        numbered = numbered or any(probe.seq is not None for probe in events.probes)
        newest_format = max(newest_format, events.newest_format)
        known = [moment for moment in (state.first_timestamp, state.last_timestamp, *moments) if moment]
        first, last = min(known, default=None), max(known, default=None)
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
