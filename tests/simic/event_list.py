"""A sink that keeps events in a list, and small trainings to fill it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from esper.leyline import EventSink, TelemetryEventType
from esper.leyline.payloads import Payload
from esper.simic.config import TrainConfig


def tiny(**changes: Any) -> TrainConfig:
    """A config whose epochs take milliseconds."""
    small = {
        "n_envs": 2, "n_episodes": 2, "max_epochs": 12, "channels": 2, "train_images": 32, "batch_size": 32,
    }  # fmt: skip
    return TrainConfig(**small | changes)


class Killed(Exception):
    """Stands for the signal that ends a process."""


@dataclass(frozen=True)
class Kept:
    """One event as it was emitted; ``env`` is None for those of the whole rank."""

    env: int | None
    type: TelemetryEventType
    payload: Payload
    slot_id: str | None
    seed_id: str | None
    epoch: int | None

    @property
    def data(self) -> dict[str, Any]:
        return msgspec.to_builtins(self.payload)

    @property
    def episode(self) -> int | None:
        return getattr(self.payload, "episode_idx", None)


class ListSink:
    """Keeps every event, up to ``dies_at`` of them: then it raises once, and nothing more comes through."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.events: list[Kept] = []
        self._dies_at = dies_at

    def keep(
        self, env: int | None, event_type: TelemetryEventType, payload: Payload, **envelope: Any
    ) -> None:
        if self._dies_at is not None and len(self.events) >= self._dies_at:
            if self._dies_at >= 0:
                self._dies_at = -1
                raise Killed
            return
        places = {name: envelope.get(name) for name in ("slot_id", "seed_id", "epoch")}
        self.events.append(Kept(env=env, type=event_type, payload=payload, **places))

    def emit(self, event_type: TelemetryEventType, payload: Payload, **envelope: Any) -> None:
        self.keep(None, event_type, payload, **envelope)

    def for_env(self, local: int) -> EventSink:
        return _EnvSink(self, local)

    def of(self, event_type: str) -> list[Kept]:
        return [event for event in self.events if event.type == event_type]


class _EnvSink:
    def __init__(self, sink: ListSink, env: int) -> None:
        self._sink = sink
        self._env = env

    def emit(self, event_type: TelemetryEventType, payload: Payload, **envelope: Any) -> None:
        self._sink.keep(self._env, event_type, payload, **envelope)
