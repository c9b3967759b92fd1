"""What the screen shows of the histories: rows and a slot's ops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from esper.karn.diagnosis import SlotCounts, SlotVerdict
from esper.karn.sanctum.env_log import EnvLog
from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.names import Names
from esper.karn.sanctum.outcomes import Outcome
from esper.karn.sanctum.records import unpacked
from esper.karn.sanctum.slot_log import CHANGED, SlotEvent, SlotLog
from esper.karn.sanctum.state import SlotInternalState, SlotKey, SlotOp

Judged = defaultdict[SlotKey, tuple[SlotVerdict | None, int | None]]
"""Each slot's verdict, and its place among all of them, the worst first; None each without an op."""


@dataclass(slots=True)
class _Known:
    """A row, None for a slot without a seed, and all that it depends on but its place."""

    cause: tuple[int, int, int] = (-1, -1, -1)
    verdict: SlotVerdict | None = None
    tick: int = 0
    stable: bool = False
    outdated: bool = False
    row: SlotInternalState | None = None


class CountReader:
    """Reads counts from the histories; those of an environment that has not changed only once."""

    def __init__(self) -> None:
        self._known: dict[EnvLog, tuple[int, list[SlotCounts]]] = {}

    def read(self, moment: Moment) -> list[SlotCounts]:
        """The counts of an environment's slots that had an op."""
        env = moment.env
        if moment.tick is not None:
            return self._read(moment)
        if env not in self._known or self._known[env][0] != env.version:
            self._known[env] = (env.version, self._read(moment))
        return self._known[env][1]

    def _read(self, moment: Moment) -> list[SlotCounts]:
        return [
            slot.counter.counts(moment.env_id, slot_id, n_ops)
            for slot_id, slot in moment.env.slots.items()
            if (n_ops := slot.n_ops(slot.events.end(moment.tick)))
        ]


class RowReader:
    """Reads rows from the histories; one that has not changed since it was last asked for only once.

    Args:
        names: of seeds and blueprints.
        stable_epochs: epochs without a level change after which the trend is "stable".
    """

    def __init__(self, names: Names, stable_epochs: int) -> None:
        self._names = names
        self._stable_epochs = stable_epochs
        self._known: defaultdict[SlotLog, _Known] = defaultdict(_Known)
        self._versions: dict[EnvLog, int] = {}
        """Of the environments whose known rows are of now: how they were then."""

    def rows(self, moment: Moment, judged: Judged) -> Iterator[tuple[SlotKey, SlotInternalState]]:
        """The rows of an environment's slots that hold a seed.

        Args:
            moment: the environment.
            judged: what is known of the slots that had an op.
        """
        env, tick = moment.env, moment.tick
        same = tick is None and self._versions.pop(env, None) == env.version
        if tick is None:
            self._versions[env] = env.version
        for slot_id, slot in env.slots.items():
            key = (moment.env_id, slot_id)
            verdict, place = judged[key]
            known = self._known[slot]
            if not same or not _same_rate(known.verdict, verdict):
                known = self._known[slot] = self._look(moment, slot_id, verdict, known)
            known.verdict, row = verdict, known.row
            if row is not None:
                if row.place != place or row.verdict is not verdict:
                    row = known.row = row.judged(verdict, place)
                yield key, row

    def _look(self, moment: Moment, slot_id: str, verdict: SlotVerdict | None, known: _Known) -> _Known:
        slot = moment.env.slots[slot_id]
        end = slot.events.end(moment.tick)
        cause = (slot.withdrawals, end, slot.rates.end(moment.tick))
        if (
            known.cause == cause
            and _same_rate(known.verdict, verdict)
            and (known.row is None or self._age(moment, known.tick) == (known.stable, known.outdated))
        ):
            return known
        found = slot.row(end)
        if found is None:
            return _Known(cause, verdict)
        at, event = found
        tick = slot.events.ticks[at]
        stable, outdated = self._age(moment, tick)
        row = self._read(moment, slot_id, event, verdict)
        row.trend = "stable" if stable else _trend(event)
        row.outdated, row.fossilized = outdated, at < end - 1
        return _Known(cause, verdict, tick, stable, outdated, row)

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


def _same_rate(one: SlotVerdict | None, other: SlotVerdict | None) -> bool:
    """Whether two verdicts make the same row: with each slot that is looked at, all others' bounds move."""
    if one is None or other is None:
        return one is other
    return one is other or (one.n_pairs, one.reversal_rate) == (other.n_pairs, other.reversal_rate)


def _trend(event: SlotEvent) -> str:
    if event.kind != CHANGED or event.to_level == event.from_level:
        return "stable"
    return "grow" if event.to_level > event.from_level else "shrink"


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
