"""Counts of one slot's internal ops, kept up op by op. Pure: levels in, diagnosis.SlotCounts out."""

from __future__ import annotations

from array import array

from esper.karn.diagnosis import SlotCounts, ThrashSearch
from esper.leyline.thresholds import UNDO_EPOCHS

Segment = tuple[int | str | None, int | None]
"""One seed in one episode: pairs are never formed across two of them."""

_N_COUNTS = 9
"""Numbers that are noted after each op."""


class _Course:
    """Where one segment stands: its last op, and how far it is from its start."""

    __slots__ = ("epoch", "free", "grew", "net", "op")

    def __init__(self) -> None:
        self.net = 0
        self.grew = False
        self.free = False
        self.epoch: int | None = None
        self.op = 0


class SlotCounter:
    """Counts over one slot of one environment, in O(1) per op, as they are now and as they were after any op.

    The definitions are those of ``diagnosis.SlotCounts`` and of the SQL view ``slot_thrash``; a test
    compares the three.
    """

    __slots__ = (
        "_absolute_net",
        "_after",
        "_courses",
        "_firsts",
        "_free_pairs",
        "_free_reversals",
        "_grown",
        "_max_level",
        "_pairs",
        "_reversals",
        "_search",
        "_undone",
    )

    def __init__(self) -> None:
        self._courses: dict[Segment, _Course] = {}
        self._grown = self._pairs = self._reversals = self._free_pairs = self._free_reversals = 0
        self._undone = self._absolute_net = self._max_level = 0
        self._after = array("I")
        """After each op: the eight counts above in this order, and 1 + the first free pair of a thrashing."""
        self._search = ThrashSearch()
        self._firsts = array("I")
        """Of each free pair: its first op."""

    @property
    def n_ops(self) -> int:
        """Ops so far."""
        return len(self._after) // _N_COUNTS

    def add(
        self,
        from_level: int,
        to_level: int,
        max_level: int,
        *,
        seed_id: int | str | None = None,
        episode_idx: int | None = None,
        epoch: int | None = None,
    ) -> None:
        """Count one op, in file order. A change to the same level is no op.

        Args:
            from_level: level before.
            to_level: level after.
            max_level: highest level of the seed.
            seed_id: the seed in the slot.
            episode_idx: the environment's episode.
            epoch: epoch within the episode; without it nothing counts as undone.
        """
        if from_level == to_level:
            return
        grew = to_level > from_level
        segment = (seed_id, episode_idx)
        if segment in self._courses:
            course = self._courses[segment]
            self._count_pair(course, grew, epoch)
        else:
            course = self._courses[segment] = _Course()
        before = abs(course.net)
        course.net += 1 if grew else -1
        course.grew, course.epoch, course.op = grew, epoch, self.n_ops
        course.free = 0 < to_level < max_level
        self._absolute_net += abs(course.net) - before
        self._grown += grew
        if max_level > self._max_level:
            self._max_level = max_level
        span = self._search.span
        self._after.extend(
            (
                self._grown,
                self._pairs,
                self._reversals,
                self._free_pairs,
                self._free_reversals,
                self._undone,
                self._absolute_net,
                self._max_level,
                0 if span is None else span[0] + 1,
            )
        )

    def _count_pair(self, last: _Course, grew: bool, epoch: int | None) -> None:
        reversal = grew != last.grew
        self._pairs += 1
        self._reversals += reversal
        if last.free:
            self._free_pairs += 1
            self._free_reversals += reversal
            self._firsts.append(last.op)
            self._search.add(reversal)
        if reversal and epoch is not None and last.epoch is not None:
            self._undone += epoch - last.epoch <= UNDO_EPOCHS

    def counts(self, env_id: int | None, slot_id: str, n_ops: int | None = None) -> SlotCounts:
        """The counts for ``judge_slots``: after the first ``n_ops`` ops, after all for None."""
        ops = self.n_ops if n_ops is None else n_ops
        grown, pairs, reversals, free, free_reversals, undone, net, max_level, _ = self._row(ops)
        # On a ladder of two levels no op is free to go either way, whatever one odd event said.
        if max_level <= 1:
            free = free_reversals = 0
        return SlotCounts(
            env_id=env_id,
            slot_id=slot_id,
            max_level=max_level or None,  # of events that don't say it, 0 is none
            n_ops=ops,
            grow_count=grown,
            shrink_count=ops - grown,
            n_pairs=pairs,
            n_reversals=reversals,
            n_free_pairs=free,
            n_free_reversals=free_reversals,
            n_undone=undone,
            net_change=2 * grown - ops,
            absolute_net_change=net,
        )

    def thrash_start(self, n_ops: int) -> int | None:
        """Which op, from 0, is the first of those that thrash, as it looked after ``n_ops``."""
        pair = self._row(n_ops)[-1]
        return self._firsts[pair - 1] if pair else None

    def reversal_and_free(self, op: int) -> tuple[bool, bool]:
        """Whether an op reversed the one before it, and whether it could have gone either way."""
        before, after = self._row(op), self._row(op + 1)
        return after[2] > before[2], after[3] > before[3]

    def _row(self, n_ops: int) -> array[int]:
        end = n_ops * _N_COUNTS
        return self._after[end - _N_COUNTS : end] if n_ops else array("I", bytes(4 * _N_COUNTS))
