"""The seed's own tests, then the collector: its envelope, its promises, its errors."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime, timedelta

import pytest

from esper.karn.collector import TelemetryCollector
from esper.leyline import (
    EpochCompletedPayload,
    EventSink,
    LifecycleOp,
    PPOUpdateCompletedPayload,
    RankSink,
    SeedInternalLevelChangedPayload,
    TelemetryEventType,
    TrainingStartedPayload,
)
from esper.simic.training.counterfactual_tracker import CounterfactualTracker
from esper.simic.training.internal_op_tracker import InternalOpTracker
from support import read_events

EPOCH = TelemetryEventType.EPOCH_COMPLETED
PPO = TelemetryEventType.PPO_UPDATE_COMPLETED


# The seed's tests, their assertions word for word.


def test_internal_op_tracker_op_density():
    """Verify internal_op_density computation (renamed from level_change_rate)."""
    tracker = InternalOpTracker(window_size=10)

    # Record 5 ops
    for i in range(5):
        tracker.record_internal_op("r0c0", LifecycleOp.GROW_INTERNAL, i, i + 1)

    metrics = tracker._compute_metrics("r0c0")
    assert metrics["internal_op_density"] == 0.5  # 5/10


def test_internal_op_tracker_reversal_rate():
    """Verify reversal_rate detects thrash."""
    tracker = InternalOpTracker(window_size=10)

    # Oscillate: GROW, SHRINK, GROW, SHRINK
    ops = [LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL] * 3
    for i, op in enumerate(ops):
        tracker.record_internal_op("r0c0", op, i % 2, (i + 1) % 2)

    metrics = tracker._compute_metrics("r0c0")
    assert metrics["reversal_rate"] > 0.8  # High reversal = thrash


def test_counterfactual_tracker():
    """Verify counterfactual tracking."""
    tracker = CounterfactualTracker()

    # Record op start
    tracker.record_op_start(
        slot_id="r0c0",
        env_id=0,
        epoch=10,
        op=LifecycleOp.GROW_INTERNAL,
        from_level=1,
        to_level=2,
        loss=0.5,
        accuracy=0.7,
        params=1000,
    )

    # Record outcome
    payload = tracker.record_op_outcome(
        slot_id="r0c0",
        env_id=0,
        loss=0.4,
        accuracy=0.75,
        params=1500,
    )

    assert payload is not None
    assert payload.loss_delta == pytest.approx(-0.1)
    assert payload.accuracy_delta == pytest.approx(0.05)


# The envelope.


def test_an_event_is_one_line_with_the_envelope_in_the_file_formats_order(telemetry):
    with TelemetryCollector(telemetry, "run", group_id="sweep 7") as collector:
        collector.emit(
            EPOCH, EpochCompletedPayload(loss=0.5), slot_id="r0c0", seed_id="s1", epoch=3, message="hello"
        )
    (event,) = read_events(collector.path)
    assert collector.path == telemetry / "run" / "events.jsonl"
    assert list(event) == [
        "event_id",
        "event_type",
        "timestamp",
        "seed_id",
        "slot_id",
        "epoch",
        "group_id",
        "message",
        "data",
        "severity",
        "rank",
        "seq",
        "schema",
    ]
    assert event["event_type"] == "EPOCH_COMPLETED"
    assert (event["seed_id"], event["slot_id"], event["epoch"]) == ("s1", "r0c0", 3)
    assert (event["group_id"], event["message"], event["severity"]) == ("sweep 7", "hello", "info")
    assert (event["rank"], event["seq"], event["schema"]) == (0, 0, 1)
    assert event["data"]["loss"] == 0.5


def test_the_timestamp_is_iso_8601_in_utc_with_its_offset(telemetry):
    before = datetime.now(UTC) - timedelta(microseconds=1)
    with TelemetryCollector(telemetry, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload())
    (event,) = read_events(collector.path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", event["timestamp"])
    moment = datetime.fromisoformat(event["timestamp"])
    assert before <= moment <= datetime.now(UTC)


def test_seq_counts_from_0_and_event_ids_are_unique_over_files(telemetry):
    for run in ("a", "b"):
        with TelemetryCollector(telemetry, run) as collector:
            for _ in range(100):
                collector.emit(EPOCH, EpochCompletedPayload())
    events = [read_events(telemetry / run / "events.jsonl") for run in ("a", "b")]
    assert [event["seq"] for event in events[0]] == list(range(100))
    assert len({event["event_id"] for part in events for event in part}) == 200


def test_a_new_run_folder_has_a_name_of_its_own(telemetry):
    names = set()
    for _ in range(50):
        with TelemetryCollector(telemetry) as collector:
            names.add(collector.run_dir)
    assert len(names) == 50
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}_[0-9a-f]{8}", name) for name in names)
    assert {entry.name for entry in telemetry.iterdir()} == names


def test_the_folder_is_the_environments_when_none_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("KARN_TELEMETRY_DIR", str(tmp_path / "elsewhere"))
    with TelemetryCollector(run_dir="run") as collector:
        assert collector.path == tmp_path / "elsewhere" / "run" / "events.jsonl"
    monkeypatch.delenv("KARN_TELEMETRY_DIR")
    monkeypatch.chdir(tmp_path)
    with TelemetryCollector(run_dir="run") as collector:
        assert collector.path.resolve() == tmp_path / "telemetry" / "run" / "events.jsonl"


def test_each_rank_writes_a_file_of_its_own_with_unique_env_ids(telemetry):
    for rank in range(2):
        with TelemetryCollector(telemetry, "run", rank=rank, world_size=2, envs_per_rank=3) as collector:
            for local in range(3):
                collector.for_env(local).emit(EPOCH, EpochCompletedPayload())
    files = sorted(path.name for path in (telemetry / "run").iterdir())
    assert files == ["events.rank00000.jsonl", "events.rank00001.jsonl"]
    events = [event for name in files for event in read_events(telemetry / "run" / name)]
    assert [event["data"]["env_id"] for event in events] == [0, 1, 2, 3, 4, 5]
    assert [event["rank"] for event in events] == [0, 0, 0, 1, 1, 1]


def test_env_id_is_stamped_over_whatever_the_payload_says_and_never_left_out(telemetry):
    with TelemetryCollector(telemetry, "a", rank=2, world_size=3) as collector:
        collector.emit(EPOCH, EpochCompletedPayload())  # a rank with one environment: there is no doubt
        collector.for_env(0).emit(EPOCH, EpochCompletedPayload(env_id=0))
        collector.for_env(0).emit(PPO, PPOUpdateCompletedPayload(entropy=1.0))  # not of an environment
    first, second, third = (event["data"] for event in read_events(collector.path))
    assert first["env_id"] == second["env_id"] == 2
    assert "env_id" not in third


def test_the_first_event_of_a_process_says_which_attempt_it_is(telemetry):
    with TelemetryCollector(telemetry, "run") as collector:
        collector.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(task="digits"))
        collector.emit(EPOCH, EpochCompletedPayload())
    first, second = (event["data"] for event in read_events(collector.path))
    inode = collector.path.stat().st_ino
    assert first == {"task": "digits", "attempt": 1, "world_size": 1, "inode": inode}
    assert "attempt" not in second


def test_the_collector_is_a_sink_for_ranks_and_its_environments_are_sinks(telemetry):
    with TelemetryCollector(telemetry) as collector:
        assert isinstance(collector, RankSink)
        assert isinstance(collector.for_env(0), EventSink)


# Values.


def test_a_float_that_is_not_finite_is_null_and_named(telemetry):
    payload = EpochCompletedPayload(loss=math.nan, accuracy=math.inf, train_loss=-math.inf, params=3)
    with TelemetryCollector(telemetry, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload())
        collector.emit(EPOCH, payload)
        collector.emit(
            TelemetryEventType.TRAINING_STARTED,
            TrainingStartedPayload(config={"lrs": [0.1, math.nan], "deep": {"x": math.inf}}),
        )
    raw = collector.path.read_bytes()
    assert b"NaN," not in raw
    assert b":NaN" not in raw
    assert b"Infinity," not in raw
    _, event, started = read_events(collector.path)
    assert event["data"] == {
        "env_id": 0,
        "loss": None,
        "accuracy": None,
        "train_loss": None,
        "params": 3,
        "non_finite": {"loss": "NaN", "accuracy": "Infinity", "train_loss": "-Infinity"},
    }
    assert started["data"]["config"] == {"lrs": [0.1, None], "deep": {"x": None}}
    assert started["data"]["non_finite"] == {"config.lrs.1": "NaN", "config.deep.x": "Infinity"}


def test_numpy_scalars_tensors_and_paths_are_numbers_and_texts(telemetry, tmp_path):
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    with TelemetryCollector(telemetry, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload())
        collector.emit(
            EPOCH,
            EpochCompletedPayload(
                loss=torch.tensor(0.5, requires_grad=True),
                accuracy=numpy.float32(0.25),
                params=numpy.int64(7),
                train_loss=numpy.float64("nan"),
            ),
        )
        started = TrainingStartedPayload(config={"out": tmp_path})
        collector.emit(TelemetryEventType.TRAINING_STARTED, started)
    _, event, started = (event["data"] for event in read_events(collector.path))
    assert event == {
        "env_id": 0,
        "loss": 0.5,
        "accuracy": 0.25,
        "params": 7,
        "train_loss": None,
        "non_finite": {"train_loss": "NaN"},
    }
    assert started["config"] == {"out": str(tmp_path)}


def test_a_text_that_is_no_unicode_loses_its_bad_half_and_not_the_event(telemetry):
    with TelemetryCollector(telemetry, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload(), message="caf\udce9 \n\x00")
    (event,) = read_events(collector.path)
    assert event["message"] == "caf\ufffd \n\x00"


def test_level_changes_of_a_payload_reach_the_file_as_they_are(telemetry):
    payload = SeedInternalLevelChangedPayload(
        slot_id="r0c0", from_level=1, to_level=2, max_level=4, active_params=10
    )
    with TelemetryCollector(telemetry, "run", envs_per_rank=4) as collector:
        collector.for_env(3).emit(TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED, payload, epoch=1)
    (event,) = read_events(collector.path)
    del event["data"]["attempt"], event["data"]["world_size"], event["data"]["inode"]
    assert event["data"] == {
        "slot_id": "r0c0",
        "from_level": 1,
        "to_level": 2,
        "max_level": 4,
        "env_id": 3,
        "active_params": 10,
    }


def test_the_file_is_not_left_open_in_a_program_that_the_training_starts(telemetry):
    with TelemetryCollector(telemetry, "run") as collector:
        links = f"/proc/{os.getpid()}/fd"
        if not os.path.isdir(links):
            pytest.skip("no /proc here")
        (fd,) = [
            int(name)
            for name in os.listdir(links)
            if os.path.realpath(f"{links}/{name}") == str(collector.path.resolve())
        ]
        assert not os.get_inheritable(fd)
