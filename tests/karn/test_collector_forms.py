"""Events alike take a short way into the file; what they leave there must not differ from the long one."""

from __future__ import annotations

import json
import math
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.envelope import Envelope
from esper.leyline import (
    DecisionPayload,
    EpochCompletedPayload,
    SeedInternalKind,
    SeedInternalLevelChangedPayload,
    TelemetryEvent,
    TelemetryEventType,
    TrainingFinishedPayload,
)
from esper.leyline.codec import encode_data, encode_event
from esper.leyline.payloads import Payload
from support import read_events

EPOCH = TelemetryEventType.EPOCH_COMPLETED
LEVEL = TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED
TEXT = st.text(max_size=12) | st.sampled_from(["%", "%d%b%%", '"data":%b', "\ud800", "null", "\N{SNOWMAN}"])


def level_change(**fields: Any) -> SeedInternalLevelChangedPayload:
    usual = {"slot_id": "r0c1", "from_level": 1, "to_level": 2, "max_level": 4}
    return SeedInternalLevelChangedPayload(**usual | fields)


def data_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Their ``data``, without what only a process's first event has."""
    stamp = ("attempt", "world_size", "inode")
    return [{name: value for name, value in event["data"].items() if name not in stamp} for event in events]


@given(
    texts=st.tuples(TEXT, st.none() | TEXT, st.none() | TEXT, TEXT, TEXT),
    epoch=st.none() | st.integers(-(2**40), 2**40),
    seq=st.integers(0, 2**40),
    microseconds=st.integers(0, 2**50),
)
def test_a_filled_form_is_the_line_that_the_codec_writes(texts, epoch, seq, microseconds):
    event_type, slot_id, seed_id, message, severity = texts
    envelope = Envelope(3, "a%group", first_seq=-1, stamp={})
    envelope.next_seq = seq
    payload = level_change(active_params=7)
    form = envelope.form(event_type, slot_id, seed_id, epoch, message, severity)
    line = envelope.line(form, epoch, encode_data(payload), microseconds * 1000)
    now = datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    event = TelemetryEvent(
        event_id=json.loads(line)["event_id"],
        event_type=event_type,
        timestamp=f"{now}.{microseconds % 1_000_000:06d}+00:00",
        seed_id=seed_id,
        slot_id=slot_id,
        epoch=epoch,
        group_id="a%group",
        message=message,
        data=payload,
        severity=severity,
        rank=3,
        seq=seq,
        schema=1,
    )
    assert line == encode_event(event)
    assert event.event_id.endswith(f"-{seq}")


PAYLOADS: dict[str, tuple[TelemetryEventType, list[Payload]]] = {
    "whole numbers": (
        LEVEL,
        [level_change(active_params=n, internal_kind=SeedInternalKind(1)) for n in (5, 6)],
    ),
    "floats": (EPOCH, [EpochCompletedPayload(loss=loss) for loss in (0.5, math.nan, -math.inf, 0.25)]),
    "nothing": (EPOCH, [EpochCompletedPayload()] * 3),
    "an environment of its own": (LEVEL, [level_change(), level_change(env_id=7), level_change()]),
    "a tag and dicts": (
        TelemetryEventType.ANALYTICS_SNAPSHOT,
        [DecisionPayload(action_name="NOOP", op_probs={"NOOP": p, "null": 0.0}) for p in (1.0, math.nan)],
    ),
    "no environment": (TelemetryEventType.TRAINING_FINISHED, [TrainingFinishedPayload()] * 2),
    "scalars of numpy": (EPOCH, [EpochCompletedPayload(loss=np.float32(n)) for n in (1, 2, math.nan)]),
}


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_it_makes_no_difference_how_often_such_an_event_was_there_before(telemetry, kind, buffered):
    event_type, payloads = PAYLOADS[kind]
    with TelemetryCollector(telemetry, "warm", envs_per_rank=4, buffered=buffered) as collector:
        sink = collector.for_env(2)
        for payload in payloads:
            sink.emit(event_type, payload, slot_id="r0c1", epoch=4)
    warm = data_of(read_events(collector.path))
    cold = []
    for index, payload in enumerate(payloads):
        with TelemetryCollector(telemetry, f"cold{index}", envs_per_rank=4) as collector:
            collector.for_env(2).emit(event_type, payload, slot_id="r0c1", epoch=4)
        cold += data_of(read_events(collector.path))
    assert warm == cold
    assert all(data.get("env_id") == 2 for data in warm if kind != "no environment")


def test_epochs_of_every_kind_are_written_as_they_are(telemetry):
    epochs = [3, None, 4, np.int64(5), None, 6]
    with TelemetryCollector(telemetry) as collector:
        for epoch in epochs:
            collector.emit(LEVEL, level_change(), epoch=epoch)
    assert [event["epoch"] for event in read_events(collector.path)] == epochs


def test_payloads_that_bring_their_environment_keep_it_and_others_get_the_ranks(telemetry):
    with TelemetryCollector(telemetry, "run", rank=1, world_size=2) as collector:
        for env_id in (None, 9, None, 9):
            collector.emit(LEVEL, level_change(env_id=env_id), epoch=1)
    assert [event["data"]["env_id"] for event in read_events(collector.path)] == [1, 9, 1, 9]
    with TelemetryCollector(telemetry, "several", envs_per_rank=4) as collector:
        for env_id in (3, 2, 3):
            collector.emit(LEVEL, level_change(env_id=env_id), epoch=1)
    assert [event["data"]["env_id"] for event in read_events(collector.path)] == [3, 2, 3]


def test_a_payload_class_of_the_users_own_has_each_field_once(telemetry):
    class Mine(Payload, frozen=True, kw_only=True, omit_defaults=False):
        env_id: int | None
        n: int
        m: int | None = None

    with TelemetryCollector(telemetry, "run", envs_per_rank=2) as collector:
        sink = collector.for_env(1)
        for n in range(3):
            sink.emit(EPOCH, Mine(env_id=None, n=n))
    lines = collector.path.read_bytes().splitlines()
    assert all(line.count(b'"env_id"') == 1 for line in lines)
    assert data_of(read_events(collector.path)) == [{"env_id": 1, "n": n, "m": None} for n in range(3)]


def test_texts_that_differ_each_time_are_not_kept_for_ever(telemetry):
    with TelemetryCollector(telemetry, buffered=True) as collector:
        sink = collector.for_env(0)
        for number in range(5000):
            sink.emit(EPOCH, EpochCompletedPayload(loss=0.5), message=f"message {number}")
        assert len(sink._forms) <= 4096
    assert [event["message"] for event in read_events(collector.path)] == [
        f"message {n}" for n in range(5000)
    ]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(after=st.integers(0, 3000))
def test_what_is_emitted_while_another_thread_closes_is_in_the_file_or_counted(tmp_path_factory, after):
    collector = TelemetryCollector(tmp_path_factory.mktemp("run"), buffered=True)
    reached, emitted = threading.Event(), 4000

    def work() -> None:
        for number in range(emitted):
            if number == after:
                reached.set()
            collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=number)

    thread = threading.Thread(target=work)
    thread.start()
    reached.wait()
    collector.close()
    thread.join()
    epochs = [event["epoch"] for event in read_events(collector.path)]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) + collector.dropped == emitted
