"""The judgement on all slots of a run together: each is one look, which the others' intervals pay for."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from operator import attrgetter

from msgspec.structs import force_setattr

from esper.karn.diagnosis.slots import SlotCounts, SlotVerdict, corrected_low, is_named, judge_slot
from esper.leyline.thresholds import MIN_PAIRS

_Order = tuple[bool, float, tuple[float, float, int, str]]
"""What the worst has the least of; the last part does not depend on the number of looks."""


def judge_slots(counts: Iterable[SlotCounts]) -> list[SlotVerdict]:
    """Judge every slot of a run together: each is one look, and the interval is corrected for all.

    Args:
        counts: one entry per environment and slot, the whole run's.

    Returns:
        The verdicts, worst first: named slots before others, then by the corrected interval's lower
        end, the free rate and the reversal rate.
    """
    return SlotJudge().judge(counts)


class _Judged:
    """A slot as it was judged last, and what it is sorted by."""

    __slots__ = ("counts", "order", "turn", "verdict")

    verdict: SlotVerdict
    order: _Order

    def __init__(self) -> None:
        self.counts: SlotCounts | None = None
        self.turn = 0


class SlotJudge:
    """``judge_slots`` for who asks again and again: only what has changed is judged anew.

    With each slot that can be judged one more is looked at, and the corrected interval of every other slot
    moves; nothing else of its verdict does.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int | None, str | None], _Judged] = {}
        self._sorted: list[_Judged] = []
        self._looks = 0
        self._turn = 0
        self._lows: dict[tuple[int, int], float] = {}
        """Corrected lower ends by free reversals and free pairs; many slots have had the same few ops."""

    def judge(self, counts: Iterable[SlotCounts]) -> list[SlotVerdict]:
        """As ``judge_slots``; a verdict that is still the same is the same object."""
        slots = list(counts)
        looks = max(1, sum([slot.n_free_pairs >= MIN_PAIRS for slot in slots]))
        other_looks = looks != self._looks
        if other_looks:
            self._looks, self._lows = looks, {}
        self._turn = turn = self._turn + 1
        known, new = self._known, False
        for key, slot in zip(map(_slot_of, slots), slots, strict=True):
            if key in known:
                judged = known[key]
            else:
                judged = known[key] = _Judged()
                new = True
            if judged.turn == turn:  # two slots of one name, in environments of one number
                return self._all_anew(slots)
            judged.turn = turn
            if judged.counts is slot or judged.counts == slot:
                if other_looks:
                    self._look_again(judged, slot)
            else:
                judged.counts = slot
                _settle(judged, judge_slot(slot, looks))
        if new or len(self._sorted) != len(slots):
            self._known = {key: judged for key, judged in known.items() if judged.turn == turn}
            self._sorted = list(self._known.values())
        # They are nearly in order from the last time, which makes this fast.
        self._sorted.sort(key=_order)
        return [judged.verdict for judged in self._sorted]

    def _all_anew(self, slots: list[SlotCounts]) -> list[SlotVerdict]:
        self._known, self._sorted = {}, []
        return sorted([judge_slot(slot, self._looks) for slot in slots], key=_worst_first)

    def _look_again(self, judged: _Judged, slot: SlotCounts) -> None:
        """Correct a verdict for another number of looks."""
        verdict = judged.verdict
        if verdict.corrected_low is None:
            return
        many = slot.n_free_reversals, verdict.n_free_pairs
        if many not in self._lows:
            self._lows[many] = corrected_low(*many, self._looks)
        low = self._lows[many]
        if low == verdict.corrected_low:
            return
        if is_named(low, verdict.n_free_pairs) != verdict.thrashing:
            _settle(judged, judge_slot(slot, self._looks))
            return
        verdict = copy(verdict)
        force_setattr(verdict, "corrected_low", low)
        judged.verdict, order = verdict, judged.order
        judged.order = (order[0], -low, order[2])


def _settle(judged: _Judged, verdict: SlotVerdict) -> None:
    judged.verdict, judged.order = verdict, _worst_first(verdict)


_order = attrgetter("order")
_slot_of = attrgetter("env_id", "slot_id")


def _worst_first(verdict: SlotVerdict) -> _Order:
    return (
        not verdict.thrashing,
        -(verdict.corrected_low or 0.0),
        (
            -(verdict.free_reversal_rate or 0.0),
            -(verdict.reversal_rate or 0.0),
            -1 if verdict.env_id is None else verdict.env_id,
            verdict.slot_id or "",
        ),
    )
