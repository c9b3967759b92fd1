"""The envelope around every payload, and the one door through which events leave the training."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from esper.leyline import payloads
from esper.leyline.payloads import Payload

SCHEMA = 1
"""Version of the file format. Additions keep the number; a reader accepts every older one."""


class TelemetryEventType(StrEnum):
    """Every event type that Karn writes; files may hold others, which are kept whole."""

    SEED_INTERNAL_LEVEL_CHANGED = "SEED_INTERNAL_LEVEL_CHANGED"
    INTERNAL_OP_METRICS = "INTERNAL_OP_METRICS"
    COUNTERFACTUAL_DELTA = "COUNTERFACTUAL_DELTA"
    TRAINING_STARTED = "TRAINING_STARTED"
    TRAINING_FINISHED = "TRAINING_FINISHED"
    TRAINING_FAILED = "TRAINING_FAILED"
    EPOCH_COMPLETED = "EPOCH_COMPLETED"
    EPISODE_OUTCOME = "EPISODE_OUTCOME"
    SEED_GERMINATED = "SEED_GERMINATED"
    SEED_STAGE_CHANGED = "SEED_STAGE_CHANGED"
    SEED_PRUNED = "SEED_PRUNED"
    SEED_FOSSILIZED = "SEED_FOSSILIZED"
    PPO_UPDATE_COMPLETED = "PPO_UPDATE_COMPLETED"
    ANALYTICS_SNAPSHOT = "ANALYTICS_SNAPSHOT"
    EVENTS_DROPPED = "EVENTS_DROPPED"


PAYLOADS: dict[TelemetryEventType, type[Payload]] = {
    TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED: payloads.SeedInternalLevelChangedPayload,
    TelemetryEventType.INTERNAL_OP_METRICS: payloads.InternalOpMetricsPayload,
    TelemetryEventType.COUNTERFACTUAL_DELTA: payloads.CounterfactualDeltaPayload,
    TelemetryEventType.TRAINING_STARTED: payloads.TrainingStartedPayload,
    TelemetryEventType.TRAINING_FINISHED: payloads.TrainingFinishedPayload,
    TelemetryEventType.TRAINING_FAILED: payloads.TrainingFailedPayload,
    TelemetryEventType.EPOCH_COMPLETED: payloads.EpochCompletedPayload,
    TelemetryEventType.EPISODE_OUTCOME: payloads.EpisodeOutcomePayload,
    TelemetryEventType.SEED_GERMINATED: payloads.SeedGerminatedPayload,
    TelemetryEventType.SEED_STAGE_CHANGED: payloads.SeedStageChangedPayload,
    TelemetryEventType.SEED_PRUNED: payloads.SeedPrunedPayload,
    TelemetryEventType.SEED_FOSSILIZED: payloads.SeedFossilizedPayload,
    TelemetryEventType.PPO_UPDATE_COMPLETED: payloads.PPOUpdateCompletedPayload,
    TelemetryEventType.ANALYTICS_SNAPSHOT: payloads.DecisionPayload,
    TelemetryEventType.EVENTS_DROPPED: payloads.EventsDroppedPayload,
}
"""The payload class of each event type. An ANALYTICS_SNAPSHOT is a decision only where
``data.kind`` is ``last_action``; its other kinds are kept as plain dicts."""


class TelemetryEvent(Struct, frozen=True, kw_only=True):
    """One line of a telemetry file, in the file's key order.

    ``rank``, ``seq`` and ``schema`` are None in files of the predecessor. ``timestamp`` is ISO-8601
    with offset. ``data`` is the payload of ``event_type``, or a dict where the type is unknown.
    """

    event_id: str | None = None
    event_type: str
    timestamp: str | None = None
    seed_id: str | None = None
    slot_id: str | None = None
    epoch: int | None = None
    group_id: str | None = None
    message: str | None = None
    data: Any = None
    severity: str | None = None
    rank: int | None = None
    seq: int | None = None
    schema: int | None = None


@runtime_checkable
class EventSink(Protocol):
    """Where a training sends its events. The trainer knows nothing more about telemetry."""

    def emit(
        self,
        event_type: TelemetryEventType,
        payload: Payload,
        *,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
    ) -> None:
        """Record one event. ``epoch`` counts from the start of the episode."""
        ...


@runtime_checkable
class RankSink(EventSink, Protocol):
    """The sink of one rank, which hands out a sink for each of its environments."""

    def for_env(self, local: int) -> EventSink:
        """A sink that stamps ``env_id`` from the rank's ``local`` environment index (from 0)."""
        ...
