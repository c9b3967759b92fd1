"""One environment's seeds: their rows, their counts, and what a resumed training takes back.

A training that was killed at epoch 95 and resumed from its checkpoint at 90 reports epochs 91 to 95
twice. What the earlier attempt said about them is withdrawn, so that no op counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from esper.karn.sanctum.slot_counts import SlotCounter
from esper.karn.sanctum.state import Position, SlotInternalState
from esper.leyline.events import TelemetryEventType


@dataclass(slots=True)
class SlotEvent:
    """Something that happened to one slot; levels are 0 where they don't apply."""

    kind: str
    """Its event type."""
    slot_id: str
    seed_id: str | None
    episode_idx: int | None
    epoch: int | None
    from_level: int = 0
    to_level: int = 0
    max_level: int = 0
    attempt: int = 1
    withdrawn: bool = False

    @property
    def position(self) -> Position | None:
        """Where in the training it happened, None if it does not say."""
        if self.epoch is None or self.episode_idx is None:
            return None
        return self.episode_idx, self.epoch

    def is_after(self, point: Position) -> bool:
        """Whether it happened later than ``point``, as far as it says."""
        if self.episode_idx is None or self.episode_idx != point[0]:
            return self.episode_idx is not None and self.episode_idx > point[0]
        return self.epoch is not None and self.epoch > point[1]


@dataclass(slots=True)
class _Row:
    level: int
    max_level: int
    trend: str
    seed_id: str | None
    changed_at: int
    episode: int
    episode_idx: int | None
    change_epoch: int | None = None
    window_rate: float | None = None
    fossilized: bool = False


class EnvLog:
    """The events of one environment's slots, folded into rows and counts as they come."""

    def __init__(self, attempt: int = 1) -> None:
        self.counters: dict[str, SlotCounter] = {}
        """Counts per slot, pruned seeds' too."""
        self._rows: dict[str, _Row] = {}
        self._events: list[SlotEvent] = []
        self._attempt = attempt
        self._awaits_resume_point = False
        self._resume_point: Position | None = None
        self._clock_base = 0
        self._epoch = 0
        self._episode = 0
        self._episode_idx: int | None = None
        self._episode_ended = False

    def add(self, event: SlotEvent) -> None:
        """Take in one event of a slot, in file order."""
        event.attempt = self._attempt
        self._enter_episode(event.episode_idx)
        if event.position is not None and event.position == self._resume_point:
            self._withdraw(lambda earlier: earlier.position == event.position and earlier.kind == event.kind)
        self._events.append(event)
        self._apply(event)

    def set_window_rate(self, slot_id: str, reversal_rate: float) -> None:
        """Note the rate that the training itself reported; a slot without a row has nowhere to show it."""
        if slot_id in self._rows:
            self._rows[slot_id].window_rate = reversal_rate

    def epoch_completed(self, episode_idx: int | None, epoch: int | None) -> None:
        """Let the environment's clock go on by one epoch, or to ``epoch``."""
        self._enter_episode(episode_idx)
        if self._awaits_resume_point and epoch is not None and episode_idx is not None:
            self.resume_at((episode_idx, epoch - 1))
        self._epoch = self._epoch + 1 if epoch is None else epoch

    def episode_ended(self) -> None:
        """The next event belongs to another episode, whether or not it says which."""
        self._episode_ended = True

    def begin_attempt(self, attempt: int) -> None:
        """The file was opened anew; where the training takes up is not known yet."""
        self._attempt = attempt
        self._awaits_resume_point = True
        self._resume_point = None

    def resume_at(self, point: Position) -> None:
        """Withdraw what earlier attempts reported after ``point``, the last epoch that was kept.

        At the point itself it can't be told from the numbers whether a thing happened before or after
        the checkpoint was taken: what the new attempt reports again replaces what was reported before.
        """
        self._awaits_resume_point = False
        self._resume_point = point
        again = {
            event.kind for event in self._events if event.attempt == self._attempt and event.position == point
        }
        self._withdraw(
            lambda event: event.is_after(point) or (event.position == point and event.kind in again)
        )

    def states(self, stable_epochs: int) -> Iterator[tuple[str, SlotInternalState]]:
        """Each slot with a row, without its verdict.

        Args:
            stable_epochs: epochs without a level change after which the trend is "stable".
        """
        clock = self._clock_base + self._epoch
        for slot_id, row in self._rows.items():
            yield (
                slot_id,
                SlotInternalState(
                    level=row.level,
                    max_level=row.max_level,
                    trend="stable" if clock - row.changed_at >= stable_epochs else row.trend,
                    reversal_rate=row.window_rate or 0.0,
                    slot_id=slot_id,
                    seed_id=row.seed_id,
                    n_pairs=0,
                    window_reversal_rate=row.window_rate,
                    fossilized=row.fossilized,
                    outdated=row.episode < self._episode,
                    episode_idx=row.episode_idx,
                    last_change_epoch=row.change_epoch,
                ),
            )

    def _enter_episode(self, episode_idx: int | None) -> None:
        moved_on = None not in (episode_idx, self._episode_idx) and episode_idx != self._episode_idx
        if self._episode_ended or moved_on:
            # Epochs start anew in each episode; the clock must not.
            self._clock_base += self._epoch
            self._epoch = 0
            self._episode += 1
            self._episode_ended = False
            self._episode_idx = None
        if episode_idx is not None:
            self._episode_idx = episode_idx

    def _apply(self, event: SlotEvent) -> None:
        match event.kind:
            case TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED:
                self._count(event)
                self._change_level(event)
            case TelemetryEventType.SEED_GERMINATED:
                self._rows[event.slot_id] = _Row(
                    level=event.to_level,
                    max_level=event.max_level,
                    trend="stable",
                    seed_id=event.seed_id,
                    changed_at=self._clock_base + self._epoch,
                    episode=self._episode,
                    episode_idx=event.episode_idx,
                )
            case TelemetryEventType.SEED_PRUNED:
                self._rows.pop(event.slot_id, None)
            case TelemetryEventType.SEED_FOSSILIZED if event.slot_id in self._rows:
                self._rows[event.slot_id].fossilized = True

    def _count(self, event: SlotEvent) -> None:
        if event.slot_id not in self.counters:
            self.counters[event.slot_id] = SlotCounter()
        self.counters[event.slot_id].add(
            event.from_level,
            event.to_level,
            event.max_level,
            seed_id=event.seed_id,
            episode_idx=event.episode_idx,
            epoch=event.epoch,
        )

    def _change_level(self, event: SlotEvent) -> None:
        if event.epoch is not None:
            self._epoch = event.epoch
        direction = event.to_level - event.from_level
        known = event.slot_id in self._rows
        self._rows[event.slot_id] = _Row(
            level=event.to_level,
            max_level=event.max_level,
            trend="grow" if direction > 0 else "shrink" if direction < 0 else "stable",
            seed_id=event.seed_id,
            changed_at=self._clock_base + self._epoch,
            episode=self._episode,
            episode_idx=event.episode_idx,
            change_epoch=event.epoch,
            window_rate=self._rows[event.slot_id].window_rate if known else None,
        )

    def _withdraw(self, belongs: Callable[[SlotEvent], bool]) -> None:
        kept: list[SlotEvent] = []
        for event in self._events:
            event.withdrawn = event.attempt < self._attempt and belongs(event)
            if not event.withdrawn:
                kept.append(event)
        if len(kept) == len(self._events):
            return
        epoch = self._epoch
        self._events = kept
        self._rows.clear()
        self.counters.clear()
        for event in kept:
            self._apply(event)
        self._epoch = epoch
