"""The sink of one environment: a collector's, with the environment's number on every event."""

from __future__ import annotations

from collections.abc import Callable

from esper.leyline.events import TelemetryEventType
from esper.leyline.payloads import Payload

Emit = Callable[
    [int | None, TelemetryEventType, Payload, str | None, str | None, int | None, str, str],
    None,
]
"""Takes env_id, event type, payload, slot_id, seed_id, epoch, message and severity."""


class EnvSink:
    """An EventSink that stamps ``env_id`` on each payload that has one.

    Args:
        emit: where events go.
        env_id: unique over all ranks.
    """

    __slots__ = ("_emit", "_env_id")

    def __init__(self, emit: Emit, env_id: int) -> None:
        self._emit = emit
        self._env_id = env_id

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
        """Write one event of this environment; see TelemetryCollector.emit."""
        self._emit(self._env_id, event_type, payload, slot_id, seed_id, epoch, message, severity)
