"""The recorder: what it emits, in which order, and what it forgets when."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp, TelemetryEventType, TelemetryUsageError
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder
from support import ListSink, toy_training

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


@pytest.fixture
def recorder(sink):
    """A recorder with one seed of four levels in slot r0c0 of environment 0, one epoch done."""
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", 1, 4, blueprint="conv_ladder", params=100)
    recorder.epoch_end(0, 1, loss=1.0, accuracy=0.5, params=1000)
    sink.events.clear()
    return recorder


def deltas(sink: ListSink) -> list:
    return [event.payload for event in sink.of_type(T.COUNTERFACTUAL_DELTA)]


# What is written, and in which order.


def test_an_epoch_reads_decision_change_metrics_outcome_epoch(sink):
    with InternalOpRecorder(sink, intervention_cost=0.005) as recorder:
        recorder.training_started(task="toy")
        recorder.seed_added(0, "r0c0", 1, 4, blueprint="conv_ladder", params=100)
        for epoch in (1, 2):
            recorder.decision(0, "r0c0", GROW, probability=0.25, reward=-0.1)
            recorder.level_changed(0, "r0c0", epoch, epoch + 1, active_params=100 * epoch)
            recorder.epoch_end(0, epoch, 1 / epoch, 0.5)
        recorder.seed_removed(0, "r0c0", "policy")
        recorder.episode_end(0, outcome="timeout")
    assert sink.types == [
        "TRAINING_STARTED",
        "SEED_GERMINATED",
        "ANALYTICS_SNAPSHOT",
        "SEED_INTERNAL_LEVEL_CHANGED",
        "INTERNAL_OP_METRICS",
        "EPOCH_COMPLETED",
        "ANALYTICS_SNAPSHOT",
        "SEED_INTERNAL_LEVEL_CHANGED",
        "INTERNAL_OP_METRICS",
        "COUNTERFACTUAL_DELTA",
        "EPOCH_COMPLETED",
        "SEED_PRUNED",
        "EPISODE_OUTCOME",
        "TRAINING_FINISHED",
    ]


def test_a_decision_carries_the_state_before_it_and_the_epoch_just_completed(sink, recorder):
    recorder.decision(
        0,
        "r0c0",
        GROW,
        probability=0.25,
        entropy=1.5,
        legal_ops=6,
        reward=-0.5,
        intervention_cost=0.005,
        op_probs={"GROW_INTERNAL": 0.5},
        slot_probs={"r0c0": 0.5},
        value_estimate=0.1,
    )
    (event,) = sink.events
    assert (event.env, event.slot_id, event.epoch) == (0, "r0c0", 1)
    payload = event.payload
    assert (payload.action_name, payload.inner_epoch, payload.episode_idx) == ("GROW_INTERNAL", 1, 0)
    assert (payload.loss_before, payload.accuracy_before, payload.params_before) == (1.0, 0.5, 1000)
    assert (payload.level_before, payload.ladder_present, payload.blueprint_id) == (1, True, "conv_ladder")
    assert (payload.op_probability, payload.op_entropy, payload.legal_ops) == (0.25, 1.5, 6)
    assert (payload.reward, payload.intervention_cost) == (-0.5, 0.005)
    assert (payload.op_probs, payload.slot_probs) == ({"GROW_INTERNAL": 0.5}, {"r0c0": 0.5})


def test_the_intervention_cost_is_the_recorders_for_internal_ops_and_0_for_others(sink):
    recorder = InternalOpRecorder(sink, intervention_cost=0.005)
    for op in (GROW, NOOP, LifecycleOp.PRUNE):
        recorder.decision(0, None, op, reward=0.0)
    recorder.decision(0, None, GROW, reward=0.0, intervention_cost=0.1)
    assert [event.payload.intervention_cost for event in sink.events] == [0.005, 0.0, 0.0, 0.1]


@pytest.mark.parametrize(("level", "max_level", "present"), [(None, None, False), (0, 1, True), (3, 4, True)])
def test_a_decision_says_whether_any_seed_has_a_ladder(sink, level, max_level, present):
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", level, max_level)
    recorder.decision(0, "r0c9", NOOP, reward=0.0)
    assert sink.events[-1].payload.ladder_present is present


def test_a_decision_without_a_reward_is_held_until_the_epoch_brings_it(sink, recorder):
    recorder.decision(0, "r0c0", GROW)
    recorder.level_changed(0, "r0c0", 1, 2)
    assert "ANALYTICS_SNAPSHOT" not in sink.types
    recorder.epoch_end(0, 2, 0.9, 0.6, reward=-0.9)
    assert sink.types[-3:] == ["ANALYTICS_SNAPSHOT", "COUNTERFACTUAL_DELTA", "EPOCH_COMPLETED"]
    (held,) = sink.of_type(T.ANALYTICS_SNAPSHOT)
    assert held.epoch == 1
    assert (held.payload.reward, held.payload.inner_epoch, held.payload.level_before) == (-0.9, 1, 1)


@pytest.mark.parametrize("how", ["epoch_end", "episode_end", "training_finished", "leaving", "failing"])
def test_a_held_decision_is_never_lost(sink, how):
    recorder = InternalOpRecorder(sink)
    recorder.decision(0, None, NOOP)
    match how:
        case "epoch_end":
            recorder.epoch_end(0, 1, 0.5, 0.5)
        case "episode_end":
            recorder.episode_end(0)
        case "training_finished":
            recorder.training_finished()
        case "leaving":
            with recorder:
                pass
        case "failing":
            with pytest.raises(KeyError), recorder:
                raise KeyError
    (held,) = sink.of_type(T.ANALYTICS_SNAPSHOT)
    assert held.payload.reward is None
    assert sink.types[0] == "ANALYTICS_SNAPSHOT"


def test_one_reward_for_several_decisions_counts_once_in_the_episodes(sink):
    recorder = InternalOpRecorder(sink)
    for epoch in (1, 2):
        recorder.decision(0, "r0c0", NOOP)
        recorder.decision(0, "r0c1", NOOP)
        recorder.decision(0, "r0c2", NOOP, reward=10.0)
        recorder.epoch_end(0, epoch, 0.5, 0.5, reward=1.0)
    recorder.episode_end(0)
    assert sink.events[-1].payload.episode_reward == 22.0
    rewards = [event.payload.reward for event in sink.of_type(T.ANALYTICS_SNAPSHOT)]
    assert sorted(rewards) == [1.0] * 4 + [10.0] * 2


def test_a_level_change_says_what_the_seed_is_and_its_metrics_follow_at_once(sink, recorder):
    recorder.level_changed(0, "r0c0", 1, 2, active_params=200)
    change, metrics = sink.events
    assert (change.event_type, metrics.event_type) == (T.SEED_INTERNAL_LEVEL_CHANGED, T.INTERNAL_OP_METRICS)
    assert (change.slot_id, change.epoch, change.env) == ("r0c0", 1, 0)
    payload = change.payload
    assert (payload.from_level, payload.to_level, payload.max_level) == (1, 2, 4)
    assert (payload.blueprint_id, payload.internal_kind.name) == ("conv_ladder", "CONV_LADDER")
    assert (payload.active_params, payload.episode_idx) == (200, 0)
    assert (metrics.payload.n_ops, metrics.payload.net_level_change) == (1, 1.0)
    assert change.seed_id == metrics.seed_id


def test_an_episode_is_summed_up_at_its_end(sink):
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", 1, 4)
    recorder.seed_added(0, "r0c1", 1, 4)
    for epoch, (old, new) in enumerate([(1, 2), (2, 3), (3, 2)]):  # epochs may count from 0
        recorder.level_changed(0, "r0c0", old, new)
        recorder.epoch_end(0, epoch, 1 / (epoch + 1), 0.5, params=7)
    recorder.seed_removed(0, "r0c0", "policy")
    recorder.seed_removed(0, "r0c1", FOSSILIZED)
    recorder.episode_end(0, outcome="timeout")
    outcome = sink.events[-1].payload
    assert (outcome.germinate_count, outcome.prune_count, outcome.fossilize_count) == (2, 1, 1)
    assert (outcome.grow_count, outcome.shrink_count, outcome.episode_length) == (2, 1, 3)
    assert (outcome.loss, outcome.accuracy, outcome.params) == (1 / 3, 0.5, 7)
    assert outcome.outcome_type == "timeout"
    assert outcome.episode_idx == 0


def test_seeds_have_names_that_no_other_seed_of_the_rank_has(sink):
    recorder = InternalOpRecorder(sink)
    for _ in range(2):
        for env in range(3):
            for slot in ("r0c0", "r0c1"):
                recorder.seed_added(env, slot)
                recorder.seed_removed(env, slot)
                recorder.seed_added(env, slot)
            recorder.episode_end(env)
    planted = sink.of_type(T.SEED_GERMINATED)
    assert len({event.seed_id for event in planted}) == len(planted) == 24
    recorder.seed_added(0, "r0c0", seed_id="mine")
    recorder.stage_changed(0, "r0c0", "TRAINING", "BLENDING", accuracy_delta=0.1)
    assert [event.seed_id for event in sink.events[-2:]] == ["mine", "mine"]


def test_training_finished_is_written_once_and_only_after_a_clean_end(sink):
    with InternalOpRecorder(sink):
        pass
    assert sink.types == []
    recorder = InternalOpRecorder(sink)
    recorder.training_started()
    with pytest.raises(KeyError), recorder:
        raise KeyError
    assert sink.types == ["TRAINING_STARTED"]
    with InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        recorder.episode_end(0)
        recorder.training_finished("stopped early")
    assert sink.types[1:] == ["TRAINING_STARTED", "EPISODE_OUTCOME", "TRAINING_FINISHED"]
    assert (sink.events[-1].payload.outcome, sink.events[-1].payload.episodes_completed) == (
        "stopped early",
        1,
    )


# Metrics.


def test_environments_that_only_grow_and_ones_that_only_shrink_a_slot_reverse_nowhere(sink):
    recorder = InternalOpRecorder(sink)
    for env in range(4):
        recorder.seed_added(env, "r0c0", 0 if env < 2 else 8, 8)
    for step in range(8):
        for env in range(4):
            if env < 2:
                recorder.level_changed(env, "r0c0", step, step + 1)
            else:
                recorder.level_changed(env, "r0c0", 8 - step, 7 - step)
    metrics = [event.payload for event in sink.of_type(T.INTERNAL_OP_METRICS)]
    assert len(metrics) == 32
    assert {payload.reversal_rate for payload in metrics} == {0.0}


@pytest.mark.parametrize("policy", ["random", "oscillate", "settle"])
def test_emitted_metrics_equal_those_recomputed_from_the_level_changes(sink, policy):
    toy_training(sink, policy=policy, n_envs=3, episodes=3, epochs=80, prune_at=40, fossilize_at=60)
    history: dict[object, list[tuple[int, int]]] = defaultdict(list)
    emitted = iter(sink.of_type(T.INTERNAL_OP_METRICS))
    for event in sink.of_type(T.SEED_INTERNAL_LEVEL_CHANGED):
        change = event.payload
        ops = history[event.env, event.slot_id, event.seed_id, change.episode_idx]
        ops.append((change.to_level - change.from_level, event.epoch))
        window = ops[-50:]
        directions = [1 if delta > 0 else -1 for delta, _ in window]
        n = len(window)
        reversals = sum(a != b for a, b in pairwise(directions))
        metrics = next(emitted)
        assert (metrics.env, metrics.slot_id, metrics.epoch) == (event.env, event.slot_id, event.epoch)
        assert metrics.payload.n_ops == n
        assert metrics.payload.internal_op_density == n / 50
        assert metrics.payload.net_level_change == sum(directions)
        assert metrics.payload.reversal_rate == (reversals / (n - 1) if n > 1 else 0.0)
        rate = n / (window[-1][1] - window[0][1] + 1) if n > 1 else None
        assert metrics.payload.internal_op_rate == rate
    assert next(emitted, None) is None


# Outcomes and their baseline.


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


# Misuse: one clear line each, before anything is written.


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


def test_numbers_of_numpy_and_torch_are_taken_as_numbers_and_keep_no_graph(sink, recorder):
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    recorder.decision(
        0,
        "r0c0",
        numpy.int64(4),
        probability=torch.tensor(0.25),
        op_probs={"GROW_INTERNAL": numpy.float32(0.5)},
    )
    recorder.level_changed(0, "r0c0", numpy.int64(1), numpy.int64(2), active_params=torch.tensor(7))
    loss = torch.tensor(0.5, requires_grad=True) * 2
    recorder.epoch_end(0, numpy.int64(2), loss, numpy.float64(0.5), reward=torch.tensor(-1.0))
    json.dumps(recorder.state_dict())
    for event in sink.events:
        for name in event.payload.__struct_fields__:
            assert type(getattr(event.payload, name)).__module__ in ("builtins", "esper.leyline.actions")


# Checkpoints.

STEP = st.tuples(
    st.sampled_from(["decide", "reward", "level", "plant", "prune", "fossilize", "epoch", "episode", "keep"]),
    st.integers(0, 1),
    st.integers(0, 2),
)


def play(recorder: InternalOpRecorder, steps: list[tuple[str, int, int]], start: int = 0) -> None:
    """Make the report of each step, leaving out those that can't be."""
    for number, (kind, env, at) in enumerate(steps, start):
        state, slot = recorder._env(env), f"r0c{at}"
        seed = state.slots.get(slot)
        match kind:
            case "decide":
                recorder.decision(
                    env, slot, list(LifecycleOp)[number % 6], probability=0.1, entropy=number / 7
                )
            case "reward":
                recorder.decision(env, None, NOOP, reward=number / 3)
            case "level" if seed is not None:
                recorder.level_changed(env, slot, seed.level, (seed.level + 1 + number % 4) % 5)
            case "plant" if seed is None:
                recorder.seed_added(env, slot, number % 5, 4, params=number)
            case "prune" | "fossilize" if seed is not None:
                recorder.seed_removed(env, slot, "policy" if kind == "prune" else FOSSILIZED)
            case "epoch":
                loss = math.nan if number % 11 == 10 else 1 / (1 + number)
                recorder.epoch_end(env, state.epoch + 1, loss, number / 100, reward=-loss)
            case "episode" | "keep":
                recorder.episode_end(env, keep_seeds=kind == "keep")


@settings(max_examples=150)
@given(st.lists(STEP, max_size=80), st.data())
def test_a_recorder_restored_at_any_point_goes_on_as_if_nothing_had_happened(steps, data):
    cut = data.draw(st.integers(0, len(steps)))
    whole, first, second = ListSink(), ListSink(), ListSink()
    uninterrupted, before, after = (
        InternalOpRecorder(sink, window_size=5, intervention_cost=0.01) for sink in (whole, first, second)
    )
    play(uninterrupted, steps)
    play(before, steps[:cut])
    after.seed_added(0, "forgotten", 1, 2)
    second.events.clear()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    play(after, steps[cut:], start=cut)
    assert repr(first.events + second.events) == repr(whole.events)  # repr: a NaN equals itself there
    assert repr(after.state_dict()) == repr(uninterrupted.state_dict())
    assert after.superseded_ops == uninterrupted.superseded_ops


def test_a_saved_state_does_not_change_when_the_training_goes_on(sink, recorder):
    recorder.decision(0, "r0c0", GROW)
    recorder.level_changed(0, "r0c0", 1, 2)
    saved = recorder.state_dict()
    copy = json.dumps(saved)
    recorder.epoch_end(0, 2, 0.5, 0.5, reward=1.0)
    recorder.level_changed(0, "r0c0", 2, 1)
    recorder.episode_end(0)
    assert json.dumps(saved) == copy


def test_the_trackers_windows_are_as_large_as_asked_for(sink):
    recorder = InternalOpRecorder(sink, window_size=3)
    recorder.seed_added(0, "r0c0", 0, 9)
    for level in range(9):
        recorder.level_changed(0, "r0c0", level, level + 1)
    assert [event.payload.n_ops for event in sink.of_type(T.INTERNAL_OP_METRICS)] == [
        1,
        2,
        3,
        3,
        3,
        3,
        3,
        3,
        3,
    ]
    assert isinstance(recorder._env(0).tracker, InternalOpTracker)
