"""What the recorder refuses: one clear line each, before anything is written."""

from __future__ import annotations

import pytest

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp, TelemetryEventType, TelemetryUsageError
from esper.simic.training.recorder import InternalOpRecorder

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


MISUSES = {
    "seed_added(0, 'r0c9', ...) first": ("level_changed", (0, "r0c9", 1, 2)),
    "env 1 has no seed in slot 'r0c0'": ("level_changed", (1, "r0c0", 1, 2)),
    "env 0 has no seed in slot 'r0c9'": ("seed_removed", (0, "r0c9", "policy")),
    "levels 1 and 5 must differ and lie in 0 to 4": ("level_changed", (0, "r0c0", 1, 5)),
    "levels -1 and 0": ("level_changed", (0, "r0c0", -1, 0)),
    "levels 2 and 2": ("level_changed", (0, "r0c0", 2, 2)),
    "has no levels": ("level_changed", (0, "plain", 0, 1)),
    "has a seed in slot 'r0c0' already": ("seed_added", (0, "r0c0", 1, 4)),
    "level 5 of max_level 4": ("seed_added", (0, "r0c1", 5, 4)),
    "level -1 of max_level 4": ("seed_added", (0, "r0c1", -1, 4)),
    "level 1 of max_level None": ("seed_added", (0, "r0c1", 1)),
    "epoch 1 can't follow epoch 1": ("epoch_end", (0, 1, 0.5, 0.5)),
    "call episode_end(0) when it is over": ("epoch_end", (0, 0, 0.5, 0.5)),
    "epoch -1": ("epoch_end", (3, -1, 0.5, 0.5)),
    "9 is not a valid LifecycleOp": ("decision", (0, "r0c0", 9)),
}


IMPROBABLE = {
    "env 0: probability must lie in 0 to 1, not 40": {"probability": 40.0},
    "env 0: probability must lie in 0 to 1, not -0.1": {"probability": -0.1},
    "env 0: holdout_probability must lie in 0 to 1, not 5": {"holdout_probability": 5},
    "env 0: op_probs['GROW_INTERNAL'] must lie in 0 to 1, not 60": {
        "op_probs": {"NOOP": 0.4, "GROW_INTERNAL": 60.0}
    },
}


@pytest.mark.parametrize("text", list(IMPROBABLE))
def test_a_probability_that_cannot_be_is_refused_with_its_place_and_value(sink, recorder, text):
    sink.events.clear()
    before = recorder.state_dict()
    with pytest.raises(TelemetryUsageError) as caught:
        recorder.decision(0, None, NOOP, reward=0.0, **IMPROBABLE[text])
    assert str(caught.value) == text
    assert sink.events == []
    assert recorder.state_dict() == before


@pytest.mark.parametrize("value", [1 + 1e-7, -1e-7, float("nan"), None, 0.0, 1.0])
def test_rounding_and_what_is_not_finite_never_stop_a_training(sink, recorder, value):
    sink.events.clear()
    recorder.decision(0, None, NOOP, reward=0.0, probability=value, op_probs={"NOOP": value})
    (event,) = sink.events
    assert event.payload.op_probability is value


@pytest.mark.parametrize("text", list(MISUSES))
def test_what_cannot_be_is_refused_in_one_line_and_leaves_no_trace(sink, recorder, text):
    name, arguments = MISUSES[text]
    recorder.seed_added(0, "plain")
    for env in (1, 3):
        recorder.decision(env, None, NOOP, reward=0.0)
    sink.events.clear()
    before = recorder.state_dict()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is looked at below
        getattr(recorder, name)(*arguments)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sink.events == []
    assert recorder.state_dict() == before


def test_a_field_that_training_started_does_not_have_is_refused(sink):
    with pytest.raises(TypeError, match="learning_rate"):
        InternalOpRecorder(sink).training_started(learning_rate=0.1)


def test_a_window_or_a_sink_that_cannot_be_is_refused_at_once(sink):
    with pytest.raises(ValueError, match="window_size must be at least 1"):
        InternalOpRecorder(sink, window_size=0)
    with pytest.raises(TelemetryUsageError, match="it needs emit and for_env"):
        InternalOpRecorder(sink.for_env(0))


def test_an_environment_that_the_sink_does_not_have_leaves_no_trace(telemetry):
    with TelemetryCollector(telemetry, envs_per_rank=2) as collector:
        recorder = InternalOpRecorder(collector)
        with pytest.raises(TelemetryUsageError, match="environment 2"):
            recorder.seed_added(2, "r0c0", 1, 4)
        assert recorder.state_dict()["envs"] == []
