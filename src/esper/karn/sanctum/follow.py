"""Chooses the run to show, and keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.run_ends import EndsReader
from esper.karn.sanctum.runs import event_files, newest_run
from esper.karn.sanctum.state import Position, RunPosition, SanctumSnapshot, SlotKey, SlotOp

_LOOK_EVERY = 8


class RunFollower:
    """Follows the named run or the latest one, from before it exists until after it is deleted.

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
        self._ends = EndsReader()

    @property
    def behind(self) -> bool:
        """Whether there is more to be read at once."""
        return self._feed is not None and self._feed.behind

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
        if chosen is None:
            gone = self._feed is not None
            self._feed = None
            return gone
        if self._feed is None or self._feed.run.name != chosen:
            self._feed = RunFeed(self.telemetry_dir / chosen)
        return self._feed.poll(max_bytes)

    def snapshot(self, now: datetime) -> SanctumSnapshot:
        """What is known by now (UTC)."""
        if self._feed is None:
            return SanctumSnapshot(run=RunPosition(run_dir=self.run_dir))
        return self._feed.snapshot(now)

    def position(self, now: datetime) -> RunPosition:
        """The part of the snapshot that changes with the clock alone."""
        return RunPosition(run_dir=self.run_dir) if self._feed is None else self._feed.position(now)

    def positions(self) -> Sequence[Position]:
        """Every (episode, epoch) that can be gone back to, in order."""
        return () if self._feed is None else self._feed.positions()

    def snapshot_at(self, position: Position, now: datetime) -> SanctumSnapshot:
        """As it stood after ``position``; see RunFeed."""
        return self.snapshot(now) if self._feed is None else self._feed.snapshot_at(position, now)

    def slot_history(self, key: SlotKey, limit: int = 200, at: Position | None = None) -> tuple[SlotOp, ...]:
        """A slot's latest ops, the newest last; see RunFeed."""
        return () if self._feed is None else self._feed.slot_history(key, limit, at)

    def _choose(self, now: datetime, *, stay: bool) -> str | None:
        if self.run_dir is not None:
            return self.run_dir if self._has_files(self.run_dir) else None
        if self._feed is None or not self._has_files(self._feed.run.name):
            return newest_run(self.telemetry_dir, self._ends)
        # Looking for a newer run means looking at every run's files: now and then is enough.
        if not stay and self._polls % _LOOK_EVERY == 0 and self._feed.position(now).status != "running":
            return newest_run(self.telemetry_dir, self._ends)
        return self._feed.run.name

    def _has_files(self, run_dir: str) -> bool:
        if self._feed is not None and self._feed.run.name == run_dir:
            return self._feed.has_files()
        return bool(event_files(self.telemetry_dir / run_dir))
