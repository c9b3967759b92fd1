"""What the screen shows of the histories: rows, the latest changes, a slot's ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge, nlargest
from itertools import islice
from typing import NamedTuple

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.names import Names
from esper.karn.sanctum.outcomes import Outcome
from esper.karn.sanctum.records import unpacked
from esper.karn.sanctum.slot_log import CHANGED, SlotEvent, SlotLog
from esper.karn.sanctum.state import LevelChange, SlotInternalState, SlotOp

CHANGES_KEPT = 200
"""Level changes that the event log can show."""


class _Known(NamedTuple):
    """A row, and all that it depends on."""

    cause: tuple[int, int, int, SlotVerdict | None, int | None]
    tick: int
    stable: bool
    outdated: bool
    row: SlotInternalState


class RowReader:
    """Reads rows from the histories; one that has not changed since it was last asked for only once.

    Args:
        names: of seeds and blueprints.
        stable_epochs: epochs without a level change after which the trend is "stable".
    """

    def __init__(self, names: Names, stable_epochs: int) -> None:
        self._names = names
        self._stable_epochs = stable_epochs
        self._known: dict[SlotLog, _Known] = {}

    def row(
        self, moment: Moment, slot_id: str, verdict: SlotVerdict | None, place: int | None
    ) -> SlotInternalState | None:
        """A slot's row, None if it holds no seed.

        Args:
            moment: its environment.
            slot_id: the slot.
            verdict: the judgement on the slot, None before its first op.
            place: the verdict's among all.
        """
        slot = moment.env.slots[slot_id]
        end = slot.events.end(moment.tick)
        cause = (slot.withdrawals, end, slot.rates.end(moment.tick), verdict, place)
        if slot in self._known:
            known = self._known[slot]
            if known.cause == cause and self._age(moment, known.tick) == (known.stable, known.outdated):
                return known.row
        found = slot.row(end)
        if found is None:
            return None
        at, event = found
        tick = slot.events.ticks[at]
        stable, outdated = self._age(moment, tick)
        row = self._read(moment, slot_id, event, verdict)
        row.trend = "stable" if stable else _trend(event)
        row.outdated, row.fossilized, row.place = outdated, at < end - 1, place
        self._known[slot] = _Known(cause, tick, stable, outdated, row)
        return row

    def _age(self, moment: Moment, tick: int) -> tuple[bool, bool]:
        """Whether a row that was made or moved at a tick is stable, and whether it is outdated."""
        timeline = moment.env.timeline
        quiet = timeline.clock(moment.tick) - timeline.clock(tick)
        return quiet >= self._stable_epochs, timeline.episode(tick) < timeline.episode(moment.tick)

    def _read(
        self, moment: Moment, slot_id: str, event: SlotEvent, verdict: SlotVerdict | None
    ) -> SlotInternalState:
        slot = moment.env.slots[slot_id]
        rate = slot.window_rate(event, moment.tick)
        # Until there is a pair to count, the training's own number stands in for it.
        pooled = None if verdict is None else verdict.reversal_rate
        return SlotInternalState(
            level=event.to_level,
            max_level=event.max_level,
            trend="stable",
            reversal_rate=(rate or 0.0) if pooled is None else pooled,
            env_id=moment.env_id,
            slot_id=slot_id,
            seed_id=self._names.text(event.seed),
            n_pairs=0 if verdict is None else verdict.n_pairs,
            window_reversal_rate=rate,
            episode_idx=unpacked(event.episode),
            last_change_epoch=unpacked(event.epoch) if event.kind == CHANGED else None,
            verdict=verdict,
            rank=moment.rank,
            blueprint_id=self._names.text(event.blueprint),
            levels=slot.levels(event),
        )


def _trend(event: SlotEvent) -> str:
    if event.kind != CHANGED or event.to_level == event.from_level:
        return "stable"
    return "grow" if event.to_level > event.from_level else "shrink"


def latest_changes(moments: Sequence[Moment]) -> tuple[LevelChange, ...]:
    """The latest level changes of all environments, the newest last."""
    slots = [(moment, slot_id) for moment in moments for slot_id in moment.env.slots]
    last = [change for slot in slots for change in islice(_changes_backwards(*slot), 1)]
    # Only slots with one of the newest last changes can have one of the newest at all.
    late = nlargest(CHANGES_KEPT, last, key=_arrival)
    backwards = [_changes_backwards(moment, slot_id) for _, moment, slot_id in late]
    newest = islice(merge(*backwards, key=_arrival, reverse=True), CHANGES_KEPT)
    return tuple(
        LevelChange(
            env_id=moment.env_id,
            slot_id=slot_id,
            episode_idx=unpacked(event.episode),
            epoch=unpacked(event.epoch),
            from_level=event.from_level,
            to_level=event.to_level,
            max_level=event.max_level,
            timestamp=event.timestamp.rstrip(b"\0").decode() or None,
        )
        for event, moment, slot_id in reversed(list(newest))
    )


_Change = tuple[SlotEvent, Moment, str]


def _arrival(change: _Change) -> int:
    return change[0].arrival


def _changes_backwards(moment: Moment, slot_id: str) -> Iterator[_Change]:
    events = moment.env.slots[slot_id].events
    for index in range(events.end(moment.tick) - 1, -1, -1):
        event = events[index]
        if event.kind == CHANGED:
            yield event, moment, slot_id


def slot_history(moment: Moment, slot_id: str, names: Names, limit: int) -> tuple[SlotOp, ...]:
    """A slot's latest ops, the newest last.

    Args:
        moment: its environment.
        slot_id: the slot.
        names: of seeds.
        limit: how many at most.
    """
    slot = moment.env.slots[slot_id]
    n_ops = slot.n_ops(slot.events.end(moment.tick))
    numbers = range(max(0, n_ops - limit), n_ops)
    ops = [slot.op(number) for number in numbers]
    outcomes = _outcomes_since(moment, names.number(slot_id), ops[0].arrival) if ops else {}
    return tuple(_slot_op(slot, number, op, names, outcomes) for number, op in zip(numbers, ops, strict=True))


_OpKey = tuple[int, int, int, int]
"""Episode, epoch, level before and after."""


def _outcomes_since(moment: Moment, slot: int, arrival: int) -> dict[_OpKey, Outcome]:
    """A slot's outcomes by their ops."""
    outcomes = moment.env.outcomes.outcomes
    found: dict[_OpKey, Outcome] = {}
    for index in range(outcomes.end(moment.tick) - 1, -1, -1):
        outcome = outcomes[index]
        if outcome.arrival < arrival:
            break
        if outcome.slot == slot:
            found[outcome.episode, outcome.op_epoch, outcome.from_level, outcome.to_level] = outcome
    return found


def _slot_op(
    slot: SlotLog, number: int, op: SlotEvent, names: Names, outcomes: dict[_OpKey, Outcome]
) -> SlotOp:
    reversal, free = slot.counter.reversal_and_free(number)
    key = (op.episode, op.epoch, op.from_level, op.to_level)
    loss = accuracy = probability = None
    if key in outcomes:
        loss = _known(outcomes[key].loss_advantage)
        accuracy = _known(outcomes[key].accuracy_advantage)
        probability = _known(outcomes[key].op_probability)
    return SlotOp(
        episode=unpacked(op.episode),
        epoch=unpacked(op.epoch),
        from_level=op.from_level,
        to_level=op.to_level,
        reversal=reversal,
        free=free,
        seed_id=names.text(op.seed),
        loss_advantage=loss,
        accuracy_advantage=accuracy,
        op_probability=probability,
    )


def _known(value: float) -> float | None:
    return None if value != value else value
