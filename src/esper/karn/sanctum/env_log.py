"""One environment's seeds: their rows, their counts, and what a resumed training takes back.

A training that was killed at epoch 95 and resumed from its checkpoint at 90 reports epochs 91 to 95
twice. What the earlier attempt said about them is withdrawn, so that no op counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from esper.karn.sanctum.decisions import DecisionLog
from esper.karn.sanctum.outcomes import Outcome, OutcomeLog
from esper.karn.sanctum.records import is_after, unpacked
from esper.karn.sanctum.slot_log import CHANGED, SlotEvent, SlotLog, WindowRate
from esper.karn.sanctum.state import Position
from esper.karn.sanctum.timeline import Timeline

_Record = SlotEvent | WindowRate | Outcome

_RATE, _OUTCOME = -1, -2
"""Kinds of the records that are no SlotEvent."""


class EnvLog:
    """The events of one environment, kept in such a way that any moment of it can be shown.

    Args:
        attempt: which process writes now, from 1.
        number_of: numbers slot names as decisions do.

    Attributes:
        slots: each slot's history, pruned seeds' too.
        outcomes: of the ops of all slots.
        timeline: the positions that were reached.
        decisions: what the policy decided.
        withdrawals: how often something may have been taken back.
        version: another one after whatever may change counts, or rows otherwise than by the clock.
    """

    def __init__(self, attempt: int, number_of: Callable[[str], int]) -> None:
        self.slots: dict[str, SlotLog] = {}
        self.outcomes = OutcomeLog()
        self.timeline = Timeline()
        self.decisions = DecisionLog()
        self.attempt = attempt
        self.withdrawals = self.version = 0
        self._number_of = number_of
        self._asked_again = False
        """Whether the new attempt has to complete the first epoch after its resume point yet."""
        self._awaits_resume_point = False
        self._resume_point: Position | None = None
        self._repeated: set[int] = set()
        """Kinds of which the new attempt has repeated some at the resume point."""
        self._replaced: list[tuple[int, SlotEvent]] = []
        """What was taken back at a resume point: it tells what was decided otherwise."""

    def add(self, slot_id: str, event: SlotEvent) -> None:
        """Take in one event of a slot, in file order."""
        self.version += 1
        self._replaces(event)
        self._slot(slot_id).add(self._reach(event), event)

    def add_rate(self, slot_id: str, rate: WindowRate) -> None:
        """Note the rate that the training itself reported."""
        self.version += 1
        self._replaces(rate)
        self._slot(slot_id).rates.append(self.timeline.now(), *rate)

    def add_outcome(self, outcome: Outcome) -> None:
        """Note what happened after an op."""
        self._replaces(outcome)
        self.outcomes.add(self._after(outcome), outcome)

    def epoch_completed(self, episode_idx: int | None, epoch: int | None) -> None:
        """Let the environment's clock go on by one epoch, or to ``epoch``."""
        if self._awaits_resume_point and epoch is not None and episode_idx is not None:
            self.resume_at((episode_idx, epoch - 1))
        self._take_back_undecided()
        self.timeline.complete_epoch(episode_idx, epoch)

    def episode_ended(self, episode_idx: int | None, epoch: int | None) -> None:
        """The next event belongs to another episode, whether or not it says which."""
        # An episode that a resumed training only had to end was trained whole before.
        if self._awaits_resume_point and epoch is not None and episode_idx is not None:
            self.resume_at((episode_idx, epoch))
        self._take_back_undecided()
        self.timeline.end_episode()

    def begin_attempt(self, attempt: int) -> None:
        """The file was opened anew; where the training takes up is not known yet."""
        self._take_back_undecided()
        self.attempt = attempt
        self._awaits_resume_point = True
        self._resume_point = None

    def resume_at(self, point: Position) -> None:
        """Withdraw what earlier attempts reported after ``point``, the last epoch that was kept.

        At the point itself it can't be told from the numbers whether a thing happened before or after
        the checkpoint was taken: what the new attempt reports again replaces what was reported before.
        """
        self._awaits_resume_point = False
        self._asked_again = True
        self._resume_point = point
        self._repeated = {
            _kind(record)
            for record in self._records()
            if record.attempt == self.attempt and (record.episode, record.epoch) == point
        }
        self._withdraw(lambda record: is_after(record.episode, record.epoch, point))
        self._replaced = [
            (slot, event) for slot, event in self._replaced if not is_after(event.episode, event.epoch, point)
        ]
        self._replace(point, self._repeated)
        self._rewind(point)

    def _take_back_undecided(self) -> None:
        """Withdraw what was done at the resume point, but not decided when the policy was asked again."""
        point = self._resume_point
        if point is None or not self._asked_again:
            return
        self._asked_again = False
        done = [
            *self._done_at(point),
            *(old for old in self._replaced if (old[1].episode, old[1].epoch) == point),
        ]
        kinds = self.decisions.decided_otherwise(point, self.attempt, done) if done else set()
        self._replace(point, kinds | {_RATE, _OUTCOME} if CHANGED in kinds else kinds)

    def _done_at(self, point: Position) -> list[tuple[int, SlotEvent]]:
        """What earlier attempts did at the resume point."""
        return [
            (self._number_of(slot_id), event)
            for slot_id, slot in self.slots.items()
            for event in slot.events
            if event.attempt < self.attempt and (event.episode, event.epoch) == point
        ]

    def _replace(self, point: Position, kinds: set[int]) -> None:
        """Take back what earlier attempts said of these kinds at the resume point."""
        if kinds:
            self._replaced += [(slot, event) for slot, event in self._done_at(point) if event.kind in kinds]
            self._withdraw(lambda record: (record.episode, record.epoch) == point and _kind(record) in kinds)

    def _reach(self, event: SlotEvent) -> int:
        return self.timeline.reach(unpacked(event.episode), unpacked(event.epoch), mark=event.kind == CHANGED)

    def _after(self, outcome: Outcome) -> int:
        return self.timeline.after(unpacked(outcome.episode), unpacked(outcome.op_epoch))

    def _slot(self, slot_id: str) -> SlotLog:
        if slot_id not in self.slots:
            self.slots[slot_id] = SlotLog()
        return self.slots[slot_id]

    def _records(self) -> Iterator[_Record]:
        for slot in self.slots.values():
            yield from slot.events
            yield from slot.rates
        yield from self.outcomes.outcomes

    def _replaces(self, record: _Record) -> None:
        """At the point of resumption, take back what earlier attempts said of the same kind."""
        point = self._resume_point
        if point is None or (record.episode, record.epoch) != point:
            return
        kind = _kind(record)
        if kind in self._repeated:
            return
        self._repeated.add(kind)
        self._replace(point, {kind})

    def _withdraw(self, belongs: Callable[[_Record], bool]) -> None:
        def is_withdrawn(record: _Record) -> bool:
            return record.attempt < self.attempt and belongs(record)

        self.withdrawals += 1
        self.version += 1
        for slot in self.slots.values():
            slot.withdraw(is_withdrawn)
        self.outcomes.withdraw(is_withdrawn)

    def _rewind(self, point: Position) -> None:
        self.version += 1
        left = self.timeline.rewind(point)
        logs = [log for slot in self.slots.values() for log in (slot.events, slot.rates)]
        later = [
            (log[index], log.ticks, index)
            for log in (*logs, self.outcomes.outcomes)
            for index in range(log.end(left - 1), len(log))
        ]
        # What the new attempt has said already goes on from the point.
        for record, ticks, index in sorted(later, key=lambda found: found[0].arrival):
            if isinstance(record, SlotEvent):
                ticks[index] = self._reach(record)
            elif isinstance(record, Outcome):
                ticks[index] = self._after(record)
            else:
                ticks[index] = self.timeline.now()


def _kind(record: _Record) -> int:
    if isinstance(record, SlotEvent):
        return record.kind
    return _RATE if isinstance(record, WindowRate) else _OUTCOME
