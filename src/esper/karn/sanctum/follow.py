"""Chooses the run to show, and keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from esper.karn.jsonl.ends import EndsReader
from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.runs import event_files, newest_run, run_rows
from esper.karn.sanctum.state import Position, RunPosition, RunRow, SanctumSnapshot, SlotKey, SlotOp

_LOOK_EVERY = 8


class RunFollower:
    """Follows the named run or the latest one, from before it exists until after it is deleted: then what it
    held is still told of, until it is there again or, where the latest is followed, a newer run is.

    The latest run is kept while it is going on, so that two trainings side by side don't take turns;
    once it is over a newer one takes its place.

    Args:
        telemetry_dir: folder of all runs; it need not exist yet.
        run_dir: the run to follow, None for the latest.
    """

    def __init__(self, telemetry_dir: Path, run_dir: str | None = None) -> None:
        self.telemetry_dir = telemetry_dir
        self.run_dir = run_dir
        self._feed: RunFeed | None = None
        self._polls = 0
        self._gone = False
        """Whether the run's files were deleted; what they held is shown all the same."""
        self._left: RunRow | None = None
        """The newest run that was left when they were."""
        self._ends = EndsReader()

    @property
    def behind(self) -> bool:
        """Whether there is more to be read at once."""
        return self._feed is not None and self._feed.behind and not self._gone

    @property
    def current(self) -> str | None:
        """The run that is read, None before there is one."""
        return None if self._feed is None else self._feed.run.name

    def poll(self, max_bytes: int, now: datetime, *, stay: bool = False) -> bool:
        """Read on; whether there was anything new.

        Args:
            max_bytes: about as much as is read at most.
            now: UTC, by which a run is over or not.
            stay: whether to keep to this run even if a newer one is there.
        """
        self._polls += 1
        chosen = self._choose(now, stay=stay)
        was_gone, self._gone = self._gone, chosen is None and self._feed is not None
        if chosen is None:
            return self._gone and not was_gone
        if self._feed is None or was_gone or self._feed.run.name != chosen:
            self._feed = RunFeed(self.telemetry_dir / chosen)
        return self._feed.poll(max_bytes)

    def snapshot(self, now: datetime) -> SanctumSnapshot:
        """What is known by now (UTC)."""
        if self._feed is None:
            return SanctumSnapshot(run=RunPosition(run_dir=self.run_dir))
        snapshot = self._feed.snapshot(now)
        return replace(snapshot, run=self.position(now)) if self._gone else snapshot

    def position(self, now: datetime) -> RunPosition:
        """The part of the snapshot that changes with the clock alone."""
        if self._feed is None:
            return RunPosition(run_dir=self.run_dir)
        position = self._feed.position(now)
        return replace(position, status="gone", behind=False) if self._gone else position

    def positions(self) -> Sequence[Position]:
        """Every (episode, epoch) that can be gone back to, in order."""
        return () if self._feed is None else self._feed.positions()

    def snapshot_at(self, position: Position, now: datetime) -> SanctumSnapshot:
        """As it stood after ``position``; see RunFeed."""
        if self._feed is None:
            return self.snapshot(now)
        snapshot = self._feed.snapshot_at(position, now)
        return replace(snapshot, run=self.position(now)) if self._gone else snapshot

    def slot_history(self, key: SlotKey, limit: int = 200, at: Position | None = None) -> tuple[SlotOp, ...]:
        """A slot's latest ops, the newest last; see RunFeed."""
        return () if self._feed is None else self._feed.slot_history(key, limit, at)

    def _choose(self, now: datetime, *, stay: bool) -> str | None:
        if self.run_dir is not None:
            return self.run_dir if self._has_files(self.run_dir) else None
        if self._feed is None:
            return newest_run(self.telemetry_dir, self._ends)
        if not self._has_files(self._feed.run.name):
            return self._after_deletion(now, stay=stay)
        # Looking for a newer run means looking at every run's files: now and then is enough.
        if not stay and self._polls % _LOOK_EVERY == 0 and self._feed.position(now).status != "running":
            return newest_run(self.telemetry_dir, self._ends)
        return self._feed.run.name

    def _after_deletion(self, now: datetime, *, stay: bool) -> str | None:
        """A run that was written to after the deletion; one that was over is not what was asked for."""
        if self._gone and (stay or self._polls % _LOOK_EVERY):
            return None
        newest = next(iter(run_rows(self.telemetry_dir, now, self._ends)), None)
        if not self._gone:
            self._left = newest
        if newest is None or (
            self._left is not None
            and (newest.run_dir, newest.size_bytes) == (self._left.run_dir, self._left.size_bytes)
        ):
            return None
        return newest.run_dir

    def _has_files(self, run_dir: str) -> bool:
        if self._feed is not None and self._feed.run.name == run_dir:
            return self._feed.has_files()
        return bool(event_files(self.telemetry_dir / run_dir))
