"""Which aggregator handles which event; the app itself handles none."""

from __future__ import annotations

from collections.abc import Callable

from esper.karn.sanctum.aggregator import InternalLevelAggregator
from esper.karn.sanctum.state import RunPosition, SanctumSnapshot
from esper.leyline.events import TelemetryEvent, TelemetryEventType
from esper.leyline.thresholds import STABLE_EPOCHS

Handler = Callable[[TelemetryEvent], None]


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
    """

    def __init__(self, stable_epochs: int = STABLE_EPOCHS) -> None:
        self.internal_level_aggregator = InternalLevelAggregator(stable_epochs)
        self.training_aggregator = TrainingAggregator()
        levels, training = self.internal_level_aggregator, self.training_aggregator
        self._handlers: dict[str, Handler] = {
            TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED: levels.handle_seed_internal_level_changed,
            TelemetryEventType.INTERNAL_OP_METRICS: levels.handle_internal_op_metrics,
            TelemetryEventType.SEED_GERMINATED: levels.handle_seed_germinated,
            TelemetryEventType.SEED_PRUNED: levels.handle_seed_pruned,
            TelemetryEventType.SEED_FOSSILIZED: levels.handle_seed_fossilized,
            TelemetryEventType.EPOCH_COMPLETED: levels.handle_epoch_completed,
            TelemetryEventType.EPISODE_OUTCOME: levels.handle_episode_outcome,
            TelemetryEventType.TRAINING_STARTED: self._handle_training_started,
            TelemetryEventType.TRAINING_FINISHED: training.handle_training_finished,
            TelemetryEventType.EVENTS_DROPPED: training.handle_events_dropped,
        }

    def handles(self, event_type: str) -> bool:
        """Whether any aggregator wants events of this type; others need not be decoded."""
        return event_type in self._handlers

    def process(self, event: TelemetryEvent) -> None:
        """Hand one event, in file order, to the aggregator that it is for."""
        if event.event_type in self._handlers:
            self._handlers[event.event_type](event)

    def begin_attempt(self, rank: int, attempt: int) -> None:
        """A rank's file was opened to write for the second time or more."""
        self.internal_level_aggregator.begin_attempt(rank, attempt)
        self.training_aggregator.begin_attempt(rank)

    def to_snapshot(self, run: RunPosition) -> SanctumSnapshot:
        """What the aggregators know, together with what is known of the run's files."""
        levels = self.internal_level_aggregator
        verdicts = levels.verdicts()
        counts = levels.counts()
        return SanctumSnapshot(
            run=run,
            slots=levels.to_rows(verdicts),
            verdicts=tuple(verdicts),
            n_pairs=sum(slot.n_pairs for slot in counts),
            n_reversals=sum(slot.n_reversals for slot in counts),
            changes=levels.changes(),
        )

    def _handle_training_started(self, event: TelemetryEvent) -> None:
        payload = event.data
        if payload.resumed_from_epoch is not None:
            self.internal_level_aggregator.resume_at(
                event.rank or 0, payload.resumed_from_episode or 0, payload.resumed_from_epoch
            )
