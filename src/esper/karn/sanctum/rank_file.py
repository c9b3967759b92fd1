"""One event file of a run: how far it was read, and what its lines say about the file itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from esper.karn.jsonl.lines import Probe
from esper.karn.jsonl.source import writer_lives
from esper.karn.jsonl.tail import TailReader
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.karn.sanctum.brief import Brief
from esper.karn.sanctum.pace import Pace

_RECENT = 64
_LONGEST_TIME = 64
"""Characters; what is longer is no time, and not to be kept."""

_Attempt = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Opening(msgspec.Struct):
    """What a collector adds to the data of the first event that it writes."""

    attempt: _Attempt | None = None
    world_size: int | None = None
    inode: int | None = None


_opening = msgspec.json.Decoder(_Opening)


class RankFile:
    """An event file with its tail reader.

    Attributes:
        rank: as the file's name tells.
        reader: reads each whole line once.
        missing: events that the sequence numbers skip.
        last_event_at: UTC, the latest that a line says.
        world_size: ranks of the run, 0 where the file does not say.
        attempt: processes that have written the file so far, one after the other.
        pace: how many events were written when, of late.
    """

    def __init__(self, path: Path, rank: int) -> None:
        self.rank = rank
        self.reader = TailReader(path)
        self.missing = 0
        self.last_event_at: datetime | None = None
        self.world_size = 0
        self.attempt = 1
        self.pace = Pace()
        self._inode: int | None = None
        self._next_seq = 0
        self._recent: deque[str] = deque(maxlen=_RECENT)

    def note(self, probes: Sequence[Probe] | Sequence[Brief]) -> None:
        """Look at the places and times of new events."""
        next_seq = self._next_seq
        for probe in probes:
            seq = probe.seq
            if seq == next_seq:
                next_seq += 1
            elif seq is not None and seq > next_seq:
                self.missing += seq - next_seq
                next_seq = seq + 1
        self._next_seq = next_seq
        stamps = [probe.timestamp for probe in probes]
        texts = [text for text in stamps if text is not None and len(text) <= _LONGEST_TIME]
        self._recent.extend(texts[-_RECENT:])
        self.pace.note(texts)
        # Texts of one writer sort as their times do; parsing each would cost more than reading it.
        newest = parse_timestamp(max(texts, default=None)) or _newest(texts)
        if newest is not None and (self.last_event_at is None or newest > self.last_event_at):
            self.last_event_at = newest

    def begin_attempt(self, probe: Probe) -> bool:
        """Whether another process than before began to write with this event."""
        try:
            opening = _opening.decode(probe.data)
        except msgspec.DecodeError:
            return False
        if opening.attempt is None:
            return False
        self._inode = opening.inode
        self.world_size = opening.world_size or self.world_size
        anew = opening.attempt > self.attempt
        self.attempt = max(self.attempt, opening.attempt)
        return anew

    def writer_gone(self) -> bool:
        """Whether the process that wrote this file has ended, as far as that can be known.

        Of a copy nobody can say: its inode is not the one that the writer noted.
        """
        return writer_lives(self.reader.path, self._inode) is False

    def recent_moments(self) -> list[datetime]:
        """When the latest events were written, UTC."""
        return [moment for text in self._recent if (moment := parse_timestamp(text)) is not None]


def _newest(texts: list[str]) -> datetime | None:
    return max((moment for text in texts if (moment := parse_timestamp(text)) is not None), default=None)
