"""An environment: what a decision does to it, what an epoch is paid, and that it can be saved."""

from __future__ import annotations

import copy

import pytest
import torch
from event_list import tiny

from esper.kasmina import Seed
from esper.leyline import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import VALIDATION_IMAGES
from esper.simic.decisions import Decision
from esper.simic.digits import load_digits
from esper.simic.environment import Environment

NOOP = Decision(LifecycleOp.NOOP)
GROW, SHRINK = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL


class Heard:
    def __init__(self) -> None:
        self.names: list[str] = []

    def germinated(self, slot_id: str, blueprint: str, seed: Seed) -> None:
        self.names.append("germinated")

    def level_changed(self, slot_id: str, from_level: int, to_level: int, active_params: int) -> None:
        self.names.append(f"{from_level}->{to_level}")

    def stage_changed(self, slot_id: str, from_stage: str, to_stage: str) -> None:
        self.names.append(to_stage)

    def pruned(self, slot_id: str) -> None:
        self.names.append("pruned")

    def fossilized(self, slot_id: str) -> None:
        self.names.append("fossilized")


def new_env(seed: int = 1, **changes: object) -> tuple[Environment, Heard]:
    heard = Heard()
    return Environment(tiny(**changes), 0, seed, heard), heard


def on(op: LifecycleOp, slot: str = "r0c0", blueprint: str | None = None) -> Decision:
    return Decision(op, slot, blueprint)


GERMINATE = on(LifecycleOp.GERMINATE, blueprint="conv_ladder")


class TestDigits:
    def test_are_the_real_ones_split_without_overlap(self) -> None:
        digits = load_digits(1397)
        assert digits.val_images.shape == (VALIDATION_IMAGES, 1, 8, 8)
        assert digits.train_images.shape == (1397, 1, 8, 8)
        assert float(digits.train_images.min()) == 0
        assert float(digits.train_images.max()) == 1
        total = digits.train_images.sum() + digits.val_images.sum()
        assert float(total) == pytest.approx(561718 / 16)  # the sum of all pixels that scikit-learn ships

    def test_the_validation_images_do_not_depend_on_the_training_images(self) -> None:
        assert torch.equal(load_digits(32).val_images, load_digits(64).val_images)


class TestStep:
    def test_a_seed_is_planted_trained_grown_and_removed(self) -> None:
        env, heard = new_env()
        for decision in (GERMINATE, on(GROW), on(SHRINK), on(LifecycleOp.PRUNE), NOOP, GERMINATE):
            env.step(decision)
        env.step(on(LifecycleOp.FOSSILIZE))
        assert heard.names == [
            "germinated", "TRAINING", "1->2", "2->1", "pruned",
            "germinated", "TRAINING", "FOSSILIZED", "fossilized",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "decision",
        [on(GROW), on(LifecycleOp.PRUNE), on(LifecycleOp.GERMINATE, "r9c9"), on(LifecycleOp.GERMINATE, None)],
    )
    def test_an_illegal_decision_is_an_error_and_changes_nothing(self, decision: Decision) -> None:
        env, heard = new_env()
        before = env.observe()
        with pytest.raises(TelemetryUsageError, match="is not legal now"):
            env.step(decision)
        assert env.observe() == before
        assert heard.names == []

    def test_training_moves_host_and_active_seed_but_no_inactive_block(self) -> None:
        env, _ = new_env()
        env.step(GERMINATE)
        env.step(NOOP)
        before = {name: weight.clone() for name, weight in env.host.state_dict().items()}
        env.step(NOOP)
        moved = {
            name for name, weight in env.host.state_dict().items() if not torch.equal(weight, before[name])
        }
        assert {"head.weight", "stages.0.weight", "slots.r0c0.seed.proj.weight"} <= moved
        assert "slots.r0c0.seed.blocks.0.weight" in moved
        assert not any("blocks.1" in name for name in moved)

    def test_it_learns(self) -> None:
        env, _ = new_env(channels=8, train_images=512, batch_size=64)
        untrained = env.accuracy
        for _ in range(8):
            outcome = env.step(NOOP)
        assert untrained < 0.25
        assert outcome.accuracy > 0.5

    def test_torchs_global_random_numbers_are_left_alone(self) -> None:
        before = torch.get_rng_state()
        env, _ = new_env()
        env.step(GERMINATE)
        env.reset()
        assert torch.equal(torch.get_rng_state(), before)


class TestReward:
    def test_is_the_accuracy_gained_less_cost_and_rent(self) -> None:
        env, _ = new_env(intervention_cost=0.25, param_rent=0.5)
        for decision, cost in [(NOOP, 0), (GERMINATE, 0), (on(GROW), 0.25), (on(SHRINK), 0.25), (NOOP, 0)]:
            before = env.accuracy
            outcome = env.step(decision)
            own = env.host.own_param_count
            rent = 0.5 * (outcome.params - own) / own
            assert outcome.reward == pytest.approx(outcome.accuracy - before - cost - rent)
            assert (rent > 0) == (env.observe().slots[0].blueprint is not None)


class TestObservation:
    def test_remembers_what_was_done_to_a_slot(self) -> None:
        env, _ = new_env()
        env.step(NOOP)
        env.step(GERMINATE)
        env.step(NOOP)
        env.step(on(SHRINK))
        env.step(on(GROW))
        view = env.observe().slots[0]
        losses = env.observe().losses
        assert (view.level, view.age, view.last_direction, view.epochs_since_op) == (1, 4, 1, 1)
        assert (view.loss_at_birth, view.loss_at_op, view.regrown) == (losses[1], losses[4], True)
        assert (env.observe().epoch, len(losses)) == (5, 6)

    def test_the_mask_lists_ops_with_their_slots(self) -> None:
        env, _ = new_env(n_slots=2)
        env.step(GERMINATE)
        assert env.observe().legal() == {
            LifecycleOp.NOOP: [],
            LifecycleOp.GERMINATE: ["r0c1"],
            LifecycleOp.PRUNE: ["r0c0"],
            LifecycleOp.FOSSILIZE: ["r0c0"],
            GROW: ["r0c0"],
            SHRINK: ["r0c0"],
        }

    def test_a_reset_forgets_everything(self) -> None:
        env, _ = new_env()
        env.step(GERMINATE)
        env.reset()
        observation = env.observe()
        assert observation.epoch == 0
        assert all(view.blueprint is None and view.age == 0 for view in observation.slots)


class TestSaving:
    def test_a_restored_environment_goes_on_exactly_as_the_first_would_have(self) -> None:
        env, _ = new_env()
        env.step(GERMINATE)
        env.step(on(LifecycleOp.GERMINATE, "r0c2", "conv_light"))
        env.step(on(GROW))
        env.step(on(LifecycleOp.FOSSILIZE, "r0c2"))
        saved = copy.deepcopy(env.state_dict())
        other, heard = new_env(seed=2)
        other.load_state_dict(saved)
        assert heard.names == []
        assert other.observe() == env.observe()
        rest = [NOOP, on(LifecycleOp.PRUNE), GERMINATE, on(GROW), NOOP]
        assert [other.step(decision) for decision in rest] == [env.step(decision) for decision in rest]
