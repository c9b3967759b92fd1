"""The trackers against the seed's formulas, written here once more and naively."""

from __future__ import annotations

import json
import math
import random
from collections import OrderedDict, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.leyline import LifecycleOp
from esper.simic.training.counterfactual_tracker import CounterfactualTracker, RunningMean
from esper.simic.training.internal_op_tracker import InternalOpTracker

GROW, SHRINK = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL


class NaiveTracker:
    """The seed's text: keep the window, count it all again after each op. The least recently used goes."""

    def __init__(self, window_size: int, max_slots: int) -> None:
        self.window_size = window_size
        self.max_slots = max_slots
        self.ops: OrderedDict[str, deque[tuple[int, int | None]]] = OrderedDict()

    def record(self, slot: str, op: LifecycleOp, epoch: int | None) -> dict[str, float | None]:
        if slot not in self.ops and len(self.ops) >= self.max_slots:
            self.ops.popitem(last=False)
        self.ops.setdefault(slot, deque(maxlen=self.window_size)).append((1 if op == GROW else -1, epoch))
        self.ops.move_to_end(slot)
        return self.metrics(slot)

    def metrics(self, slot: str) -> dict[str, float | None]:
        ops = [direction for direction, _ in self.ops[slot]]
        epochs = [epoch for _, epoch in self.ops[slot]]
        reversals = sum(1 for i in range(1, len(ops)) if ops[i] != ops[i - 1])
        rate = None
        if len(ops) > 1 and epochs[0] is not None and epochs[-1] is not None and epochs[-1] >= epochs[0]:
            rate = len(ops) / (epochs[-1] - epochs[0] + 1)
        return {
            "internal_op_density": len(ops) / self.window_size,
            "net_level_change": float(sum(ops)),
            "reversal_rate": 0.0 if len(ops) < 2 else reversals / (len(ops) - 1),
            "internal_op_rate": rate,
            "n_ops": len(ops),
            "window_size": self.window_size,
        }


def compare(seed: int, n_ops: int, window_size: int, max_slots: int, n_slots: int) -> int:
    """Run both trackers on random operations; returns how many slots were evicted."""
    rng = random.Random(seed)
    naive, tracker = NaiveTracker(window_size, max_slots), InternalOpTracker(window_size, max_slots)
    epoch, evicted = 0, 0
    for _ in range(n_ops):
        choice = rng.random()
        slot = f"r0c{rng.randrange(n_slots)}"
        if choice < 0.004:
            naive.ops.pop(slot, None)
            tracker.clear_slot(slot)
        elif choice < 0.0044:
            naive.ops.clear()
            tracker.reset()
            epoch = 0
        elif choice < 0.005:
            restored = InternalOpTracker(window_size, max_slots)
            restored.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
            tracker = restored
        else:
            op, level = rng.choice((GROW, SHRINK)), rng.randrange(1, 8)
            to_level = level + (1 if op == GROW else -1)
            at = None if rng.random() < 0.02 else epoch
            known = len(naive.ops)
            expected = naive.record(slot, op, at)
            evicted += slot in naive.ops and known == max_slots == len(naive.ops)
            assert tracker.record_internal_op(slot, op, level, to_level, epoch=at) == expected
            epoch += rng.randrange(3)
        assert list(tracker.state_dict()) == list(naive.ops)
    for slot in naive.ops:
        assert tracker._compute_metrics(slot) == naive.metrics(slot)
    return evicted


@pytest.mark.parametrize(
    ("window_size", "max_slots", "n_slots"),
    [(50, 256, 40), (50, 4, 9), (7, 3, 5), (2, 2, 3), (1, 1, 2)],
)
def test_the_tracker_equals_the_seeds_formula_on_100000_random_operations(window_size, max_slots, n_slots):
    evicted = compare(window_size, 100_000 // 5, window_size, max_slots, n_slots)
    assert (evicted > 0) == (n_slots > max_slots)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(1, 60), st.integers(1, 12), st.integers(1, 12))
def test_it_does_so_for_any_window_and_any_number_of_slots(seed, n_ops, window_size, max_slots, n_slots):
    compare(seed, n_ops, window_size, max_slots, n_slots)


def test_a_single_op_is_no_reversal_and_has_no_rate():
    tracker = InternalOpTracker(window_size=10)
    assert tracker.record_internal_op("r0c0", SHRINK, 2, 1, epoch=3) == {
        "internal_op_density": 0.1,
        "net_level_change": -1.0,
        "reversal_rate": 0.0,
        "internal_op_rate": None,
        "n_ops": 1,
        "window_size": 10,
    }


def test_density_reaches_1_and_stays_while_the_rate_tells_how_often_the_policy_acts():
    tracker = InternalOpTracker(window_size=5)
    for epoch in range(0, 100, 10):
        metrics = tracker.record_internal_op("r0c0", GROW, 0, 1, epoch=epoch)
    assert metrics["internal_op_density"] == 1.0
    assert metrics["internal_op_rate"] == 5 / 41


def test_slots_do_not_mix():
    tracker = InternalOpTracker()
    for _ in range(10):
        tracker.record_internal_op("r0c0", GROW, 0, 1)
        tracker.record_internal_op("r0c1", SHRINK, 1, 0)
    assert tracker._compute_metrics("r0c0")["reversal_rate"] == 0.0
    assert tracker._compute_metrics("r0c1")["net_level_change"] == -10.0


@pytest.mark.parametrize(
    ("op", "from_level", "to_level", "text"),
    [
        (GROW, 1, 1, "GROW_INTERNAL left the level at 1"),
        (SHRINK, 0, 0, "SHRINK_INTERNAL left the level at 0"),
        (GROW, 2, 1, "GROW_INTERNAL must end above level 2, not at 1"),
        (SHRINK, 1, 2, "SHRINK_INTERNAL must end below level 1, not at 2"),
        (LifecycleOp.NOOP, 1, 2, "NOOP is not an internal op"),
        (LifecycleOp.PRUNE, 1, 0, "PRUNE is not an internal op"),
    ],
)
def test_an_op_that_contradicts_its_levels_is_refused_and_leaves_no_trace(op, from_level, to_level, text):
    tracker = InternalOpTracker()
    tracker.record_internal_op("r0c0", GROW, 0, 1)
    before = tracker.state_dict()
    with pytest.raises(ValueError, match=text) as caught:
        tracker.record_internal_op("r0c0", op, from_level, to_level)
    assert "'r0c0'" in str(caught.value)
    assert tracker.state_dict() == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"window_size": 0}, "window_size .* not 0"), ({"max_slots": -1}, "max_slots .* not -1")],
)
def test_sizes_below_1_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        InternalOpTracker(**arguments)


def test_a_slot_without_an_op_has_no_metrics():
    tracker = InternalOpTracker()
    tracker.clear_slot("r0c0")
    with pytest.raises(KeyError):
        tracker._compute_metrics("r0c0")


# RunningMean.


def test_the_mean_starts_at_its_first_sample_and_moves_by_alpha():
    mean = RunningMean(alpha=0.25)
    assert (mean.value, mean.count) == (0.0, 0)
    for sample in (8.0, 4.0, 0.0):
        mean.update(sample)
    assert mean.value == pytest.approx(0.75 * (0.75 * 8 + 0.25 * 4))
    assert mean.count == 3
    mean.reset()
    assert (mean.value, mean.count) == (0.0, 0)


@pytest.mark.parametrize(("samples", "weight"), [(10, 0.91), (100, 0.37)])
def test_the_first_sample_still_weighs_what_the_warm_up_filters_are_there_for(samples, weight):
    mean = RunningMean()
    mean.update(1.0)
    for _ in range(samples - 1):
        mean.update(0.0)
    assert mean.value == pytest.approx(weight, abs=0.005)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_skipped_and_not_counted(bad):
    mean = RunningMean()
    mean.update(bad)
    mean.update(2.0)
    mean.update(bad)
    assert (mean.value, mean.count) == (2.0, 1)


# CounterfactualTracker.


def start(tracker: CounterfactualTracker, slot: str = "r0c0", env: int = 0, epoch: int = 10, **over) -> None:
    fields = {
        "op": GROW,
        "from_level": 1,
        "to_level": 2,
        "loss": 0.5,
        "accuracy": 0.7,
        "params": 1000,
        "op_probability": 0.2,
    }
    tracker.record_op_start(slot, env, epoch, **fields | over)


def test_an_outcome_says_what_changed_since_the_op():
    tracker = CounterfactualTracker()
    start(tracker)
    payload = tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1500, epoch=13)
    assert payload.epochs_elapsed == 3
    assert (payload.op, payload.from_level, payload.to_level, payload.epoch) == (4, 1, 2, 10)
    assert (payload.loss_before, payload.loss_after) == (0.5, 0.4)
    assert (payload.accuracy_before, payload.accuracy_after) == (0.7, 0.75)
    assert (payload.params_before, payload.params_after) == (1000, 1500)
    assert payload.op_probability == 0.2
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1500, epoch=14) is None


@pytest.mark.parametrize("epoch", [9, 10])
def test_before_the_next_epoch_there_is_no_outcome_and_the_op_stays_pending(epoch):
    tracker = CounterfactualTracker()
    start(tracker)
    assert tracker.record_op_outcome("r0c0", 0, 0.1, 0.1, 1, epoch=epoch) is None
    assert tracker.pending_slots(0) == ["r0c0"]
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1, epoch=11).epochs_elapsed == 1


def test_without_an_epoch_the_outcome_is_taken_as_the_seed_takes_it():
    tracker = CounterfactualTracker()
    start(tracker)
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1).epochs_elapsed is None


def test_a_second_op_on_a_pending_slot_supersedes_the_first_and_is_counted():
    tracker = CounterfactualTracker()
    start(tracker)
    start(tracker, op=SHRINK, from_level=2, to_level=1, loss=0.6)
    payload = tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1, epoch=11)
    assert (payload.op, payload.loss_before) == (int(SHRINK), 0.6)
    assert tracker.superseded_ops == 1


def test_slots_and_environments_are_kept_apart():
    tracker = CounterfactualTracker()
    for slot in ("r0c0", "r0c1"):
        for env in (0, 1):
            start(tracker, slot, env)
    assert tracker.superseded_ops == 0
    tracker.clear_slot("r0c0", 1)
    assert tracker.pending_slots(1) == ["r0c1"]
    tracker.clear_env(0)
    assert tracker.pending_slots(0) == []
    assert tracker.record_op_outcome("r0c1", 1, 0.4, 0.75, 1) is not None


def test_the_baseline_is_what_noops_did_before_the_outcome():
    tracker = CounterfactualTracker()
    start(tracker)
    for _ in range(3):
        tracker.record_noop_outcome(loss_delta=-0.01, accuracy_delta=0.02)
    payload = tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1)
    assert payload.baseline_loss_delta == pytest.approx(-0.01)
    assert payload.baseline_accuracy_delta == pytest.approx(0.02)
    assert payload.baseline_sample_count == 3


def test_a_diverging_noop_does_not_poison_the_baseline():
    tracker = CounterfactualTracker()
    tracker.record_noop_outcome(-0.01, 0.02)
    tracker.record_noop_outcome(math.nan, math.nan)
    start(tracker, loss=math.nan)
    payload = tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1)
    assert payload.baseline_loss_delta == -0.01
    assert payload.baseline_sample_count == 1
    assert math.isnan(payload.loss_delta)


def test_clearing_an_environment_keeps_the_baseline_and_a_reset_forgets_everything():
    tracker = CounterfactualTracker()
    tracker.record_noop_outcome(-0.01, 0.02)
    start(tracker)
    start(tracker)
    tracker.clear_env(0)
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1) is None
    start(tracker)
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1).baseline_sample_count == 1
    start(tracker)
    tracker.reset()
    assert tracker.pending_slots(0) == []
    assert tracker.superseded_ops == 0
    start(tracker)
    assert tracker.record_op_outcome("r0c0", 0, 0.4, 0.75, 1).baseline_sample_count == 0


def test_a_tracker_restored_from_its_state_goes_on_as_the_other_does():
    tracker, restored = CounterfactualTracker(), CounterfactualTracker()
    tracker.record_noop_outcome(-0.01, 0.02)
    start(tracker)
    start(tracker)
    start(tracker, "r0c1", 1, epoch=3)
    start(restored, "other")
    restored.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
    for slot, env in (("r0c0", 0), ("r0c1", 1), ("other", 0)):
        outcomes = [each.record_op_outcome(slot, env, 0.1, 0.2, 3, epoch=20) for each in (tracker, restored)]
        assert outcomes[0] == outcomes[1]
    assert restored.superseded_ops == 1
