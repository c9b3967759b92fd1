"""Reads a run's event files, as they grow, into the aggregators."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from esper.karn.jsonl.lines import read_lines
from esper.karn.jsonl.tail import Chunk
from esper.karn.sanctum.rank_file import RankFile
from esper.karn.sanctum.registry import AggregatorRegistry
from esper.karn.sanctum.runs import event_files
from esper.karn.sanctum.state import RunPosition, SanctumSnapshot
from esper.karn.sanctum.status import run_status
from esper.karn.settings import rank_of_event_file
from esper.leyline.codec import FieldError, LineError, decode_event

SLICE_BYTES = 1 << 18
"""Read at a time from each file, so that no rank waits for another's whole file."""


class RunFeed:
    """One run, followed by stat and read, from its first event on.

    Args:
        run: the run's folder; it need not exist yet.

    Attributes:
        registry: the aggregators with what was read so far; another one after the run is read anew.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._reset()

    def _reset(self) -> None:
        self._files: dict[Path, RankFile] = {}
        self.registry = AggregatorRegistry()
        self._events = self._bad_lines = 0
        self.behind = False
        """Whether the files hold more than was read."""

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
        for path in event_files(self.run):
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
        self.behind = bool(waiting)
        return changed

    def snapshot(self, now: datetime) -> SanctumSnapshot:
        """What is known by now; ``now`` (UTC) decides whether the run has fallen silent."""
        return self.registry.to_snapshot(self.position(now))

    def position(self, now: datetime) -> RunPosition:
        """How far the run was read, and whether it goes on."""
        training = self.registry.training_aggregator
        files = list(self._files.values())
        last = max((file.last_event_at for file in files if file.last_event_at is not None), default=None)
        status = run_status(
            finished_ranks=training.finished(),
            files={file.rank for file in files},
            world_size=max([len(files), *(file.world_size for file in files)]),
            writers_gone=self._writers_gone(),
            age_s=(now - last).total_seconds() if last is not None else 0.0 if self._events else None,
            recent=self._recent_moments,
        )
        return RunPosition(
            run_dir=self.run.name,
            status=status,
            outcome=training.outcome(),
            ranks=len(files),
            events=self._events,
            bad_lines=self._bad_lines,
            missing=sum(file.missing for file in files),
            dropped=training.dropped,
            last_event_at=last,
            bytes_read=sum(file.reader.offset for file in files),
            bytes_total=sum(file.reader.size for file in files),
            behind=self.behind,
        )

    def _writers_gone(self) -> set[int]:
        # What the files still hold may say that the run ended well.
        if self.behind:
            return set()
        finished = self.registry.training_aggregator.finished()
        return {
            file.rank for file in self._files.values() if file.rank not in finished and file.writer_gone()
        }

    def _recent_moments(self) -> list[datetime]:
        return sorted(moment for file in self._files.values() for moment in file.recent_moments())

    def _take(self, file: RankFile, chunk: Chunk) -> None:
        found = read_lines(chunk)
        self._events += len(found.lines)
        self._bad_lines += sum(problem.kind == "line" for problem in found.problems)
        file.note(found.probes)
        may_open = b'"attempt"' in chunk.data
        for line, probe in zip(found.lines, found.probes, strict=True):
            if may_open and b'"attempt"' in line and file.begin_attempt(probe):
                self.registry.begin_attempt(file.rank, file.attempt)
            # Most events are none of the aggregators' business; decoding them would cost the most.
            if self.registry.handles(probe.event_type):
                self._process(line, file.rank)

    def _process(self, line: bytes, rank: int) -> None:
        try:
            event, _ = decode_event(line)
        except (LineError, FieldError):
            self._bad_lines += 1
            return
        # The file's name is what tells a rank; other writers' events may say nothing, or something else.
        self.registry.process(event if event.rank == rank else replace(event, rank=rank))


def utc_now() -> datetime:
    """The time, for ``snapshot``."""
    return datetime.now(UTC)
