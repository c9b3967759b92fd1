"""Events as lines and back, for every payload there is."""

from __future__ import annotations

import json
import math
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.leyline import PAYLOADS, DecisionPayload, EpochCompletedPayload, TelemetryEvent, TelemetryEventType
from esper.leyline.codec import FieldError, LineError, decode_event, encode_event
from support import SHARED

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def values(annotation: Any, *, finite: bool) -> st.SearchStrategy[Any]:
    """Values that a field may have; floats of a diverging run too where ``finite`` is False."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, meta = get_args(annotation)[0], annotation.__metadata__[0]
        if base is int:
            return st.integers(meta.ge, meta.le)
        return st.floats(allow_nan=not finite, allow_infinity=not finite)
    if origin in (Union, UnionType):
        return st.one_of([values(part, finite=finite) for part in get_args(annotation)])
    if origin is dict:
        return st.dictionaries(TEXT, values(get_args(annotation)[1], finite=finite), max_size=3)
    if origin is list:
        return st.lists(values(get_args(annotation)[0], finite=finite), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return {
        str: TEXT,
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**64 - 1),
        NoneType: st.none(),
        Any: JSON,
    }[annotation]


def payloads(event_type: TelemetryEventType, *, finite: bool) -> st.SearchStrategy[Any]:
    payload_type = PAYLOADS[event_type]
    hints = get_type_hints(payload_type, include_extras=True)
    required = {field.name for field in msgspec.structs.fields(payload_type) if field.required}
    fields = {
        # Floats that may not be null are ratios of counts, always finite.
        name: values(hints[name], finite=finite or NoneType not in get_args(hints[name]))
        for name in payload_type.__struct_fields__
    }
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    ).map(lambda given_fields: payload_type(**given_fields))


@pytest.mark.parametrize("event_type", TelemetryEventType)
@settings(max_examples=25)
@given(data=st.data())
def test_every_payload_comes_back_as_it_went_out(event_type, data):
    event = TelemetryEvent(
        event_id="0.ab-7",
        event_type=str(event_type),
        timestamp="2026-11-23T10:00:00.000000+00:00",
        seed_id=data.draw(st.none() | TEXT),
        slot_id=data.draw(st.none() | TEXT),
        epoch=data.draw(st.none() | st.integers(0, 10**9)),
        group_id="default",
        message=data.draw(TEXT),
        data=data.draw(payloads(event_type, finite=True)),
        severity="info",
        rank=0,
        seq=7,
        schema=1,
    )
    line = encode_event(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_event(line) == (event, [])


@pytest.mark.parametrize("event_type", TelemetryEventType)
@settings(max_examples=25)
@given(data=st.data())
def test_a_line_is_json_without_nan_whatever_the_floats_and_names_each_of_them(event_type, data):
    payload = data.draw(payloads(event_type, finite=False))
    line = encode_event(TelemetryEvent(event_type=str(event_type), data=payload))

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} in the file")

    written = json.loads(line, parse_constant=refuse)["data"]
    expected = {
        name: {True: "NaN", False: "Infinity" if value > 0 else "-Infinity"}[math.isnan(value)]
        for name in payload.__struct_fields__
        if isinstance(value := getattr(payload, name), float) and not math.isfinite(value)
    }
    names = written.get("non_finite", {})
    assert {name: value for name, value in names.items() if "." not in name} == expected
    for name in expected:
        assert written[name] is None
    event, bad = decode_event(line)
    assert bad == []
    assert type(event.data) is type(payload)


def test_a_nan_in_a_list_of_a_free_form_field_is_named_too():
    line = encode_event(TelemetryEvent(event_type="X", data={"a": [1.0, [math.nan]], "null": "null"}))
    assert json.loads(line)["data"] == {"a": [1.0, [None]], "null": "null", "non_finite": {"a.1.0": "NaN"}}


def test_fields_can_be_added_to_data():
    event = TelemetryEvent(event_type="EPOCH_COMPLETED", data=EpochCompletedPayload(loss=math.nan))
    data = json.loads(encode_event(event, {"attempt": 2}))["data"]
    assert data == {"loss": None, "non_finite": {"loss": "NaN"}, "attempt": 2}
    assert json.loads(encode_event(TelemetryEvent(event_type="X"), {"attempt": 2}))["data"] == {"attempt": 2}


# Reading what others wrote.


def read(data: Any, event_type: str = "EPOCH_COMPLETED", **envelope: Any) -> tuple[TelemetryEvent, list[str]]:
    return decode_event(json.dumps({"event_type": event_type, "data": data, **envelope}).encode())


def test_an_event_of_unknown_type_is_kept_whole():
    event, bad = read({"x": [1, {"y": None}]}, "MORPHOLOGY_CAUSAL_LOG", epoch=4)
    assert (event.event_type, event.data, event.epoch, bad) == (
        "MORPHOLOGY_CAUSAL_LOG",
        {"x": [1, {"y": None}]},
        4,
        [],
    )


def test_only_a_snapshot_of_the_kind_last_action_is_a_decision():
    decision, _ = read({"kind": "last_action", "action_name": "NOOP"}, "ANALYTICS_SNAPSHOT")
    other, _ = read({"kind": "batch_stats", "x": 1}, "ANALYTICS_SNAPSHOT")
    assert isinstance(decision.data, DecisionPayload)
    assert other.data == {"kind": "batch_stats", "x": 1}


def test_the_three_newer_fields_may_be_missing():
    event, bad = decode_event(b'{"event_type": "EPOCH_COMPLETED", "data": {}}')
    assert (event.rank, event.seq, event.schema, bad) == (None, None, None, [])


def test_a_field_of_the_wrong_type_is_none_and_named_and_hides_no_other():
    event, bad = read(
        {"loss": "abc", "accuracy": 0.5, "env_id": 3.7, "params": [1], "episode_idx": True, "inner_epoch": 2}
    )
    assert event.data == EpochCompletedPayload(accuracy=0.5, inner_epoch=2)
    assert sorted(bad) == ["env_id", "episode_idx", "loss", "params"]


def test_so_is_one_of_the_envelope():
    event, bad = read({"loss": 0.5}, epoch="later", message=7, seq=1)
    assert (event.epoch, event.message, event.seq, event.data.loss) == (None, None, 1, 0.5)
    assert sorted(bad) == ["epoch", "message"]


def test_a_text_that_spells_a_number_is_one_as_the_predecessor_wrote_them():
    event, bad = read({"loss": "0.25", "params": "12"}, epoch="3")
    assert (event.data.loss, event.data.params, event.epoch, bad) == (0.25, 12, 3, [])


@pytest.mark.parametrize("data", [{"loss": "nan"}, {"loss": "inf"}, {"loss": "1e999"}])
def test_no_spelling_lets_a_non_finite_float_in(data):
    event, bad = read(data)
    assert (event.data.loss, bad) == (None, ["loss"])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"nonsense",
        b"[1]",
        b"3",
        b"null",
        b'"text"',
        b"{}",
        b'{"event_type": 3}',
        b'{"event_type": null}',
        b'{"event_type": "A"}{"event_type": "B"}',
        b'{"event_type": "A", "data": NaN}',
        b'{"event_type": "\xff"}',
        b'{"event_type": "A", "data": {"x": "\xff"}}',
        b'{"event_type": "EPOCH_COMPLETED", "message": "\xff"}',
        b'{"event_type": "A", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"event_type": "A", "data": {"x": 1e999}}',
        b'{"event_type": "A", "data": {"x": ' + b"1" * 9999 + b"}}",
    ],
)
def test_a_line_that_is_no_event_is_one_error_and_no_other(line):
    with pytest.raises(LineError) as caught:
        decode_event(line)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("EPOCH_COMPLETED", [1]),
        ("EPOCH_COMPLETED", 3),
        ("EPOCH_COMPLETED", None),
        ("SEED_INTERNAL_LEVEL_CHANGED", {"slot_id": "r0c0"}),
        ("SEED_INTERNAL_LEVEL_CHANGED", {"slot_id": None, "from_level": 0, "to_level": 1, "max_level": 4}),
        ("SEED_INTERNAL_LEVEL_CHANGED", {"slot_id": "a", "from_level": 0.5, "to_level": 1, "max_level": 4}),
        ("ANALYTICS_SNAPSHOT", {"kind": "last_action"}),
    ],
)
def test_a_payload_that_lacks_what_it_makes_no_sense_without_is_an_error(event_type, data):
    with pytest.raises(FieldError):
        read(data, event_type)


def test_what_the_predecessor_wrote_is_read_without_a_lost_line():
    files = sorted(SHARED.glob("data/esper_lite/*/events.jsonl"))
    if not files:
        pytest.skip("no predecessor telemetry here")
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    for line in lines:
        event, bad = decode_event(line)
        assert event.event_type
        assert bad == []
