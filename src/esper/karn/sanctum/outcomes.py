"""What internal ops did beyond NOOPs: the outcomes of one environment, and the effects over all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from struct import Struct
from typing import NamedTuple

from esper.karn.diagnosis import Effect
from esper.karn.diagnosis.clues import Spread, effect
from esper.karn.sanctum.records import RecordLog
from esper.leyline.actions import LifecycleOp
from esper.leyline.thresholds import BASELINE_WARM_QUERY, BASELINE_WARM_VERDICT

_NAMES = {int(op): op.name for op in LifecycleOp}
_STRIDE = 256
"""Outcomes after which the statistics are noted, so that those of any moment are found from near it."""


class Outcome(NamedTuple):
    """What happened after one op; NaN where that is not known."""

    arrival: int
    attempt: int
    episode: int
    epoch: int
    slot: int
    op: int
    op_epoch: int
    """After which the op was done."""
    from_level: int
    to_level: int
    n_baseline: int
    """NOOPs behind the baseline."""
    loss_advantage: float
    accuracy_advantage: float
    op_probability: float


_OUTCOME = Struct("<IIqqIiqiiqddd")


class _Values:
    """Mean and deviation of values that come one by one (B. P. Welford, Technometrics 4 (1962), 419-420)."""

    __slots__ = ("_mean", "_squares", "n")

    def __init__(self) -> None:
        self.n = 0
        self._mean = self._squares = 0.0

    def add(self, value: float) -> None:
        if math.isnan(value):
            return
        self.n += 1
        away = value - self._mean
        self._mean += away / self.n
        self._squares += away * (value - self._mean)

    def join(self, other: _Values) -> None:
        if other.n == 0:
            return
        n, away = self.n + other.n, other._mean - self._mean
        self._squares += other._squares + away * away * self.n * other.n / n
        self._mean += away * other.n / n
        self.n = n

    def spread(self) -> Spread:
        """Of what came so far."""
        deviation = math.sqrt(self._squares / (self.n - 1)) if self.n > 1 else None
        return Spread(self._mean if self.n else None, deviation, self.n)


class OpStats:
    """Statistics over one op's outcomes."""

    __slots__ = ("_accuracy", "_early", "_loss", "_n_all", "_n_warm")

    def __init__(self) -> None:
        self._n_all = self._n_warm = 0
        self._loss, self._accuracy, self._early = _Values(), _Values(), _Values()

    def add(self, outcome: Outcome) -> None:
        """Take in one outcome."""
        self._n_all += 1
        if outcome.n_baseline >= BASELINE_WARM_QUERY:
            self._early.add(outcome.loss_advantage)
        if outcome.n_baseline >= BASELINE_WARM_VERDICT:
            self._n_warm += 1
            self._loss.add(outcome.loss_advantage)
            self._accuracy.add(outcome.accuracy_advantage)

    def join(self, other: OpStats) -> None:
        """Add another environment's."""
        self._n_all += other._n_all
        self._n_warm += other._n_warm
        self._loss.join(other._loss)
        self._accuracy.join(other._accuracy)
        self._early.join(other._early)

    def effect(self, op_name: str) -> Effect:
        """The effect, as the verdict words it."""
        return effect(
            op_name,
            self._n_all,
            self._n_warm,
            self._loss.spread(),
            self._accuracy.spread(),
            (self._early.n, self._early.spread().mean),
        )


class OutcomeLog:
    """The outcomes of one environment's ops, in file order.

    Attributes:
        outcomes: all of them.
    """

    __slots__ = ("_noted", "_stats", "outcomes")

    def __init__(self) -> None:
        self.outcomes = RecordLog(_OUTCOME, Outcome._make)
        self._stats: dict[int, OpStats] = {}
        self._noted: list[dict[int, OpStats]] = []

    def add(self, tick: int, outcome: Outcome) -> None:
        """Take in an outcome."""
        if len(self.outcomes) % _STRIDE == 0:
            self._noted.append(deepcopy(self._stats))
        ticks = self.outcomes.ticks
        self.outcomes.append(max(tick, ticks[-1]) if ticks else tick, *outcome)
        _add(self._stats, outcome)

    def stats(self, tick: int | None) -> Mapping[int, OpStats]:
        """Each op's statistics as they were at a tick, not to be changed."""
        end = self.outcomes.end(tick)
        if end == len(self.outcomes):
            return self._stats
        start = end // _STRIDE
        stats = deepcopy(self._noted[start])
        for index in range(start * _STRIDE, end):
            _add(stats, self.outcomes[index])
        return stats

    def withdraw(self, belongs: Callable[[Outcome], bool]) -> None:
        """Forget some outcomes."""
        known = list(zip(self.outcomes.ticks, self.outcomes, strict=True))
        kept = [(tick, outcome) for tick, outcome in known if not belongs(outcome)]
        if len(kept) < len(known):
            self.outcomes.clear()
            self._stats, self._noted = {}, []
            for tick, outcome in kept:
                self.add(tick, outcome)


def _add(stats: dict[int, OpStats], outcome: Outcome) -> None:
    if outcome.op not in stats:
        stats[outcome.op] = OpStats()
    stats[outcome.op].add(outcome)


def effects(environments: Iterable[Mapping[int, OpStats]]) -> tuple[Effect, ...]:
    """The effect of each op that has outcomes, over all environments, by name."""
    sums: dict[int, OpStats] = {}
    for stats in environments:
        for op, part in stats.items():
            if op in _NAMES:
                if op not in sums:
                    sums[op] = OpStats()
                sums[op].join(part)
    return tuple(sums[op].effect(_NAMES[op]) for op in sorted(sums, key=_NAMES.__getitem__))
