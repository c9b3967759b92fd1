"""What the recorder says became of each op, and against which baseline."""

from __future__ import annotations

import math

import pytest

from esper.leyline import LifecycleOp, TelemetryEventType, TelemetryUsageError
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder
from support import ListSink

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


def deltas(sink: ListSink) -> list:
    return [event.payload for event in sink.of_type(T.COUNTERFACTUAL_DELTA)]


def test_an_outcome_is_measured_after_the_next_epoch(sink, recorder):
    recorder.decision(0, "r0c0", GROW, probability=0.25, reward=0.0)
    recorder.level_changed(0, "r0c0", 1, 2, active_params=200)
    assert deltas(sink) == []
    recorder.epoch_end(0, 2, loss=0.75, accuracy=0.625)
    (delta,) = deltas(sink)
    assert (delta.epoch, delta.epochs_elapsed, delta.episode_idx) == (1, 1, 0)
    assert (delta.loss_before, delta.loss_after, delta.loss_delta) == (1.0, 0.75, -0.25)
    assert (delta.accuracy_before, delta.accuracy_after) == (0.5, 0.625)
    assert (delta.params_before, delta.params_after) == (100, 200)
    assert delta.op_probability == 0.25
    (event,) = sink.of_type(T.COUNTERFACTUAL_DELTA)
    assert (event.env, event.slot_id, event.epoch) == (0, "r0c0", 1)
    recorder.epoch_end(0, 3, loss=0.5, accuracy=0.75)
    assert len(deltas(sink)) == 1


def test_an_op_before_the_first_epoch_has_no_state_before_and_no_outcome(sink):
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", 1, 4)
    recorder.level_changed(0, "r0c0", 1, 2)
    recorder.epoch_end(0, 1, 1.0, 0.5)
    assert deltas(sink) == []


def test_two_ops_on_a_slot_within_an_epoch_have_one_outcome(sink, recorder):
    recorder.level_changed(0, "r0c0", 1, 2)
    recorder.level_changed(0, "r0c0", 2, 3)
    recorder.epoch_end(0, 2, 0.9, 0.6)
    assert [(delta.from_level, delta.to_level) for delta in deltas(sink)] == [(2, 3)]
    assert recorder.superseded_ops == 1


@pytest.mark.parametrize("reason", ["policy", FOSSILIZED])
def test_an_op_on_a_seed_that_is_gone_has_no_outcome_and_the_next_seed_a_clean_start(sink, recorder, reason):
    for level in (1, 2, 1, 2):
        recorder.level_changed(0, "r0c0", level, 3 - level)
    recorder.decision(0, "r0c0", GROW, probability=0.9, reward=0.0)
    recorder.seed_removed(0, "r0c0", reason)
    recorder.seed_added(0, "r0c0", 1, 4, params=1)
    recorder.level_changed(0, "r0c0", 1, 2)
    metrics = sink.of_type(T.INTERNAL_OP_METRICS)[-1].payload
    assert (metrics.n_ops, metrics.reversal_rate) == (1, 0.0)
    recorder.epoch_end(0, 2, 0.9, 0.6)
    (delta,) = deltas(sink)
    assert (delta.op, delta.params_before, delta.op_probability) == (4, 1, None)
    removed = sink.of_type(T.SEED_PRUNED if reason == "policy" else T.SEED_FOSSILIZED)
    assert len(removed) == 1


def test_the_end_of_an_episode_forgets_histories_and_pending_ops_of_its_environment_alone(sink):
    recorder = InternalOpRecorder(sink)
    for env in (0, 1):
        recorder.seed_added(env, "r0c0", 1, 4)
        recorder.epoch_end(env, 1, 1.0, 0.5)
        recorder.level_changed(env, "r0c0", 1, 2)
    recorder.episode_end(0)
    recorder.seed_added(0, "r0c0", 1, 4)
    recorder.epoch_end(0, 1, 1.0, 0.5)
    recorder.epoch_end(0, 2, 1.0, 0.5)
    recorder.epoch_end(1, 2, 0.5, 0.5)
    assert [(event.env, event.payload.episode_idx) for event in sink.of_type(T.COUNTERFACTUAL_DELTA)] == [
        (1, 0)
    ]
    recorder.level_changed(0, "r0c0", 1, 0)
    recorder.level_changed(1, "r0c0", 2, 1)
    first, second = [event.payload for event in sink.of_type(T.INTERNAL_OP_METRICS)][-2:]
    assert (first.n_ops, first.reversal_rate, first.episode_idx) == (1, 0.0, 1)
    assert (second.n_ops, second.reversal_rate, second.episode_idx) == (2, 1.0, 0)


def test_seeds_that_live_on_into_the_next_episode_need_not_be_added_again(sink, recorder):
    recorder.episode_end(0, keep_seeds=True)
    recorder.level_changed(0, "r0c0", 1, 2)
    assert sink.of_type(T.SEED_INTERNAL_LEVEL_CHANGED)[-1].payload.episode_idx == 1
    recorder.episode_end(0)
    with pytest.raises(TelemetryUsageError, match="no seed"):
        recorder.level_changed(0, "r0c0", 2, 3)


def baseline_samples(sink: ListSink, recorder: InternalOpRecorder, epoch: int) -> tuple[int, float]:
    """The baseline that an op at ``epoch`` is compared with."""
    seed = recorder._env(0).slots["r0c0"]
    recorder.level_changed(0, "r0c0", seed.level, 2 if seed.level != 2 else 1)
    recorder.epoch_end(0, epoch + 1, 0.0, 0.0)
    delta = deltas(sink)[-1]
    return delta.baseline_sample_count, delta.baseline_loss_delta


def test_an_epoch_in_which_the_policy_only_waited_is_a_sample_of_the_baseline(sink, recorder):
    recorder.decision(0, None, NOOP, reward=0.0)
    recorder.decision(0, "r0c0", NOOP, reward=0.0)
    recorder.epoch_end(0, 2, 0.75, 0.5)
    assert baseline_samples(sink, recorder, 2) == (1, -0.25)


@pytest.mark.parametrize(
    "what", ["another decision", "a change nobody decided", "no decision", "a new episode"]
)
def test_no_other_epoch_is(sink, recorder, what):
    epoch = 2
    if what != "no decision":
        recorder.decision(0, None, NOOP, reward=0.0)
    match what:
        case "another decision":
            recorder.decision(0, "r0c1", LifecycleOp.GERMINATE, reward=0.0, success=False)
        case "a change nobody decided":
            recorder.seed_added(0, "r0c1")
        case "a new episode":
            recorder.episode_end(0, keep_seeds=True)
            recorder.decision(0, None, NOOP, reward=0.0)  # there is no state before it
            epoch = 1
    recorder.epoch_end(0, epoch, 0.75, 0.5)
    assert baseline_samples(sink, recorder, epoch)[0] == 0


def test_a_diverging_run_goes_on_being_recorded(sink, recorder):
    recorder.level_changed(0, "r0c0", 1, 2)
    recorder.epoch_end(0, 2, math.nan, math.nan)
    recorder.decision(0, None, NOOP, reward=math.nan)
    recorder.epoch_end(0, 3, math.inf, 0.1)
    recorder.level_changed(0, "r0c0", 2, 3)
    recorder.epoch_end(0, 4, 1.0, 0.5)
    first, second = deltas(sink)
    assert math.isnan(first.loss_delta)
    assert second.loss_delta == -math.inf
    assert second.baseline_sample_count == 0
