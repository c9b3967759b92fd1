"""Events read no further than the aggregators ask: one pass over a line, and no second one over its data.

Whatever is not quite ordinary about a chunk of lines (a type that is not known here, a field of the wrong
type, a line that needs a repair) leaves the whole chunk to ``jsonl.lines``, which alone decides what an event
is and what of it can be read.
"""

from __future__ import annotations

from typing import Annotated, Any, Union, cast

import msgspec

from esper.karn.jsonl.lines import may_overflow
from esper.karn.jsonl.tail import Chunk
from esper.leyline.events import PAYLOADS, TelemetryEventType

_Place = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_DECISION = "last_action"


class Brief(msgspec.Struct, kw_only=True, gc=False):
    """An event; of its data there is what the aggregators read, and ``attempt``."""

    timestamp: str | None = None
    seed_id: str | None = None
    epoch: _Place | None = None
    seq: _Place | None = None
    rank: int | None = None
    """To be set: the file's name tells it."""
    data: Any = None


class _Opened(msgspec.Struct, kw_only=True, gc=False):
    attempt: int | None = None
    """Which process writes, in the first event of each."""


class _Action(_Opened, kw_only=True, gc=False):
    """An ANALYTICS_SNAPSHOT's data; it may be no decision."""

    kind: str = _DECISION
    action_name: str | None = None
    env_id: int | None = None
    episode_idx: int | None = None
    slot_id: str | None = None


_PLACE = ("env_id", "episode_idx")
_WANTED: dict[TelemetryEventType, tuple[str, ...]] = {
    TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED: (*_PLACE, "blueprint_id"),
    TelemetryEventType.INTERNAL_OP_METRICS: _PLACE,
    TelemetryEventType.COUNTERFACTUAL_DELTA: ("episode_idx", "op_probability"),
    TelemetryEventType.SEED_GERMINATED: (*_PLACE, "blueprint_id", "level", "max_level"),
    TelemetryEventType.SEED_PRUNED: _PLACE,
    TelemetryEventType.SEED_FOSSILIZED: _PLACE,
    TelemetryEventType.EPOCH_COMPLETED: _PLACE,
    TelemetryEventType.EPISODE_OUTCOME: _PLACE,
}
"""Of the types that come often and mean something here: what is read of the payload beside the fields
without which it makes no sense."""
_UNREAD = (TelemetryEventType.SEED_STAGE_CHANGED, TelemetryEventType.PPO_UPDATE_COMPLETED)


def _data_type(kind: TelemetryEventType) -> Any:
    if kind == TelemetryEventType.ANALYTICS_SNAPSHOT:
        return _Action
    if kind in _UNREAD:
        return _Opened
    fields = [
        (field.name, field.type, field.default) if field.name in _WANTED[kind] else (field.name, field.type)
        for field in msgspec.structs.fields(PAYLOADS[kind])
        if field.required or field.name in _WANTED[kind]
    ]
    return msgspec.defstruct(f"_Data_{kind}", fields, bases=(_Opened,), kw_only=True, gc=False)


def _brief_type(kind: TelemetryEventType) -> type[Brief]:
    made: Any = msgspec.defstruct(
        f"Brief_{kind}",
        [("data", _data_type(kind))],
        bases=(Brief,),
        kw_only=True,
        gc=False,
        tag_field="event_type",
        tag=str(kind),
    )
    return cast("type[Brief]", made)


TYPES = {_brief_type(kind): str(kind) for kind in (*_WANTED, TelemetryEventType.ANALYTICS_SNAPSHOT, *_UNREAD)}
"""The event type that each class stands for."""
_decode = msgspec.json.Decoder(Union[tuple(TYPES)], strict=False).decode  # noqa: UP007
_NOT_ORDINARY = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_brief(chunk: Chunk) -> tuple[list[bytes], list[Brief]] | None:
    """The lines of a chunk and the event of each, in file order; None where ``read_lines`` has to look.

    What comes of it is what ``read_lines`` and the payloads' decoders make of the same chunk.
    """
    lines = chunk.data.split(b"\n")
    lines.pop()  # what follows the last newline
    try:
        events = [_decode(line) for line in lines]
        chunk.data.decode()  # the decoder does not look into the texts that it skips
    except _NOT_ORDINARY:
        return None
    return None if may_overflow(chunk.data) else (lines, events)


def is_decision(data: Any) -> bool:
    """Whether an ANALYTICS_SNAPSHOT's data are a decision's."""
    return bool(data.kind == _DECISION)
