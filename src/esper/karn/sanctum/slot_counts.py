"""Counts of one slot's internal ops, kept up op by op. Pure: levels in, diagnosis.SlotCounts out."""

from __future__ import annotations

from esper.karn.diagnosis import SlotCounts
from esper.leyline.thresholds import UNDO_EPOCHS

Segment = tuple[str | None, int | None]
"""One seed in one episode: pairs are never formed across two of them."""


class _Course:
    """Where one segment stands: its last op, and how far it is from its start."""

    __slots__ = ("epoch", "free", "grew", "net")

    def __init__(self) -> None:
        self.net = 0
        self.grew = False
        self.free = False
        self.epoch: int | None = None


class SlotCounter:
    """Counts over one slot of one environment, in O(1) per op.

    The definitions are those of ``diagnosis.SlotCounts`` and of the SQL view ``slot_thrash``; a test
    compares the three.
    """

    __slots__ = (
        "_absolute_net",
        "_courses",
        "_free_pairs",
        "_free_reversals",
        "_grown",
        "_max_level",
        "_ops",
        "_pairs",
        "_reversals",
        "_undone",
    )

    def __init__(self) -> None:
        self._courses: dict[Segment, _Course] = {}
        self._ops = self._grown = 0
        self._pairs = self._reversals = 0
        self._free_pairs = self._free_reversals = 0
        self._undone = self._absolute_net = 0
        self._max_level: int | None = None

    def add(
        self,
        from_level: int,
        to_level: int,
        max_level: int,
        *,
        seed_id: str | None = None,
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
        course.grew, course.epoch = grew, epoch
        course.free = 0 < to_level < max_level
        self._absolute_net += abs(course.net) - before
        self._ops += 1
        self._grown += grew
        self._max_level = max_level if self._max_level is None else max(self._max_level, max_level)

    def _count_pair(self, last: _Course, grew: bool, epoch: int | None) -> None:
        reversal = grew != last.grew
        self._pairs += 1
        self._reversals += reversal
        if last.free:
            self._free_pairs += 1
            self._free_reversals += reversal
        if reversal and epoch is not None and last.epoch is not None:
            self._undone += epoch - last.epoch <= UNDO_EPOCHS

    def counts(self, env_id: int | None, slot_id: str) -> SlotCounts:
        """The counts so far, for ``judge_slots``."""
        shrunk = self._ops - self._grown
        # On a ladder of two levels no op is free to go either way, whatever one odd event said.
        two_levels = self._max_level is not None and self._max_level <= 1
        return SlotCounts(
            env_id=env_id,
            slot_id=slot_id,
            max_level=self._max_level,
            n_ops=self._ops,
            grow_count=self._grown,
            shrink_count=shrunk,
            n_pairs=self._pairs,
            n_reversals=self._reversals,
            n_free_pairs=0 if two_levels else self._free_pairs,
            n_free_reversals=0 if two_levels else self._free_reversals,
            n_undone=self._undone,
            net_change=self._grown - shrunk,
            absolute_net_change=self._absolute_net,
        )
