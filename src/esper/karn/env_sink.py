"""The way of an event from the training to the writer: a short one for what is usual, and a long one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
import msgspec.inspect

from esper.karn.jsonl.envelope import Envelope, Form
from esper.leyline.codec import encode_data, encode_quickly
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import TelemetryEventType
from esper.leyline.payloads import Payload

Put = Callable[[Form, int | None, bytes], None]
"""Takes an event's form, epoch and data."""

_MOST_FORMS = 4096
"""So many forms are kept; events whose messages differ have each a form of its own."""
_TEXTS = (str, type(None))
_WITHOUT_FLOATS = {
    msgspec.inspect.BoolType,
    msgspec.inspect.EnumType,
    msgspec.inspect.IntType,
    msgspec.inspect.NoneType,
    msgspec.inspect.StrType,
}


class EnvSink:
    """An EventSink that stamps ``env_id`` on each payload that has one.

    Args:
        envelope: of the writer.
        put: the writer's.
        env_id: unique over all ranks; it replaces what a payload has. None leaves it as it is.
        default_env_id: what a payload without gets where ``env_id`` is None; None refuses such a payload.
    """

    __slots__ = ("_default_env_id", "_env_id", "_envelope", "_forms", "_put", "_stamps")

    def __init__(
        self, envelope: Envelope, put: Put, env_id: int | None, default_env_id: int | None = None
    ) -> None:
        self._envelope = envelope
        self._put = put
        self._env_id = env_id
        self._default_env_id = default_env_id
        self._stamps = env_id is not None or default_env_id is not None
        self._forms: dict[tuple[object, ...], tuple[Form, bool, bool]] = {}
        """By all that a form depends on: it, whether the payload has an ``env_id``, and whether its data
        may need the long way."""

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
        try:
            form, has_env, may_differ = self._forms[
                type(payload), type(epoch), event_type, slot_id, seed_id, message, severity
            ]
            data = encode_quickly(payload)
        except (KeyError, TypeError, UnicodeEncodeError):
            pass  # the first of its kind, or one that the long way mends or refuses
        else:
            if (not may_differ or (len(data) > 2 and data.find(b"null") < 0)) and (
                not has_env or (payload.env_id is None) is self._stamps  # type: ignore[attr-defined]
            ):
                self._put(form, epoch, data)
                return
        self._emit_with_care(event_type, payload, slot_id, seed_id, epoch, message, severity)

    def _emit_with_care(
        self,
        event_type: TelemetryEventType,
        payload: Payload,
        slot_id: str | None,
        seed_id: str | None,
        epoch: int | None,
        message: str,
        severity: str,
    ) -> None:
        if not isinstance(payload, Payload):
            raise TypeError(f"a {type(payload).__name__} is no payload: use one of esper.leyline's")
        has_env = "env_id" in payload.__struct_fields__
        data = encode_data(self._with_env(payload) if has_env else payload)
        envelope = self._envelope
        self._put(envelope.form(event_type, slot_id, seed_id, epoch, message, severity), epoch, data)
        texts = (event_type, slot_id, seed_id, message, severity)
        if (epoch is None or type(epoch) is int) and all(isinstance(text, _TEXTS) for text in texts):
            env_id = self._env_id if self._env_id is not None else self._default_env_id
            form = envelope.form(
                event_type, slot_id, seed_id, epoch, message, severity, env_id=env_id if has_env else None
            )
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            self._forms[type(payload), type(epoch), *texts] = (form, has_env, _may_differ(type(payload)))

    def _with_env(self, payload: Payload) -> Payload:
        env_id = self._env_id
        if env_id is None:
            if payload.env_id is not None:  # type: ignore[attr-defined]
                return payload
            env_id = self._default_env_id
            if env_id is None:
                raise TelemetryUsageError(
                    "an event without env_id, and this rank has several environments: "
                    "emit through collector.for_env(index)"
                )
        return msgspec.structs.replace(payload, env_id=env_id)


@cache
def _may_differ(payload_type: type[Payload]) -> bool:
    """Whether a payload's quick encoding may be empty, or have a null that the codec must look at.

    One of whole numbers and texts alone can't, if some field must be given and those that may be None are
    not written then.
    """
    try:
        fields = msgspec.inspect.type_info(payload_type).fields  # type: ignore[attr-defined]
    except (NameError, TypeError):  # a class of the user's own, made where its types can't be looked up
        return True
    kinds: set[type] = set()
    for field in fields:
        union = isinstance(field.type, msgspec.inspect.UnionType)
        found = {type(kind) for kind in (field.type.types if union else (field.type,))}
        if msgspec.inspect.NoneType in found and field.default is not None:
            return True
        kinds |= found
    return (
        not kinds <= _WITHOUT_FLOATS
        or not any(field.required for field in fields)
        or not payload_type.__struct_config__.omit_defaults
    )
