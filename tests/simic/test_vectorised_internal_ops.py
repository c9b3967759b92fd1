"""The vectorised tracker beside one scalar tracker for each environment, fed the same ops."""

from __future__ import annotations

import io
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.leyline import LifecycleOp, TelemetryUsageError
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.vectorised.internal_ops import VectorInternalOpTracker

SLOTS = ("r0c0", "r0c1", "r1c0")
NO_OP = {
    "internal_op_density": 0.0,
    "net_level_change": 0.0,
    "reversal_rate": 0.0,
    "internal_op_rate": None,
    "n_ops": 0,
}


class Both:
    """A vectorised tracker and the scalar ones that it must equal."""

    def __init__(self, n_envs: int, window_size: int, dtype: torch.dtype) -> None:
        self.arguments = (n_envs, SLOTS, window_size)
        self.dtype = dtype
        self.vector = VectorInternalOpTracker(*self.arguments, dtype=dtype)
        self.scalar = [InternalOpTracker(window_size) for _ in range(n_envs)]

    def record(self, directions: list[list[int]], epochs: list[int | None], *, as_number: bool) -> None:
        if as_number:
            epochs = [epochs[0]] * len(epochs)
            epoch: torch.Tensor | int | None = epochs[0]
        else:
            epoch = torch.tensor([-1 if at is None else at for at in epochs])
        self.vector.record(torch.tensor(directions, dtype=torch.int8), epoch)
        for env, row in enumerate(directions):
            for slot, direction in zip(SLOTS, row, strict=True):
                if direction:
                    op = LifecycleOp.GROW_INTERNAL if direction > 0 else LifecycleOp.SHRINK_INTERNAL
                    self.scalar[env].record_internal_op(slot, op, 0, direction, epoch=epochs[env])

    def clear(self, mask: list[list[bool]]) -> None:
        self.vector.clear(torch.tensor(mask))
        for env, row in enumerate(mask):
            for slot, cleared in zip(SLOTS, row, strict=True):
                if cleared:
                    self.scalar[env].clear_slot(slot)

    def reset(self, mask: list[bool] | None) -> None:
        self.vector.reset(None if mask is None else torch.tensor(mask))
        for env, tracker in enumerate(self.scalar):
            if mask is None or mask[env]:
                tracker.reset()

    def restore(self) -> None:
        file = io.BytesIO()
        torch.save(self.vector.state_dict(), file)
        self.vector = VectorInternalOpTracker(*self.arguments, dtype=self.dtype)
        file.seek(0)
        self.vector.load_state_dict(torch.load(file, weights_only=True))

    def check(self) -> None:
        for name, tensor in self.vector.metrics.items():
            expected = [
                [
                    math.nan if value is None else value
                    for value in (
                        tracker._compute_metrics(slot)[name] if slot in tracker._windows else NO_OP[name]
                        for slot in SLOTS
                    )
                ]
                for tracker in self.scalar
            ]
            wanted = torch.tensor(expected, dtype=torch.float64).to(tensor.dtype)
            torch.testing.assert_close(
                tensor, wanted, rtol=0, atol=0, equal_nan=True, msg=f"{name}: {tensor} is not {wanted}"
            )


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0.1, 1))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("window_size", [1, 2, 5, 50])
def test_it_equals_the_scalar_trackers_on_any_history(window_size, dtype, seed, n_envs, busy):
    # Not hypothesis' own randomness: so many numbers of it are too large an example.
    rng = random.Random(seed)
    both = Both(n_envs, window_size, dtype)
    epoch = 0
    for _ in range(rng.randrange(3 * window_size + 10)):
        choice = rng.random()
        if choice < 0.03:
            both.clear([[rng.random() < 0.5 for _ in SLOTS] for _ in range(n_envs)])
        elif choice < 0.05:
            both.reset(None if choice < 0.035 else [rng.random() < 0.5 for _ in range(n_envs)])
        elif choice < 0.06:
            both.restore()
        else:
            directions = [
                [rng.choice((-1, 1)) if rng.random() < busy else 0 for _ in SLOTS] for _ in range(n_envs)
            ]
            epochs = [None if rng.random() < 0.1 else epoch + rng.randrange(3) for _ in range(n_envs)]
            both.record(directions, epochs, as_number=rng.random() < 0.5)
            epoch = 0 if rng.random() < 0.02 else epoch + rng.randrange(3)
        both.check()


def test_counts_go_on_after_the_16_bits_that_hold_them_are_full():
    both = Both(1, 5, torch.float64)
    rng = random.Random(0)

    def some_ops() -> None:
        for epoch in range(30):
            both.record([[rng.choice((-1, 0, 1)) for _ in SLOTS]], [epoch], as_number=True)
            both.check()

    some_ops()
    state = both.vector.state_dict()
    # As after 32,736 ops more, of which the ring keeps none: its places are a divisor of that.
    state["counts"][0] += 2**15 - 32
    state["start"] += 2**15 - 32
    both.vector.load_state_dict(state)
    some_ops()
    assert both.vector.state_dict()["counts"][0].min() < 0


def test_the_largest_window_is_counted_right_when_it_is_full():
    window_size = 2**15 - 2
    both = Both(1, window_size, torch.float64)
    rng = random.Random(0)
    state = both.vector.state_dict()
    for step in range(window_size + 50):
        directions = [rng.choice((-1, 1)) for _ in SLOTS]
        both.record([directions], [step], as_number=True)
    both.check()
    assert both.vector.metrics["n_ops"].tolist() == [[window_size] * 3]
    both.vector.load_state_dict(state)
    assert both.vector.metrics["n_ops"].tolist() == [[0] * 3]


def test_a_levels_change_of_any_size_is_one_op():
    tracker = VectorInternalOpTracker(1, SLOTS)
    metrics = tracker.record(torch.tensor([[3, -128, 0]], dtype=torch.int8), 1)
    assert metrics["net_level_change"].tolist() == [[1.0, -1.0, 0.0]]
    assert metrics["n_ops"].tolist() == [[1, 1, 0]]


def test_directions_may_come_with_any_strides():
    tracker = VectorInternalOpTracker(2, SLOTS)
    by_slot = torch.tensor([[1, 0], [0, 1], [-1, 0]], dtype=torch.int8)
    assert tracker.record(by_slot.T)["net_level_change"].tolist() == [[1, 0, -1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("directions", "epoch", "text"),
    [
        (torch.zeros(3, 2, dtype=torch.int8), 0, r"directions must .* \[2, 3\] .* not int8 \[3, 2\]"),
        (torch.zeros(2, 3), 0, "directions must be a tensor of integers .* not float32"),
        (torch.zeros(2, 3, dtype=torch.int64), 0, "directions must be int8, not torch.int64"),
        (torch.zeros(2, 3, dtype=torch.int8, device="meta"), 0, "on cpu, not .* on meta"),
        ([[0, 0, 0]], 0, "not a list"),
        (torch.zeros(2, 3, dtype=torch.int8), -1, "epoch must be in 0 to 8388607, not -1"),
        (torch.zeros(2, 3, dtype=torch.int8), torch.zeros(3, dtype=torch.int64), r"epoch .* shape \[2\]"),
        (torch.zeros(2, 3, dtype=torch.int8), torch.zeros(2), "epoch must be a tensor of integers"),
    ],
)
def test_a_wrong_shape_dtype_device_or_number_is_refused_and_leaves_no_trace(directions, epoch, text):
    tracker = VectorInternalOpTracker(2, SLOTS)
    tracker.record(torch.ones(2, 3, dtype=torch.int8), 0)
    before = tracker.state_dict()
    with pytest.raises(TelemetryUsageError, match=text):
        tracker.record(directions, epoch)
    for name, value in tracker.state_dict().items():
        assert name == "window_size" or torch.equal(value.nan_to_num(), before[name].nan_to_num())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_envs": 0}, "n_envs must be at least 1"),
        ({"window_size": 0}, "window_size must be at least 1"),
        ({"window_size": 32_767}, "window_size must be at most 32766"),
        ({"n_envs": 100_000_000}, "are too many for one tracker"),
        ({"slot_ids": ("a", "a")}, "names that differ"),
        ({"slot_ids": "r0c0"}, "a list of names"),
        ({"dtype": torch.float16}, "dtype must be float32 or float64"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, text):
    with pytest.raises(TelemetryUsageError, match=text):
        VectorInternalOpTracker(**{"n_envs": 2, "slot_ids": SLOTS} | arguments)


@pytest.mark.parametrize("other", [(3, SLOTS, 50), (2, SLOTS[:2], 50), (2, SLOTS, 40)])
def test_a_state_of_another_size_or_window_is_refused(other):
    state = VectorInternalOpTracker(*other).state_dict()
    with pytest.raises(TelemetryUsageError, match="not of 2 environments with 3 slots and a window of 50"):
        VectorInternalOpTracker(2, SLOTS, 50).load_state_dict(state)


def test_a_network_may_learn_from_the_metrics():
    with torch.inference_mode():
        tracker = VectorInternalOpTracker(2, SLOTS)
    tracker.record(torch.ones(2, 3, dtype=torch.int8), 1)
    weight = torch.ones(3, requires_grad=True)
    (tracker.metrics["internal_op_density"].clone() * weight).sum().backward()
    assert weight.grad.tolist() == pytest.approx([2 / 50] * 3)
    tracker.clear(torch.ones(2, 3, dtype=torch.bool))
    assert tracker.metrics["n_ops"].sum() == 0
