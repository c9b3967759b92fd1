"""Reads a run's event files, as they grow, into the aggregators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from esper.karn.jsonl.lines import Probe, decode_probe, read_lines
from esper.karn.jsonl.tail import Chunk
from esper.karn.sanctum.brief import read_brief
from esper.karn.sanctum.decisions import decode_decision
from esper.karn.sanctum.pace import WINDOW_S, events_per_s
from esper.karn.sanctum.rank_file import RankFile
from esper.karn.sanctum.reading import readable_data
from esper.karn.sanctum.registry import AggregatorRegistry
from esper.karn.sanctum.runs import RunFolder
from esper.karn.sanctum.state import Position, RunPosition, SanctumSnapshot, SlotKey, SlotOp
from esper.karn.sanctum.status import run_status
from esper.karn.settings import rank_of_event_file
from esper.leyline.codec import FieldError
from esper.leyline.events import TelemetryEvent, TelemetryEventType

SLICE_BYTES = 1 << 18
"""Read at a time from each file, so that no rank waits for another's whole file."""
_ASK_AFTER_S = 1.0
"""Seconds after which the system is asked anew whether the writers live."""


class RunFeed:
    """One run, followed by stat and read, from its first event on.

    Args:
        run: the run's folder; it need not exist yet.

    Attributes:
        registry: the aggregators with what was read so far; another one after the run is read anew.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._folder = RunFolder(run)
        self._reset()

    def _reset(self) -> None:
        self._files: dict[Path, RankFile] = {}
        self.registry = AggregatorRegistry()
        self._brief_handlers = self.registry.brief_handlers()
        self._events = self._bad_lines = 0
        self._known: RunPosition | None = None
        """What was last said, as far as the clock does not change it; None after anything new."""
        self._gone: set[int] = set()
        self._asked: datetime | None = None
        """When it was last asked which writers have ended, which are in ``_gone``."""
        self.behind = False
        """Whether the files hold more than was read."""

    def has_files(self) -> bool:
        """Whether the run has any event file now."""
        return bool(self._folder.event_files())

    def poll(self, max_bytes: int) -> bool:
        """Take in what was written since the last call.

        A file that shrank, was replaced or is gone makes everything read so far worthless, and the
        run is read anew.

        Args:
            max_bytes: about as much as is read at most; ``behind`` says whether more is there.

        Returns:
            Whether there was anything new.
        """
        changed, left = False, max_bytes
        for path in self._folder.event_files():
            if path not in self._files:
                self._files[path] = RankFile(path, rank_of_event_file(path.name) or 0)
                changed = True
        waiting = list(self._files.values())
        while waiting and left > 0:
            for file in list(waiting):
                chunk = file.reader.read(SLICE_BYTES)
                if chunk is None:
                    waiting.remove(file)
                    continue
                changed = True
                if chunk.restarted:
                    self._reset()
                    return True
                # A full slice ends with a whole line, so that it is never quite full.
                left -= max(len(chunk.data), SLICE_BYTES if len(chunk.data) > SLICE_BYTES // 2 else 0)
                self._take(file, chunk)
                if file.reader.offset >= file.reader.size:
                    waiting.remove(file)
        if changed or self.behind != bool(waiting):
            self._known = self._asked = None
        self.behind = bool(waiting)
        return changed

    def snapshot(self, now: datetime) -> SanctumSnapshot:
        """What is known by now; ``now`` (UTC) decides whether the run has fallen silent."""
        return self.registry.to_snapshot(self.position(now))

    def positions(self) -> Sequence[Position]:
        """Every (episode, epoch) that can be gone back to, in order; grows as the run is read."""
        return self.registry.positions()

    def snapshot_at(self, position: Position, now: datetime) -> SanctumSnapshot:
        """The whole screen as it stood when every environment had got as far as ``position``.

        From what the aggregators keep: no file is read, and no position costs more than another. What
        is known of the files (``run``) is of now.

        Args:
            position: one of ``positions``, or any other.
            now: UTC.
        """
        return self.registry.to_snapshot(self.position(now), position)

    def slot_history(self, key: SlotKey, limit: int = 200, at: Position | None = None) -> tuple[SlotOp, ...]:
        """A slot's latest ops, the newest last; none where there is no such slot.

        Args:
            key: environment and slot.
            limit: how many at most.
            at: as it stood after this position, None for now.
        """
        return self.registry.slot_history(key, limit, at)

    def position(self, now: datetime) -> RunPosition:
        """How far the run was read, and whether it goes on."""
        if self._known is None:
            self._known = self._read_so_far()
        if self._known.over:
            return self._known
        status = self._status(now, self._known.last_event_at)
        if status != self._known.status:
            self._known = replace(self._known, status=status)
        if self._known.events_per_s is not None and self._is_stale(now, self._known.last_event_at):
            self._known = replace(self._known, events_per_s=None)
        return self._known

    def _is_stale(self, now: datetime, last: datetime | None) -> bool:
        """Whether so long nothing came that the pace of the last events is no more the run's."""
        return last is not None and (now - last).total_seconds() > WINDOW_S

    def _read_so_far(self) -> RunPosition:
        training = self.registry.training_aggregator
        files = list(self._files.values())
        return RunPosition(
            run_dir=self.run.name,
            outcome=training.outcome(),
            ranks=len(files),
            world_size=max([len(files), *(file.world_size for file in files)]),
            events=self._events,
            bad_lines=self._bad_lines,
            missing=sum(file.missing for file in files),
            dropped=training.dropped,
            last_event_at=max((f.last_event_at for f in files if f.last_event_at is not None), default=None),
            bytes_read=sum(file.reader.offset for file in files),
            bytes_total=sum(file.reader.size for file in files),
            behind=self.behind,
            events_per_s=events_per_s(file.pace for file in files),
        )

    def _status(self, now: datetime, last: datetime | None) -> str:
        files = list(self._files.values())
        return run_status(
            finished_ranks=self.registry.training_aggregator.finished(),
            files={file.rank for file in files},
            world_size=max([len(files), *(file.world_size for file in files)]),
            writers_gone=self._writers_gone(now),
            age_s=(now - last).total_seconds() if last is not None else 0.0 if self._events else None,
            recent=self._recent_moments,
        )

    def _writers_gone(self, now: datetime) -> set[int]:
        # What the files still hold may say that the run ended well.
        if self.behind:
            return set()
        if self._asked is None or abs((now - self._asked).total_seconds()) >= _ASK_AFTER_S:
            self._asked = now
            finished = self.registry.training_aggregator.finished()
            files = [file for file in self._files.values() if file.rank not in finished]
            self._gone = {file.rank for file in files if file.writer_gone()}
        return self._gone

    def _recent_moments(self) -> list[datetime]:
        return sorted(moment for file in self._files.values() for moment in file.recent_moments())

    def _take(self, file: RankFile, chunk: Chunk) -> None:
        brief = read_brief(chunk)
        if brief is None:
            self._take_any(file, chunk)
            return
        lines, events = brief
        self._events += len(events)
        file.note(events)
        handlers, rank = self._brief_handlers, file.rank
        for index, event in enumerate(events):
            if event.data.attempt is not None and file.begin_attempt(decode_probe(lines[index])):
                self.registry.begin_attempt(rank, file.attempt)
            kind = type(event)
            if kind in handlers:
                event.rank = rank
                handlers[kind](event)

    def _take_any(self, file: RankFile, chunk: Chunk) -> None:
        found = read_lines(chunk)
        self._events += len(found.lines)
        self._bad_lines += sum(problem.kind == "line" for problem in found.problems)
        file.note(found.probes)
        opens = b'"attempt"' in chunk.data
        handlers = self.registry.handlers
        for line, probe in zip(found.lines, found.probes, strict=True):
            if opens and b'"attempt"' in line and file.begin_attempt(probe):
                self.registry.begin_attempt(file.rank, file.attempt)
            # Most events are none of the aggregators' business; decoding them would cost the most.
            if probe.event_type in handlers:
                self._process(probe, file.rank)

    def _process(self, probe: Probe, rank: int) -> None:
        try:
            if probe.event_type == TelemetryEventType.ANALYTICS_SNAPSHOT:
                data = decode_decision(probe.data)
                if data is None:
                    return
            else:
                data = readable_data(probe)
        except FieldError:
            self._bad_lines += 1
            return
        self.registry.process(
            TelemetryEvent(
                event_type=probe.event_type,
                timestamp=probe.timestamp,
                seed_id=probe.seed_id,
                slot_id=probe.slot_id,
                epoch=probe.epoch,
                data=data,
                rank=rank,  # the file's name is what tells it; other writers' events may say something else
            )
        )


def utc_now() -> datetime:
    """The time, for ``snapshot``."""
    return datetime.now(UTC)
