"""What the screen shows of the histories: rows and a slot's ops."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.env_log import EnvLog
from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.names import Names
from esper.karn.sanctum.outcomes import Outcome
from esper.karn.sanctum.records import unpacked
from esper.karn.sanctum.slot_log import CHANGED, KINDS, SlotEvent, SlotLog, levels_told
from esper.karn.sanctum.state import SlotInternalState, SlotKey, SlotOp

Judged = defaultdict[SlotKey, tuple[SlotVerdict | None, int | None]]
"""Each slot's verdict, and its place among all of them, the worst first; None each without an op."""


@dataclass(slots=True)
class _Known:
    """A row, None for a slot without a seed, and all that it depends on but its place."""

    cause: tuple[int, int, int, int] = (-1, -1, -1, -1)
    verdict: SlotVerdict | None = None
    tick: int = 0
    until: float = math.inf
    """The environment's clock, in epochs, at which it becomes stable."""
    stable: bool = False
    outdated: bool = False
    row: SlotInternalState | None = None


@dataclass(slots=True)
class _Shown:
    """The rows of an environment as it is now, and how long they stay so if nothing but time goes by."""

    version: int
    episode: int
    until: float
    """The environment's clock, in epochs, at which the next row becomes stable."""
    rows: list[tuple[SlotKey, _Known]]


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
        self._shown: dict[EnvLog, _Shown] = {}
        """Of the environments whose known rows are of now."""

    def read(self, moment: Moment, judged: Judged, rows: dict[SlotKey, SlotInternalState]) -> None:
        """Add the rows of an environment's slots that hold a seed.

        Args:
            moment: the environment.
            judged: what is known of the slots that had an op.
            rows: takes them.
        """
        env, timeline = moment.env, moment.env.timeline
        shown = self._shown.pop(env, None)
        if moment.tick is not None or shown is None or shown.episode != timeline.episode(None):
            shown = self._look_at_all(moment, judged, math.inf)
        elif shown.version != env.version:
            shown = self._look_at_all(moment, judged, timeline.clock(None))
        elif timeline.clock(None) >= shown.until:
            self._look_at_older(moment, judged, shown)
        if moment.tick is None:
            self._shown[env] = shown
        for key, known in shown.rows:
            verdict, place = judged[key]
            row = known.row
            if row is not None:
                if row.verdict is not verdict:
                    known.verdict, row = verdict, row.judged(verdict)
                    known.row = row
                row.place = place  # with each op of one slot, hundreds of others move on
                rows[key] = row

    def _look_at_all(self, moment: Moment, judged: Judged, clock: float) -> _Shown:
        """Look at an environment's slots; at one that is as it was only if it may be stable by ``clock``."""
        rewinds, episode = moment.env.timeline.rewinds, moment.env.timeline.episode(moment.tick)
        shown = _Shown(moment.env.version, episode, math.inf, [])
        for slot_id, slot in moment.env.slots.items():
            key, known = (moment.env_id, slot_id), self._known[slot]
            now = (slot.withdrawals, rewinds, len(slot.events.ticks), len(slot.rates.ticks))
            if clock >= known.until or known.cause != now:
                known = self._known[slot] = self._look(moment, slot_id, judged[key][0], known)
            if known.row is not None:
                shown.rows.append((key, known))
                shown.until = min(shown.until, known.until)
        return shown

    def _look_at_older(self, moment: Moment, judged: Judged, shown: _Shown) -> None:
        """Look at those slots of an environment that are stable by now; no other can have changed."""
        env, clock = moment.env, moment.env.timeline.clock(None)
        for place, (key, known) in enumerate(shown.rows):
            if clock >= known.until:
                other = self._look(moment, key[1], judged[key][0], known)
                self._known[env.slots[key[1]]] = other
                shown.rows[place] = key, other
        shown.until = min([known.until for _, known in shown.rows], default=math.inf)

    def _look(self, moment: Moment, slot_id: str, verdict: SlotVerdict | None, known: _Known) -> _Known:
        slot = moment.env.slots[slot_id]
        end = slot.events.end(moment.tick)
        cause = (slot.withdrawals, moment.env.timeline.rewinds, end, slot.rates.end(moment.tick))
        if known.cause == cause and _same_rate(known.verdict, verdict):
            stable, outdated = (False, False) if known.row is None else self._age(moment, known.tick)
            if known.row is None or (stable, outdated) == (known.stable, known.outdated):
                return known
            if stable:
                row = known.row.judged(verdict)
                row.trend, row.outdated = "stable", outdated
                return _Known(cause, verdict, known.tick, math.inf, stable, outdated, row)
        found = slot.row(end)
        if found is None:
            return _Known(cause, verdict)
        at, event = found
        tick = slot.events.ticks[at]
        stable, outdated = self._age(moment, tick)
        row = self._read(moment, slot_id, event, verdict)
        row.trend = "stable" if stable else _trend(event)
        row.outdated, row.fossilized = outdated, at < end - 1
        until = math.inf if stable else moment.env.timeline.clock(tick) + self._stable_epochs
        return _Known(cause, verdict, tick, until, stable, outdated, row)

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
        max_level = event.max_level
        if event.kind == CHANGED and max_level <= 0 and verdict is not None:
            max_level = verdict.max_level or 0  # this one's can't be read; that of the slot's ops is known
        return SlotInternalState(
            level=event.to_level,
            max_level=max_level,
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
    """A slot's latest ops, and the begins and ends of its seeds, the newest last.

    Args:
        moment: its environment.
        slot_id: the slot.
        names: of seeds.
        limit: how many at most.
    """
    slot = moment.env.slots[slot_id]
    end = slot.events.end(moment.tick)
    begin = max(0, end - limit)
    events = [slot.events[index] for index in range(begin, end)]
    outcomes = _outcomes_since(moment, names.number(slot_id), events[0].arrival) if events else {}
    number, history = slot.n_ops(begin), []
    for event in events:
        if event.kind != CHANGED:
            history.append(_seed_event(event, names))
        elif event.from_level != event.to_level:  # a change to the same level is no op
            history.append(_slot_op(slot, number, event, names, outcomes))
            number += 1
    return tuple(history)


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


def _seed_event(event: SlotEvent, names: Names) -> SlotOp:
    _, level, _ = levels_told(event)
    return SlotOp(
        episode=unpacked(event.episode),
        epoch=unpacked(event.epoch),
        from_level=None,
        to_level=level,
        reversal=False,
        free=False,
        seed_id=names.text(event.seed),
        kind=KINDS[event.kind],
    )


def _known(value: float) -> float | None:
    return None if value != value else value
