"""The recorder: what it emits, in which order, and what it forgets when."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

import pytest

from esper.leyline import LifecycleOp, TelemetryEventType
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder
from support import toy_training

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


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
    assert sink.types == ["TRAINING_STARTED", "TRAINING_FAILED"]
    assert (sink.events[-1].payload.reason, sink.events[-1].severity) == ("KeyError", "error")
    with InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        recorder.episode_end(0)
        recorder.training_finished("stopped early")
    assert sink.types[2:] == ["TRAINING_STARTED", "EPISODE_OUTCOME", "TRAINING_FINISHED"]
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
