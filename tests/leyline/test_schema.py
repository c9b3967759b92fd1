"""The JSON Schema of the file format: written down, and true of what is written."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from esper.karn.collector import TelemetryCollector
from esper.leyline import (
    CounterfactualDeltaPayload,
    EventsDroppedPayload,
    PPOUpdateCompletedPayload,
    TelemetryEventType,
    TrainingFailedPayload,
)
from esper.leyline.codec import json_schema
from support import ROOT, SHARED, read_events

SCHEMA_FILE = ROOT / "docs" / "events.schema.json"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_file_in_docs_is_the_schema_of_the_code():
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), (
        f"the format changed: write json_schema() to {SCHEMA_FILE} anew, with an indent of 2"
    )


def test_every_event_of_a_real_run_is_valid(run_factory, validator):
    path = run_factory("run", policy="random", prune_at=5, fossilize_at=9)
    with TelemetryCollector(path.parents[1], "run", envs_per_rank=2) as collector:
        env = collector.for_env(1)
        env.emit(
            TelemetryEventType.COUNTERFACTUAL_DELTA,
            CounterfactualDeltaPayload(
                slot_id="r0c0",
                env_id=None,
                epoch=3,
                op=4,
                from_level=1,
                to_level=2,
                loss_before=0.5,
                accuracy_before=0.5,
                params_before=None,
                loss_after=float("nan"),
                accuracy_after=float("inf"),
                params_after=None,
                loss_delta=float("nan"),
                accuracy_delta=float("inf"),
                baseline_loss_delta=0.0,
                baseline_accuracy_delta=0.0,
                baseline_sample_count=0,
            ),
        )
        failed = TrainingFailedPayload(reason="RuntimeError: out of memory")
        collector.emit(TelemetryEventType.TRAINING_FAILED, failed, severity="error")
        collector.emit(TelemetryEventType.PPO_UPDATE_COMPLETED, PPOUpdateCompletedPayload(entropy=1.0))
        collector.emit(
            TelemetryEventType.EVENTS_DROPPED, EventsDroppedPayload(count=1, first_seq=0, last_seq=0)
        )
    events = read_events(path)
    assert {event["event_type"] for event in events} == set(TelemetryEventType) - {
        TelemetryEventType.SEED_STAGE_CHANGED
    }
    for event in events:
        validator.validate(event)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event_type": 3},
        {"event_type": "X", "epoch": "three"},
        {"event_type": "X", "data": [1]},
        {"event_type": "EPOCH_COMPLETED", "data": {"loss": "high"}},
        {"event_type": "SEED_INTERNAL_LEVEL_CHANGED", "data": {"slot_id": "r0c0"}},
        {"event_type": "ANALYTICS_SNAPSHOT", "data": {"kind": "last_action"}},
        {"event_type": "EPOCH_COMPLETED", "data": {"non_finite": {"loss": "huge"}}},
    ],
)
def test_what_is_wrong_is_not_valid(event, validator):
    assert not validator.is_valid(event)


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "MORPHOLOGY_CAUSAL_LOG", "data": {"x": [1]}, "colour": "blue"},
        {"event_type": "EPOCH_COMPLETED", "data": {"loss": 0.5, "new_field": 1}},
        {"event_type": "ANALYTICS_SNAPSHOT", "data": {"kind": "batch_stats"}},
    ],
)
def test_other_types_and_fields_are_valid(event, validator):
    assert validator.is_valid(event)


def test_a_training_seed_of_64_bits_without_a_sign_is_valid(validator):
    assert validator.is_valid({"event_type": "TRAINING_STARTED", "data": {"seed": 2**64 - 1}})


def test_the_predecessors_envelope_is_valid(validator):
    files = sorted(SHARED.glob("data/esper_lite/*/events.jsonl"))
    if not files:
        pytest.skip("no predecessor telemetry here")
    seen = {}
    for path in files:
        for event in read_events(path):
            seen.setdefault(event["event_type"], event)
    for event_type in set(seen) - set(TelemetryEventType):
        validator.validate(seen[event_type])
