"""What is looked at: a run, at its end or at a moment of its history, through a filter, in an order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.state import (
    LevelChange,
    Position,
    SanctumSnapshot,
    SlotInternalState,
    SlotKey,
    SlotOp,
)
from esper.karn.sanctum.view import SORTS, Arranger, Key, Query, Row, ViewOptions, parse_query

LEAPS = 20
"""Leaps from one end of a run to the other."""
LEAST_LEAP = 5


class Viewing:
    """One person's look at one run.

    Args:
        telemetry_dir: folder of all runs; it need not exist yet.
        run_dir: the run to look at, None for the latest.

    Attributes:
        follower: reads the run.
        options: filter, sort, pins and folds.
        paused: whether reading waits.
        moment: the moment of history that is looked at, None for the end.
        search: what was searched for last.
    """

    def __init__(self, telemetry_dir: Path, run_dir: str | None = None) -> None:
        self.telemetry_dir = telemetry_dir
        self.options = ViewOptions()
        self.paused = False
        self.search = ""
        self.open_run(run_dir)

    def open_run(self, run_dir: str | None) -> None:
        """Look at another run, at its end; filter and sort stay, pins go."""
        self.follower = RunFollower(self.telemetry_dir, run_dir)
        self._look_anew()

    def _look_anew(self) -> None:
        self.moment: Position | None = None
        self.options = replace(self.options, pinned=frozenset(), unfolded=frozenset())
        self._arranger = Arranger()

    def poll(self, max_bytes: int, now: datetime, *, stay: bool) -> bool:
        """Read on; whether there was anything new. A newer run is begun at its end, without pins.

        Args:
            max_bytes: about as much as is read at most.
            now: UTC, by which a run is over or not.
            stay: whether to keep to this run even if a newer one is there.
        """
        before = self.follower.current
        changed = self.follower.poll(max_bytes, now, stay=stay)
        if before is not None and self.follower.current != before:
            self._look_anew()
        return changed

    def snapshot(self, now: datetime) -> SanctumSnapshot:
        """What is known at the moment that is looked at."""
        if self.moment is None:
            return self.follower.snapshot(now)
        return self.follower.snapshot_at(self.moment, now)

    def history(self, key: SlotKey, limit: int) -> list[SlotOp]:
        """A slot's latest ops up to the moment that is looked at, the newest last."""
        return list(self.follower.slot_history(key, limit, self.moment))

    def rows(self, snapshot: SanctumSnapshot, now: datetime) -> Sequence[Row]:
        """The rows of a snapshot."""
        return self._arranger.rows(snapshot, self.options, now)

    def changes(self, snapshot: SanctumSnapshot) -> Sequence[LevelChange]:
        """Those of a snapshot's latest changes that the filter leaves."""
        query = parse_query(self.options.filter)
        if query == Query():
            return snapshot.changes
        return [change for change in snapshot.changes if query.matches(_row_of(change, snapshot))]

    def without_seed(self, snapshot: SanctumSnapshot) -> Sequence[SlotVerdict]:
        """Verdicts on slots without a row that the filter leaves; none by rank, which no verdict names."""
        query = parse_query(self.options.filter)
        if query == Query():
            return snapshot.without_seed
        if query.rank is not None:
            return ()
        return [verdict for verdict in snapshot.without_seed if query.matches(_row_without_seed(verdict))]

    def rows_due(self, now: datetime) -> bool:
        """Whether rows that have changed their places may take them."""
        return self._arranger.due(now)

    def go_to(self, moment: Position | None) -> None:
        """Look at a moment of the run's history."""
        self.moment = moment

    def step(self, by: int) -> None:
        """Look at the epoch that is ``by`` reported epochs later; behind the last one is the end."""
        places = self.follower.positions()
        here = len(places) if self.moment is None else bisect_left(places, self.moment)
        # The last epoch is the end itself, unless more of the run is still to come.
        if self.moment is None and by < 0 and places:
            here -= 1
        there = max(here + by, 0)
        self.moment = places[there] if there < len(places) - 1 else None

    def leap(self, by: int) -> None:
        """As ``step``, by twentieths of the run."""
        self.step(by * max(LEAST_LEAP, len(self.follower.positions()) // LEAPS))

    def begin(self) -> None:
        """Look at the first epoch."""
        places = self.follower.positions()
        self.moment = places[0] if places else None

    def progress(self) -> tuple[int, int]:
        """How many epochs lie up to the moment that is looked at, and how many there are."""
        places = self.follower.positions()
        here = len(places) if self.moment is None else bisect_left(places, self.moment) + 1
        return min(here, len(places)), len(places)

    def filter_by(self, query: str) -> None:
        """Hide the slots that don't match."""
        self.options = replace(self.options, filter=query)

    def next_sort(self) -> str:
        """Sort otherwise; how."""
        sort = SORTS[(SORTS.index(self.options.sort) + 1) % len(SORTS)]
        self.options = replace(self.options, sort=sort)
        return sort

    def pin(self, key: Key) -> None:
        """Keep a slot at the top, or let it go."""
        self.options = replace(self.options, pinned=self.options.pinned ^ {key})

    def unfold(self, ranks: frozenset[int]) -> None:
        """Unfold the healthy slots of these ranks, or fold those that are unfolded."""
        self.options = replace(self.options, unfolded=self.options.unfolded ^ ranks)

    def fold_all(self, ranks: frozenset[int]) -> None:
        """Unfold every rank, or fold all if any is unfolded."""
        self.options = replace(self.options, unfolded=frozenset() if self.options.unfolded else ranks)


def _row_of(change: LevelChange, snapshot: SanctumSnapshot) -> SlotRow:
    """The row of a change's slot; of one without a seed now, a filter can ask for its place alone."""
    key = change.env_id, change.slot_id
    if key in snapshot.slots:
        return SlotRow(key, snapshot.slots[key])
    empty = SlotInternalState(0, 0, "stable", 0.0, env_id=change.env_id, slot_id=change.slot_id)
    return SlotRow(key, empty)


def _row_without_seed(verdict: SlotVerdict) -> SlotRow:
    """What a filter can ask of a slot without a seed: its place, its band and its verdict's word."""
    slot_id = verdict.slot_id or ""
    state = SlotInternalState(
        level=0,
        max_level=verdict.max_level or 0,
        trend="stable",
        reversal_rate=verdict.reversal_rate or 0.0,
        env_id=verdict.env_id,
        slot_id=slot_id,
        n_pairs=verdict.n_pairs,
        verdict=verdict,
    )
    return SlotRow((verdict.env_id, slot_id), state)
