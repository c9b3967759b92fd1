"""The vectorised counterfactual tracker beside the scalar one, told of the same ops."""

from __future__ import annotations

import io
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.leyline import LifecycleOp, TelemetryUsageError
from esper.simic.training.counterfactual_tracker import CounterfactualTracker, RunningMean
from esper.simic.vectorised.counterfactual import VectorCounterfactualTracker
from esper.simic.vectorised.running_mean import VectorRunningMean

SLOTS = ("r0c0", "r0c1", "r1c0")
BASELINES = ("baseline_loss_delta", "baseline_accuracy_delta")


def loss(rng: random.Random) -> float:
    return rng.choice((rng.uniform(-5, 5), rng.uniform(-5, 5), math.nan, math.inf, -math.inf))


class Both:
    """A vectorised tracker and the scalar one that it must equal."""

    def __init__(self, n_envs: int, rng: random.Random) -> None:
        self.n_envs, self.rng = n_envs, rng
        self.vector = VectorCounterfactualTracker(n_envs, SLOTS)
        self.scalar = CounterfactualTracker()

    def mask(self, chance: float) -> list[list[bool]]:
        return [[self.rng.random() < chance for _ in SLOTS] for _ in range(self.n_envs)]

    def numbers(self) -> list[float]:
        return [loss(self.rng) for _ in range(self.n_envs)]

    def epochs(self, epoch: int) -> list[int]:
        return [epoch + self.rng.randrange(2) for _ in range(self.n_envs)]

    def start(self, epoch: int) -> None:
        mask, at, losses, accuracies = self.mask(0.4), self.epochs(epoch), self.numbers(), self.numbers()
        old = [[self.rng.randrange(4) for _ in SLOTS] for _ in mask]
        new = [[level + self.rng.choice((-1, 1)) for level in row] for row in old]
        params = (
            [[self.rng.randrange(1000) for _ in SLOTS] for _ in mask] if self.rng.random() < 0.8 else None
        )
        probability = [self.rng.random() for _ in mask] if self.rng.random() < 0.8 else None
        self.vector.record_op_start(
            torch.tensor(mask),
            torch.tensor(at),
            torch.tensor(old),
            torch.tensor(new),
            torch.tensor(losses, dtype=torch.float64),
            torch.tensor(accuracies, dtype=torch.float64),
            None if params is None else torch.tensor(params),
            op_probability=None if probability is None else torch.tensor(probability, dtype=torch.float64),
        )
        for env, slot in self.places(mask):
            before, after = old[env][slot], new[env][slot]
            self.scalar.record_op_start(
                SLOTS[slot],
                env,
                at[env],
                LifecycleOp.from_levels(before, after),
                before,
                after,
                losses[env],
                accuracies[env],
                None if params is None else params[env][slot],
                op_probability=None if probability is None else probability[env],
            )

    def outcome(self, epoch: int) -> None:
        losses, accuracies, params = self.numbers(), self.numbers(), self.rng.randrange(1000)
        at = None if self.rng.random() < 0.1 else self.epochs(epoch)
        in_it = [self.rng.random() < 0.8 for _ in losses]
        found = self.vector.record_op_outcome(
            torch.tensor(losses, dtype=torch.float64),
            torch.tensor(accuracies, dtype=torch.float64),
            torch.full((self.n_envs,), params),
            epoch=None if at is None else torch.tensor(at),
            env_mask=torch.tensor(in_it),
        )
        for env, slot in self.places([[True] * len(SLOTS)] * self.n_envs):
            payload = None
            if in_it[env]:
                when = None if at is None else at[env]
                payload = self.scalar.record_op_outcome(
                    SLOTS[slot], env, losses[env], accuracies[env], params, epoch=when
                )
            assert bool(found["mask"][env, slot]) == (payload is not None)
            if payload is not None:
                for name in payload.__struct_fields__:
                    if name not in ("slot_id", "env_id", "episode_idx"):
                        self.compare(name, getattr(payload, name), found, env, slot)

    def compare(
        self, name: str, expected: object, found: dict[str, torch.Tensor], env: int, slot: int
    ) -> None:
        if name == "epochs_elapsed" and expected is None:
            assert name not in found
            return
        tensor = found[name]
        value = (tensor[env, slot] if tensor.dim() else tensor).item()
        if name == "params_before" and expected is None:
            assert not found["has_params_before"][env, slot]
        elif name == "op_probability" and expected is None:
            assert math.isnan(value)
        elif name in BASELINES:
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-13)
        else:
            assert value == expected or (math.isnan(value) and math.isnan(expected)), name

    def noops(self) -> None:
        mask, losses, accuracies = [row[0] for row in self.mask(0.6)], self.numbers(), self.numbers()
        self.vector.record_noop_outcome(
            torch.tensor(losses, dtype=torch.float64),
            torch.tensor(accuracies, dtype=torch.float64),
            torch.tensor(mask),
        )
        for env, left_alone in enumerate(mask):
            if left_alone:
                self.scalar.record_noop_outcome(losses[env], accuracies[env])

    def clear(self) -> None:
        if self.rng.random() < 0.5:
            mask = self.mask(0.3)
            self.vector.clear_slot(torch.tensor(mask))
            for env, slot in self.places(mask):
                self.scalar.clear_slot(SLOTS[slot], env)
        else:
            ended = [self.rng.random() < 0.3 for _ in range(self.n_envs)]
            self.vector.clear_env(torch.tensor(ended))
            for env, over in enumerate(ended):
                if over:
                    self.scalar.clear_env(env)

    def restore(self) -> None:
        file = io.BytesIO()
        torch.save(self.vector.state_dict(), file)
        file.seek(0)
        self.vector = VectorCounterfactualTracker(self.n_envs, SLOTS)
        self.vector.load_state_dict(torch.load(file, weights_only=True))

    def places(self, mask: list[list[bool]]) -> list[tuple[int, int]]:
        return [(env, slot) for env, row in enumerate(mask) for slot, wanted in enumerate(row) if wanted]

    def check(self) -> None:
        pending = [
            [SLOTS[s] in self.scalar.pending_slots(env) for s in range(3)] for env in range(self.n_envs)
        ]
        assert self.vector.pending.tolist() == pending
        assert self.vector.superseded_ops == self.scalar.superseded_ops


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(0, 40))
def test_it_equals_the_scalar_tracker_on_any_history(seed, n_envs, steps):
    rng = random.Random(seed)
    both = Both(n_envs, rng)
    for epoch in range(steps):
        choice = rng.random()
        if choice < 0.35:
            both.start(epoch)
        elif choice < 0.6:
            both.outcome(epoch)
        elif choice < 0.85:
            both.noops()
        elif choice < 0.95:
            both.clear()
        elif choice < 0.98:
            both.restore()
        else:
            both.vector.reset()
            both.scalar.reset()
        both.check()


@pytest.mark.parametrize("n", [1, 7, 4096, 200_000])
def test_the_mean_of_many_samples_is_that_of_taking_them_one_after_the_other(n):
    generator = torch.Generator().manual_seed(n)
    scalar, vector = RunningMean(), VectorRunningMean()
    for _ in range(3):
        samples = torch.randn(n, generator=generator, dtype=torch.float64) + 1
        samples[torch.rand(n, generator=generator) < 0.2] = math.nan
        mask = torch.rand(n, generator=generator) < 0.7
        vector.update(samples, mask)
        for sample in samples[mask].tolist():
            scalar.update(sample)
        assert vector.count == scalar.count
        assert vector.value.item() == pytest.approx(scalar.value, rel=1e-12)


def test_samples_that_are_all_left_out_change_nothing():
    mean = VectorRunningMean()
    mean.update(torch.tensor([2.0, 8.0], dtype=torch.float64), torch.tensor([True, False]))
    mean.update(torch.tensor([math.nan, 8.0], dtype=torch.float64), torch.tensor([True, False]))
    assert (mean.value, mean.count) == (2.0, 1)


def test_one_epoch_may_stand_for_all_environments():
    tracker = VectorCounterfactualTracker(2, SLOTS)
    ones, level = torch.ones(2), torch.ones(2, 3, dtype=torch.int64)
    tracker.record_op_start(torch.ones(2, 3, dtype=torch.bool), 3, level, level + 1, ones, ones)
    assert not tracker.record_op_outcome(ones, ones, epoch=3)["mask"].any()
    outcome = tracker.record_op_outcome(ones, ones, epoch=5)
    assert outcome["mask"].all()
    assert outcome["epochs_elapsed"].tolist() == [[2] * 3] * 2
    assert "params_after" not in outcome


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mask": torch.ones(3, 2, dtype=torch.bool)}, r"mask must be .* \[2, 3\] .* not bool \[3, 2\]"),
        ({"loss": torch.ones(2, dtype=torch.int64)}, "loss must be a tensor of floats"),
        ({"to_level": torch.ones(2, 3)}, "to_level must be a tensor of integers"),
        ({"params": torch.ones(3, dtype=torch.int64)}, r"params .* shape \[2\] or \[2, 3\]"),
        ({"accuracy": torch.ones(2, device="meta")}, "on cpu, not float32 .* on meta"),
        ({"epoch": torch.ones(2)}, "epoch must be a tensor of integers"),
    ],
)
def test_a_wrong_shape_dtype_or_device_is_refused_and_leaves_no_trace(change, text):
    tracker = VectorCounterfactualTracker(2, SLOTS)
    level = torch.ones(2, 3, dtype=torch.int64)
    fields = {
        "mask": torch.ones(2, 3, dtype=torch.bool),
        "epoch": 1,
        "from_level": level,
        "to_level": level + 1,
        "loss": torch.ones(2),
        "accuracy": torch.ones(2),
    }
    with pytest.raises(TelemetryUsageError, match=text):
        tracker.record_op_start(**fields | change)
    assert not tracker.pending.any()


def test_a_state_of_another_size_is_refused():
    with pytest.raises(TelemetryUsageError, match="not of 2 environments with 3 slots"):
        VectorCounterfactualTracker(2, SLOTS).load_state_dict(
            VectorCounterfactualTracker(3, SLOTS).state_dict()
        )
