"""The vectorised recorder's files beside those of the scalar one, told of the same training."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorised_history import MAX_LEVEL, SLOTS, collector, events, history, tell_scalar, tell_vector

from esper.leyline import (
    LifecycleOp,
    PPOUpdateCompletedPayload,
    TelemetryEventType,
    TelemetryUsageError,
)
from esper.simic.training.recorder import InternalOpRecorder
from esper.simic.vectorised.recorder import VectorInternalOpRecorder
from support import ListSink

T = TelemetryEventType
GROW, SHRINK = int(LifecycleOp.GROW_INTERNAL), int(LifecycleOp.SHRINK_INTERNAL)


def levels(*rows: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(rows)


@pytest.fixture
def vector(sink: ListSink) -> VectorInternalOpRecorder:
    """Two environments with a seed of three levels, at level 1, in each slot; one epoch done."""
    recorder = VectorInternalOpRecorder(sink, 2, SLOTS, capacity=4)
    recorder.seeds_added(torch.ones(2, 3, dtype=torch.bool), 1, MAX_LEVEL)
    recorder.epoch_end(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25]))
    recorder.emit()
    sink.events.clear()
    return recorder


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 25), st.sampled_from([1, 2, 50]))
def test_its_events_equal_the_scalar_recorders(tmp_path_factory, seed, n_envs, steps, window_size):
    folder = tmp_path_factory.mktemp("telemetry")
    calls = history(random.Random(seed), n_envs, steps)
    rng = random.Random(seed)
    arguments = {"window_size": window_size, "intervention_cost": 0.005}
    with (
        collector(folder, "scalar", n_envs) as scalar_sink,
        collector(folder, "vector", n_envs) as vector_sink,
        InternalOpRecorder(scalar_sink, **arguments) as scalar,
        VectorInternalOpRecorder(vector_sink, n_envs, SLOTS, **arguments) as vector,
    ):
        for recorder in (scalar, vector):
            recorder.training_started(task="toy")
        for call in calls:
            tell_scalar(scalar, call, n_envs)
            tell_vector(vector, call)
            check_metrics(vector, scalar, n_envs)
            if rng.random() < 0.1:
                vector.emit()
    expected = events(scalar_sink.path)
    assert len(expected) > n_envs * steps
    assert events(vector_sink.path) == expected


def check_metrics(vector: VectorInternalOpRecorder, scalar: InternalOpRecorder, n_envs: int) -> None:
    for env in range(n_envs):
        tracker = scalar._env(env).tracker
        for index, slot in enumerate(SLOTS):
            n_ops = int(vector.metrics["n_ops"][env, index])
            assert n_ops == (tracker._compute_metrics(slot)["n_ops"] if slot in tracker._windows else 0)
            if n_ops:
                rate = torch.tensor(tracker._compute_metrics(slot)["reversal_rate"])
                assert vector.metrics["reversal_rate"][env, index] == rate


def test_nothing_is_written_before_emit_and_only_what_happened_since(sink, vector):
    vector.decisions(torch.tensor([GROW, 0]), torch.tensor([1, -1]), reward=torch.tensor([0.5, 0.25]))
    vector.levels_changed(levels((1, 1, 1), (1, 1, 1)), levels((1, 2, 1), (1, 1, 1)))
    assert sink.events == []
    assert vector.waiting == 2
    vector.emit()
    assert sink.types == [
        "ANALYTICS_SNAPSHOT",
        "ANALYTICS_SNAPSHOT",
        "SEED_INTERNAL_LEVEL_CHANGED",
        "INTERNAL_OP_METRICS",
    ]
    assert [(event.env, event.slot_id) for event in sink.events[2:]] == [(0, "r0c1")] * 2
    sink.events.clear()
    vector.emit()
    assert sink.events == []


def test_a_loop_may_write_into_its_tensors_again(sink, vector):
    loss = torch.tensor([0.5, 0.75])
    vector.epoch_end(loss, loss)
    loss.zero_()
    vector.emit()
    assert [event.payload.loss for event in sink.events] == [0.5, 0.75]


def test_a_full_buffer_is_an_error_and_nothing_that_waits_is_lost(sink, vector):
    numbers = torch.tensor([0.5, 0.5])
    for _ in range(4):
        vector.epoch_end(numbers, numbers)
    with pytest.raises(TelemetryUsageError, match=r"4 reports of epoch_end wait .* every 4 steps"):
        vector.epoch_end(numbers, numbers)
    vector.emit()
    assert [event.payload.inner_epoch for event in sink.events] == [2, 2, 3, 3, 4, 4, 5, 5]
    vector.epoch_end(numbers, numbers)
    vector.emit()
    assert sink.events[-1].payload.inner_epoch == 6


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            lambda v: v.levels_changed(levels((1, 1, 1), (1, 1, 1)), levels((1, 1, 1), (1, 9, 1))),
            r"levels_changed, env 1, slot 'r0c1': .*levels 1 and 9 must",
        ),
        (
            lambda v: v.seeds_added(torch.tensor([[False] * 3, [False, False, True]]), 0, 2),
            r"seeds_added, env 1, slot 'r1c0': .* has a seed",
        ),
        (lambda v: v.decisions(torch.tensor([0, 17])), r"decisions, env 1: op 17 is no LifecycleOp"),
        (lambda v: v.decisions(torch.tensor([0, 4]), torch.tensor([0, 3])), "env 1: slot 3 is not in 0 to 2"),
        (
            lambda v: v.decisions(torch.tensor([0, 0]), probability=torch.tensor([0.5, 50.0])),
            r"decisions, env 1: .*probability must lie in 0 to 1, not 50",
        ),
        (
            lambda v: v.epoch_end(torch.ones(2), torch.ones(2), epoch=torch.tensor([2, 1])),
            r"epoch_end, env 1: .*epoch 1 can't follow epoch 1",
        ),
    ],
)
def test_a_value_that_cannot_be_is_named_at_emit_and_the_rest_is_written(sink, vector, report, text):
    report(vector)
    vector.epoch_end(torch.ones(2), torch.ones(2), epoch=9)
    with pytest.raises(TelemetryUsageError, match=text):
        vector.emit()
    assert [event.epoch for event in sink.of_type(T.EPOCH_COMPLETED)][-2:] == [9, 9]
    assert vector.metrics["n_ops"].sum() == 0
    vector.emit()


def test_a_seed_that_was_refused_has_no_metrics_and_of_several_errors_the_first_is_shown(sink):
    recorder = VectorInternalOpRecorder(sink, 2, SLOTS)
    recorder.seeds_added(torch.ones(2, 3, dtype=torch.bool), torch.full((2, 3), 4), 3)
    recorder.levels_changed(levels((1, 1, 1), (1, 1, 1)), levels((2, 1, 1), (1, 1, 1)))
    assert recorder.metrics["n_ops"].sum() == 0
    with pytest.raises(TelemetryUsageError, match=r"env 0, slot 'r0c0': .* \(and 6 more of what was"):
        recorder.emit()
    assert sink.events == []


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            lambda v: v.decisions(torch.zeros(3, dtype=torch.int64)),
            r"ops must be .* \[2\] .* not int64 \[3\]",
        ),
        (lambda v: v.decisions(torch.zeros(2)), "ops must be a tensor of integers"),
        (lambda v: v.epoch_end(0.5, torch.ones(2)), "loss must be a tensor of floats .* not a float"),
        (
            lambda v: v.epoch_end(torch.ones(2), torch.ones(2, device="meta")),
            "on cpu, not float32 .* on meta",
        ),
        (lambda v: v.episode_end(torch.ones(2)), "env_mask must be a tensor of bools"),
        (lambda v: v.seeds_added(torch.ones(2, 3, dtype=torch.bool), 1), "both level and max_level"),
        (
            lambda v: v.levels_changed(torch.ones(2, 3), torch.ones(2, 3)),
            "from_levels must be a tensor of integers",
        ),
    ],
)
def test_a_wrong_shape_dtype_or_device_is_refused_at_once(sink, vector, report, text):
    with pytest.raises(TelemetryUsageError, match=text):
        report(vector)
    vector.emit()
    assert sink.events == []


def test_a_recorder_restored_from_a_checkpoint_goes_on_as_the_other_does(tmp_path: Path):
    calls = history(random.Random(7), 3, 30)
    with collector(tmp_path, "whole", 3) as sink, VectorInternalOpRecorder(sink, 3, SLOTS) as recorder:
        for call in calls:
            tell_vector(recorder, call)
    file = io.BytesIO()
    with collector(tmp_path, "resumed", 3) as resumed:
        first = VectorInternalOpRecorder(resumed, 3, SLOTS)
        for call in calls[:60]:
            tell_vector(first, call)
        torch.save(first.state_dict(), file)
        assert first.waiting == 0
        file.seek(0)
        with VectorInternalOpRecorder(resumed, 3, SLOTS) as second:
            second.load_state_dict(torch.load(file, weights_only=True))
            for name, tensor in first.metrics.items():
                assert torch.equal(tensor.nan_to_num(), second.metrics[name].nan_to_num())
            for call in calls[60:]:
                tell_vector(second, call)
    assert events(resumed.path) == events(sink.path)


def test_a_checkpoint_is_not_loaded_over_reports_that_wait(vector):
    state = vector.state_dict()
    vector.decisions(torch.tensor([0, 0]))
    with pytest.raises(TelemetryUsageError, match=r"1 reports wait: call emit\(\)"):
        vector.load_state_dict(state)


@pytest.mark.parametrize("fails", [False, True])
def test_leaving_it_emits_what_waits_and_a_failure_is_no_clean_end(sink, fails):
    try:
        with VectorInternalOpRecorder(sink, 2, SLOTS) as recorder:
            recorder.training_started()
            recorder.decisions(torch.tensor([0, 0]))
            if fails:
                raise KeyError
    except KeyError:
        pass
    ends = ["TRAINING_FAILED" if fails else "TRAINING_FINISHED"]
    assert sink.types == ["TRAINING_STARTED", "ANALYTICS_SNAPSHOT", "ANALYTICS_SNAPSHOT", *ends]


def test_a_refusal_while_leaving_is_no_clean_end(sink):
    recorder = VectorInternalOpRecorder(sink, 2, SLOTS)
    recorder.training_started()
    recorder.decisions(torch.tensor([0, 9]))
    with pytest.raises(TelemetryUsageError, match="op 9"), recorder:
        pass
    assert sink.types == ["TRAINING_STARTED", "ANALYTICS_SNAPSHOT", "TRAINING_FAILED"]


def test_an_update_comes_after_the_decisions_it_learned_from(sink, vector):
    vector.decisions(torch.tensor([0, 0]), reward=0.5)
    vector.policy_updated(PPOUpdateCompletedPayload(policy_loss=0.1))
    assert sink.types == ["ANALYTICS_SNAPSHOT", "ANALYTICS_SNAPSHOT", "PPO_UPDATE_COMPLETED"]


def test_a_stage_is_reported_for_the_slots_of_the_mask(sink, vector):
    mask = torch.tensor([[True, False, False], [False, False, True]])
    vector.stages_changed(mask, "TRAINING", "BLENDING", accuracy_delta=torch.full((2, 3), 0.5))
    vector.emit()
    assert [(event.env, event.slot_id, event.payload.accuracy_delta) for event in sink.events] == [
        (0, "r0c0", 0.5),
        (1, "r1c0", 0.5),
    ]
