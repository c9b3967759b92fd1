"""Decodes an event's data as SQL reads it, so that the screen and the views count the same ops."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from esper.karn.jsonl.lines import Probe
from esper.leyline.codec import FieldError, decode_data
from esper.leyline.events import TelemetryEventType
from esper.leyline.lenient import UnreadableError, null_unreadable

_Number = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""What fits SQL's INTEGER."""


class ReadableChange(msgspec.Struct):
    """A level change of which some field can't be read; its view in SQL keeps the others, too."""

    slot_id: str | None = None
    from_level: _Number | None = None
    to_level: _Number | None = None
    max_level: _Number | None = None
    """None is no bound: no op is free to go either way then."""
    env_id: _Number | None = None
    episode_idx: _Number | None = None
    blueprint_id: str | None = None


def readable_data(probe: Probe) -> Any:
    """An event's data as its payload; a level change that lacks a field that no op needs as ReadableChange.

    Raises:
        FieldError: if it lacks a field that it makes no sense without.
    """
    try:
        return decode_data(probe.event_type, probe.data, [])
    except FieldError:
        if probe.event_type != TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED:
            raise
    fields = msgspec.json.decode(probe.data)
    if not isinstance(fields, dict):
        raise FieldError("data is not a JSON object")
    try:
        null_unreadable(fields, ReadableChange)
    except UnreadableError as error:
        raise FieldError(str(error)) from None
    change = msgspec.convert(fields, ReadableChange, strict=False)
    change.slot_id = change.slot_id if probe.slot_id is None else probe.slot_id
    if None in (change.slot_id, change.from_level, change.to_level):
        raise FieldError("no slot, or no level before or after")
    return change
