"""The only place that turns events into lines of JSON and back."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from esper.leyline.events import PAYLOADS, SCHEMA, TelemetryEvent, TelemetryEventType
from esper.leyline.lenient import UnreadableError, null_unreadable
from esper.leyline.payloads import DecisionPayload, Payload

NON_FINITE = "non_finite"
"""Field of ``data`` that names each non-finite float and its value."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class LineError(ValueError):
    """A line that is not an event; the text says why."""


class FieldError(ValueError):
    """A payload without a field that it can't be read without; the text names it."""


def _plain(value: Any) -> Any:
    """NumPy scalars and 0-d tensors are numbers to the user, and paths are texts; so they are here."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    try:
        return value.item()
    except (AttributeError, ValueError, RuntimeError):  # the last two: an array of more than one number
        raise TypeError(
            f"an event can't carry a {type(value).__name__}: use numbers, texts, lists and dicts"
        ) from None


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class _Envelope(msgspec.Struct):
    event_type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    event_id: str | None = None
    timestamp: str | None = None
    seed_id: str | None = None
    slot_id: str | None = None
    epoch: int | None = None
    group_id: str | None = None
    message: str | None = None
    severity: str | None = None
    rank: int | None = None
    seq: int | None = None
    schema: int | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope, strict=False)


@cache
def _payload_decoder(payload_type: type[Payload]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(payload_type, strict=False)


def encode_event(event: TelemetryEvent, extra: Mapping[str, Any] | None = None) -> bytes:
    """One event as one line, newline included.

    A NaN or infinity has no JSON: it is written as null, and ``data.non_finite`` names the field and
    its value, for example ``{"loss_after": "NaN"}``.

    Args:
        event: the event; its ``data`` is a payload or a dict.
        extra: fields to add to ``data``.

    Raises:
        TypeError: if ``data`` holds something that is not a number, text, list or dict.
    """
    data = encode_data({} if event.data is None else event.data, extra)
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return encode_text(fields | {"data": msgspec.Raw(data)}) + b"\n"


encode_quickly = _encode
"""A payload as JSON, as fast as can be: a NaN becomes null without a word, see ``encode_data``.

Raises:
    TypeError: as ``encode_data``.
    UnicodeEncodeError: on half of a surrogate pair.
"""


def encode_data(data: Any, extra: Mapping[str, Any] | None = None) -> bytes:
    """An event's ``data`` as JSON; arguments and errors are those of ``encode_event``."""
    try:
        encoded = _encode(data)
        # Optional fields left at None are not written at all, so only what has a null needs the slow look.
        if not extra and encoded.find(b"null") < 0:
            return encoded
    except UnicodeEncodeError:  # half of a surrogate pair, as in a file name that is not UTF-8
        pass
    fields = _clean(msgspec.to_builtins(data, enc_hook=_plain))
    if isinstance(fields, dict):
        names: dict[str, str] = {}
        _collect_non_finite(fields, "", names)
        if names:
            fields[NON_FINITE] = names
        fields |= extra or {}
    return _encode(fields)


def encode_text(value: Any) -> bytes:
    """A field of the envelope as JSON, with U+FFFD for each half of a surrogate pair."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_clean(value))


def _clean(value: Any) -> Any:
    """The value with U+FFFD for each half of a surrogate pair, which UTF-8 can't hold."""
    if isinstance(value, str):
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _collect_non_finite(value: Any, path: str, names: dict[str, str]) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            names[path] = spell_non_finite(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect_non_finite(item, f"{path}.{key}" if path else str(key), names)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect_non_finite(item, f"{path}.{index}", names)


def spell_non_finite(value: float) -> str:
    """``NaN``, ``Infinity`` or ``-Infinity``, as JavaScript and Python's json spell them."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def decode_event(line: bytes) -> tuple[TelemetryEvent, list[str]]:
    """A line as an event with a typed payload, and the names of the fields that could not be read.

    A field whose value has the wrong type is read as None and named; so are an envelope's. Texts that
    spell a number are numbers, as the predecessor wrote them. An event of unknown type, or an
    ANALYTICS_SNAPSHOT of another kind than a decision, keeps its ``data`` as a dict.

    Raises:
        LineError: if the line is not a JSON object with a text ``event_type``.
        FieldError: if the payload lacks a field that it makes no sense without.
    """
    bad: list[str] = []
    try:
        envelope = _decode_envelope(line, bad)
        data = decode_data(envelope.event_type, envelope.data, bad)
    except _NOT_JSON as error:
        raise LineError(f"not JSON: {error}") from None
    return (
        TelemetryEvent(
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            timestamp=envelope.timestamp,
            seed_id=envelope.seed_id,
            slot_id=envelope.slot_id,
            epoch=envelope.epoch,
            group_id=envelope.group_id,
            message=envelope.message,
            data=data,
            severity=envelope.severity,
            rank=envelope.rank,
            seq=envelope.seq,
            schema=envelope.schema,
        ),
        bad,
    )


def _decode_envelope(line: bytes, bad: list[str]) -> _Envelope:
    try:
        return _envelope_decoder.decode(line)
    except msgspec.ValidationError:
        fields = msgspec.json.decode(line)
    if not isinstance(fields, dict):
        raise LineError("not a JSON object")
    if not isinstance(fields.get("event_type"), str):
        raise LineError("no event_type, or one that is not a text")
    fields["data"] = msgspec.Raw(msgspec.json.encode(fields.get("data")))
    bad += null_unreadable(fields, _Envelope)
    return msgspec.convert(fields, _Envelope, strict=False)


def decode_data(event_type: str, raw: msgspec.Raw, bad: list[str]) -> Any:
    """An event's ``data`` as its typed payload, for who has read the envelope already.

    Args:
        event_type: of the event.
        raw: JSON, known to be valid.
        bad: takes the names of the fields that could not be read.

    Raises:
        FieldError: if the payload lacks a field that it makes no sense without.
    """
    payload_type = PAYLOADS.get(event_type)  # type: ignore[call-overload]  # a StrEnum member equals its text
    if payload_type is None:
        return msgspec.json.decode(raw)
    if payload_type is DecisionPayload:
        data = msgspec.json.decode(raw)
        if not isinstance(data, dict) or data.get("kind") != "last_action":
            return data
    try:
        return _payload_decoder(payload_type).decode(raw)
    except msgspec.ValidationError:
        fields = msgspec.json.decode(raw)
    if not isinstance(fields, dict):
        raise FieldError("data is not a JSON object")
    try:
        bad += null_unreadable(fields, payload_type)
    except UnreadableError as error:
        raise FieldError(str(error)) from None
    return msgspec.convert(fields, payload_type, strict=False)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line, made from the payload classes."""
    payload_types = sorted(set(PAYLOADS.values()), key=lambda payload: payload.__name__)
    schemas, components = msgspec.json.schema_components(payload_types, ref_template="#/$defs/{name}")
    reference = dict(zip(payload_types, schemas, strict=True))
    for payload in payload_types:
        components[payload.__name__]["properties"][NON_FINITE] = {
            "type": "object",
            "description": "Each non-finite float of this payload and its value; the field itself is null.",
            "additionalProperties": {"enum": ["NaN", "Infinity", "-Infinity"]},
        }
    _, envelope = msgspec.json.schema_components([TelemetryEvent], ref_template="#/$defs/{name}")
    event = envelope["TelemetryEvent"]
    event["properties"]["data"] = {"type": ["object", "null"]}
    event["properties"]["timestamp"] = {"type": ["string", "null"], "format": "date-time"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Karn telemetry event",
        "description": f"One line of events.jsonl, format {SCHEMA}. Unknown event types and fields are kept.",
        **{key: event[key] for key in ("type", "properties", "required")},
        "allOf": [_payload_rule(kind, reference[payload]) for kind, payload in PAYLOADS.items()],
        "$defs": components,
    }


def _payload_rule(kind: TelemetryEventType, reference: dict[str, Any]) -> dict[str, Any]:
    condition: dict[str, Any] = {"properties": {"event_type": {"const": str(kind)}}}
    if PAYLOADS[kind] is DecisionPayload:
        condition["properties"]["data"] = {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"const": "last_action"}},
        }
    return {"if": condition, "then": {"properties": {"data": reference}}}
