"""Which aggregator handles which event; the app itself handles none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from esper.karn.sanctum.aggregator import InternalLevelAggregator
from esper.karn.sanctum.brief import TYPES, Brief, is_decision
from esper.karn.sanctum.positions import PositionIndex
from esper.karn.sanctum.state import Position, RunPosition, SanctumSnapshot, SlotKey, SlotOp
from esper.leyline.events import TelemetryEvent, TelemetryEventType
from esper.leyline.thresholds import STABLE_EPOCHS

Handler = Callable[[Any], None]
"""Takes a TelemetryEvent, or a Brief of the same type."""


class TrainingAggregator:
    """Aggregator for a run's beginnings, ends and losses, rank by rank."""

    def __init__(self) -> None:
        self.dropped = 0
        """Events that the writers could not write, as they say."""
        self._outcomes: dict[int, str] = {}

    def handle_training_finished(self, event: TelemetryEvent) -> None:
        """A rank ended its training by itself."""
        self._outcomes[event.rank or 0] = event.data.outcome

    def handle_events_dropped(self, event: TelemetryEvent) -> None:
        """A writer says how many events it lost."""
        self.dropped += event.data.count

    def begin_attempt(self, rank: int) -> None:
        """A rank trains again, so that it has not finished."""
        self._outcomes.pop(rank, None)

    def finished(self) -> set[int]:
        """Ranks that ended by themselves."""
        return set(self._outcomes)

    def outcome(self) -> str | None:
        """How the training ended, if any rank says something else than "completed"."""
        return next((word for word in self._outcomes.values() if word != "completed"), None)


class AggregatorRegistry:
    """All aggregators of one run, and the events that each one is for.

    Args:
        stable_epochs: see InternalLevelAggregator.

    Attributes:
        handlers: what takes events of a type; others need not be decoded.
    """

    def __init__(self, stable_epochs: int = STABLE_EPOCHS) -> None:
        self.internal_level_aggregator = InternalLevelAggregator(stable_epochs)
        self.training_aggregator = TrainingAggregator()
        self._index = PositionIndex()
        levels, training = self.internal_level_aggregator, self.training_aggregator
        self.handlers: dict[str, Handler] = {
            TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED: levels.handle_seed_internal_level_changed,
            TelemetryEventType.INTERNAL_OP_METRICS: levels.handle_internal_op_metrics,
            TelemetryEventType.COUNTERFACTUAL_DELTA: levels.handle_counterfactual_delta,
            TelemetryEventType.SEED_GERMINATED: levels.handle_seed_germinated,
            TelemetryEventType.SEED_PRUNED: levels.handle_seed_pruned,
            TelemetryEventType.SEED_FOSSILIZED: levels.handle_seed_fossilized,
            TelemetryEventType.ANALYTICS_SNAPSHOT: levels.handle_decision,
            TelemetryEventType.EPOCH_COMPLETED: levels.handle_epoch_completed,
            TelemetryEventType.EPISODE_OUTCOME: levels.handle_episode_outcome,
            TelemetryEventType.TRAINING_STARTED: self._handle_training_started,
            TelemetryEventType.TRAINING_FINISHED: training.handle_training_finished,
            TelemetryEventType.EVENTS_DROPPED: training.handle_events_dropped,
        }

    def process(self, event: TelemetryEvent) -> None:
        """Hand one event, in file order, to the aggregator that it is for."""
        if event.event_type in self.handlers:
            self.handlers[event.event_type](event)

    def brief_handlers(self) -> dict[type[Brief], Handler]:
        """What takes the brief events of a class; the others mean nothing here."""
        handlers = self.handlers | {TelemetryEventType.ANALYTICS_SNAPSHOT: self._handle_brief_snapshot}
        return {kind: handlers[name] for kind, name in TYPES.items() if name in handlers}

    def begin_attempt(self, rank: int, attempt: int) -> None:
        """A rank's file was opened to write for the second time or more."""
        self.internal_level_aggregator.begin_attempt(rank, attempt)
        self.training_aggregator.begin_attempt(rank)

    def positions(self) -> Sequence[Position]:
        """Every (episode, epoch) at which an epoch was completed or a level changed, in order.

        A view of what is known: it grows with the run.
        """
        return self._index.update([env.timeline for env in self.internal_level_aggregator.envs()])

    def to_snapshot(self, run: RunPosition, at: Position | None = None) -> SanctumSnapshot:
        """What the aggregators know, together with what is known of the run's files.

        Args:
            run: how far the files were read; the same for every moment.
            at: every environment as it stood after this position, the last one and None: as it stands.
        """
        until = self._until(at)
        levels = self.internal_level_aggregator
        counts = levels.counts(until)
        verdicts = levels.judge(counts)
        first_thrash, first_slot = levels.first_thrash(verdicts, until) or (None, None)
        return SanctumSnapshot(
            run=run,
            slots=levels.to_rows(verdicts, until),
            verdicts=tuple(verdicts),
            n_pairs=sum([slot.n_pairs for slot in counts]),
            n_reversals=sum([slot.n_reversals for slot in counts]),
            changes=levels.changes(until),
            effects=levels.effects(until),
            moment=at,
            first_thrash=first_thrash,
            first_thrash_slot=first_slot,
        )

    def _until(self, at: Position | None) -> Position | None:
        """What comes after the last position, as the begin of another episode, belongs to it."""
        positions = self.positions() if at is not None else ()
        return None if positions and at == positions[-1] else at

    def slot_history(self, key: SlotKey, limit: int, at: Position | None = None) -> tuple[SlotOp, ...]:
        """A slot's latest ops, the newest last."""
        return self.internal_level_aggregator.slot_history(key, limit, self._until(at))

    def _handle_brief_snapshot(self, event: Any) -> None:
        if is_decision(event.data):
            self.internal_level_aggregator.handle_decision(event)

    def _handle_training_started(self, event: TelemetryEvent) -> None:
        payload = event.data
        config = payload.config or {}
        if "shared_hosts" in config and config["shared_hosts"] is True:
            self.internal_level_aggregator.share(event.rank or 0)
        if payload.resumed_from_epoch is not None:
            self.internal_level_aggregator.resume_at(
                event.rank or 0, payload.resumed_from_episode or 0, payload.resumed_from_epoch
            )
