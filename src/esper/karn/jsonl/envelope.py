"""Puts the envelope around a payload: number, id, time, and the stamp on a process's first event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from esper.leyline.codec import encode_event
from esper.leyline.events import SCHEMA, TelemetryEvent, TelemetryEventType
from esper.leyline.payloads import Payload


class Envelope:
    """What all events of one writer have in common. Not thread-safe.

    Args:
        rank: the writer's.
        group_id: the run's group.
        stamp: fields that the first event carries in its ``data``.
    """

    def __init__(self, rank: int, group_id: str, stamp: Mapping[str, Any]) -> None:
        self._rank = rank
        self._group_id = group_id
        self._stamp = stamp
        self._id_prefix = f"{rank:x}.{token_hex(6)}-"
        self._second = -1
        self._second_text = ""

    def line(
        self,
        seq: int,
        event_type: TelemetryEventType,
        payload: Payload,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
        *,
        stamped: bool = False,
    ) -> bytes:
        """One event as one line, newline included, with the time of now.

        Raises:
            TypeError: if the payload holds something that is not a number, text, list or dict.
        """
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            # One second's text serves all its events; formatting it costs more than the rest.
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second
        event = TelemetryEvent(
            event_id=f"{self._id_prefix}{seq}",
            event_type=event_type,
            timestamp=f"{self._second_text}{nanoseconds // 1000:06d}+00:00",
            seed_id=seed_id,
            slot_id=slot_id,
            epoch=epoch,
            group_id=self._group_id,
            message=message,
            data=payload,
            severity=severity,
            rank=self._rank,
            seq=seq,
            schema=SCHEMA,
        )
        return encode_event(event, self._stamp if stamped else None)
