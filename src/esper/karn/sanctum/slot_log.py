"""One slot's history, from which its row and its counts follow at any moment."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from esper.karn.sanctum.records import RecordLog, unpacked
from esper.karn.sanctum.slot_counts import SlotCounter
from esper.karn.sanctum.state import ChangeKind

LEVELS_KEPT = 64
"""Levels of a seed that a row can show."""
TIME_BYTES = 40
"""Of a timestamp that is kept; ISO-8601 takes 32."""

GERMINATED, CHANGED, PRUNED, FOSSILIZED = range(4)
KINDS: tuple[ChangeKind, ...] = ("germinated", "changed", "pruned", "fossilized")
"""Their names."""


class SlotEvent(NamedTuple):
    """Something that happened to a slot; levels are 0 where they don't apply, names are indices."""

    arrival: int
    """Number among all events of the run, in the order in which they were read."""
    attempt: int
    episode: int
    epoch: int
    kind: int
    from_level: int = 0
    to_level: int = 0
    max_level: int = 0
    seed: int = 0
    """0 where the event does not say."""
    blueprint: int = 0
    timestamp: bytes = b""
    born: int = 0
    """Arrival of the event that made the row."""
    first_level: int = 0
    """Where the seed's levels begin in the slot's."""
    end_level: int = 0
    """Where they end."""


def levels_told(event: SlotEvent) -> tuple[int | None, int | None, int | None]:
    """Level before and after, and the highest, as far as an event tells of them."""
    ladder = event.max_level if event.max_level > 0 else None  # a ladder has one level at least
    if event.kind == CHANGED:
        return event.from_level, event.to_level, ladder
    return None, event.to_level if event.kind == GERMINATED and ladder else None, ladder


class WindowRate(NamedTuple):
    """The reversal rate that the training itself reported."""

    arrival: int
    attempt: int
    episode: int
    epoch: int
    rate: float


_N_TOLD = SlotEvent._fields.index("blueprint")
_EVENT = Struct(f"<IIqqBiiiII{TIME_BYTES}sIII")
_RATE = Struct("<IIqqd")


class SlotLog:
    """What happened to one slot of one environment, in file order.

    Attributes:
        events: what made, moved and removed its rows.
        withdrawals: how often something was taken back.
        rates: the training's own rates.
    """

    __slots__ = (
        "_blueprint",
        "_born",
        "_counter",
        "_first",
        "_levels",
        "_ops",
        "_seed",
        "events",
        "rates",
        "withdrawals",
    )

    def __init__(self) -> None:
        self.events = RecordLog(_EVENT, SlotEvent._make)
        self.rates = RecordLog(_RATE, WindowRate._make)
        self.withdrawals = 0
        self._clear()

    def _clear(self) -> None:
        self.events.clear()
        self._levels = array("i")
        """Of all seeds, one after the other."""
        self._counter = SlotCounter()
        self._ops = array("I")
        """Of each op: its place among the events."""
        self._seed: int | None = None
        """In the slot now; None where there is no row."""
        self._born = self._first = self._blueprint = 0
        """Of the seed: see SlotEvent."""

    @property
    def counter(self) -> SlotCounter:
        """The counts."""
        return self._counter

    def add(self, tick: int, event: SlotEvent) -> None:
        """Take in an event."""
        arrival, kind, seed, blueprint, levels = (
            event.arrival,
            event.kind,
            event.seed,
            event.blueprint,
            self._levels,
        )
        if kind == CHANGED:
            if self._seed is None or (seed != self._seed and seed and self._seed):
                self._born, self._first, self._blueprint = arrival, len(levels), 0
                levels.append(event.from_level)
            levels.append(event.to_level)
            self._count(event)
        elif kind == GERMINATED:
            self._born, self._first, self._blueprint = arrival, len(levels), 0
            levels.append(event.to_level)
        if kind <= CHANGED:
            self._seed = seed
            self._blueprint = blueprint = blueprint or self._blueprint
        elif kind == PRUNED:
            self._seed = None
        self.events.append(
            tick, *event[:_N_TOLD], blueprint, event.timestamp, self._born, self._first, len(levels)
        )

    def row(self, end: int) -> tuple[int, SlotEvent] | None:
        """The event that tells the row as it is after the first ``end`` events, with its place among them.

        None without a row. The events after it say that its seed was fossilized.
        """
        for at in range(end - 1, -1, -1):
            event = self.events[at]
            if event.kind != FOSSILIZED:
                return None if event.kind == PRUNED else (at, event)
        return None

    def levels(self, row: SlotEvent) -> tuple[int, ...]:
        """The seed's latest levels up to a row's event."""
        return tuple(self._levels[max(row.first_level, row.end_level - LEVELS_KEPT) : row.end_level])

    def window_rate(self, row: SlotEvent, tick: int | None) -> float | None:
        """What the training reported last of the row's seed."""
        end = self.rates.end(tick)
        if end == 0:
            return None
        last = self.rates[end - 1]
        return last.rate if last.arrival > row.born else None

    def n_ops(self, end: int) -> int:
        """How many of the first ``end`` events are ops."""
        return bisect_left(self._ops, end)

    def op(self, number: int) -> SlotEvent:
        """An op, from 0."""
        return self.events[self._ops[number]]

    def withdraw(self, belongs: Callable[[SlotEvent | WindowRate], bool]) -> None:
        """Forget some records, and count anew where it matters."""
        rates = [(tick, rate) for tick, rate in zip(self.rates.ticks, self.rates, strict=True)]
        kept_rates = [(tick, rate) for tick, rate in rates if not belongs(rate)]
        if len(kept_rates) < len(rates):
            self.withdrawals += 1
            self.rates.clear()
            for tick, rate in kept_rates:
                self.rates.append(tick, *rate)
        events = [(tick, event) for tick, event in zip(self.events.ticks, self.events, strict=True)]
        kept = [(tick, event) for tick, event in events if not belongs(event)]
        if len(kept) < len(events):
            self.withdrawals += 1
            self._clear()
            for tick, event in kept:
                self.add(tick, event)

    def _count(self, event: SlotEvent) -> None:
        if event.from_level != event.to_level:
            self._ops.append(len(self.events))
            self._counter.add(
                event.from_level,
                event.to_level,
                event.max_level,
                seed_id=event.seed,
                episode_idx=unpacked(event.episode),
                epoch=unpacked(event.epoch),
            )
