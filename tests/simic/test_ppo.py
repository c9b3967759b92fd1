"""PPO: what it says of its draws is what it learns from, and it learns."""

from __future__ import annotations

import math

import pytest
import torch
from event_list import ListSink, tiny
from hypothesis import given, settings
from test_policies import observations, view_of

from esper.leyline import LifecycleOp, TelemetryEventType
from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import PPOConfig
from esper.simic.decisions import Observation
from esper.simic.features import OPS, encode, feature_count, masks
from esper.simic.policies import make_policy
from esper.simic.ppo import PPOPolicy
from esper.simic.rollout import advantage_estimates
from esper.simic.trainer import train

GROW = LifecycleOp.GROW_INTERNAL
LADDERS = tuple(view_of(f"r0c{index}", "conv_ladder", "TRAINING", 1) for index in range(3))
SEEN = Observation(0, 4, 10, (1.0,) * 5, 0.5, LADDERS)


def ppo(seed: int = 0, **changes: object) -> PPOPolicy:
    policy = make_policy(tiny(policy="ppo", n_envs=1, **changes), seed)
    assert isinstance(policy, PPOPolicy)
    return policy


class TestFeatures:
    @given(observation=observations())
    @settings(max_examples=100, deadline=None)
    def test_are_finite_and_small_whatever_the_losses(self, observation: Observation) -> None:
        features = encode(observation)
        assert features.shape == (feature_count(len(observation.slots)),)
        assert torch.isfinite(features).all()
        assert features.abs().max() <= 20

    @given(observation=observations())
    @settings(max_examples=100, deadline=None)
    def test_the_masks_are_the_observations(self, observation: Observation) -> None:
        ops, slots = masks(observation)
        legal = observation.legal()
        assert {op for op, allowed in zip(OPS, ops.tolist(), strict=True) if allowed} == set(legal)
        names = [view.slot_id for view in observation.slots]
        for op, row in zip(OPS, slots.tolist(), strict=True):
            assert [name for name, allowed in zip(names, row, strict=True) if allowed] == legal.get(op, [])


class TestAdvantages:
    def test_are_the_sum_of_discounted_surprises(self) -> None:
        rewards, values = [1.0, -0.5, 2.0, 0.25], [0.3, 0.1, -0.2, 0.5]
        gamma, trust = 0.9, 0.8
        after = [*values[1:], 0.0]
        surprises = [
            reward + gamma * following - value
            for reward, following, value in zip(rewards, after, values, strict=True)
        ]
        expected = [
            sum((gamma * trust) ** (later - now) * surprises[later] for later in range(now, 4))
            for now in range(4)
        ]
        assert advantage_estimates(rewards, values, gamma, trust).tolist() == pytest.approx(expected)


class TestLearning:
    @pytest.mark.parametrize("seed", range(2))
    def test_what_is_paid_for_is_done_more_and_more(self, seed: int) -> None:
        """GROW in one slot pays 1 and everything else nothing: it has to find op and slot."""
        policy = ppo(seed)
        likely = []
        for _ in range(16):
            for _ in range(48):
                decision = policy.decide(SEEN)
                policy.rewarded(0, float((decision.op, decision.slot) == (GROW, "r0c1")))
            policy.episode_ended()
            with torch.no_grad():
                ops, slots = policy.network.log_probs(encode(SEEN), *masks(SEEN))
            likely.append(float((ops[GROW] + slots[GROW, 1]).exp()))
        assert likely[0] < 0.2
        assert min(likely[-3:]) > 0.8

    def test_before_it_learned_all_that_is_legal_is_about_as_likely(self) -> None:
        decision = ppo().decide(SEEN)
        assert list(decision.op_probs.values()) == pytest.approx([1 / 5] * 5, abs=0.01)
        assert decision.entropy == pytest.approx(math.log(5), abs=0.01)

    def test_first_weights_follow_from_the_configs_seed_alone(self) -> None:
        one, other = ppo(1), ppo(2)
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True)
        )

    def test_making_one_leaves_torchs_own_random_numbers_alone(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        ppo()
        assert torch.equal(torch.rand(3), expected)

    def test_the_critic_is_warmed_up_first(self) -> None:
        policy = ppo(ppo=PPOConfig(warmup_updates=1))
        before = [parameter.clone() for parameter in policy.network.actor.parameters()]
        moved = []
        for _ in range(2):
            for _ in range(16):
                policy.decide(SEEN)
                policy.rewarded(0, 1.0)
            policy.episode_ended()
            now = policy.network.actor.parameters()
            moved.append(any(not torch.equal(a, b) for a, b in zip(before, now, strict=True)))
        assert moved == [False, True]


class TestTelemetry:
    def test_every_update_is_an_event_with_its_numbers(self) -> None:
        sink = ListSink()
        config = tiny(policy="ppo", n_envs=3, n_episodes=4)
        train(config, sink)
        updates = [event.data for event in sink.of(TelemetryEventType.PPO_UPDATE_COMPLETED)]
        assert [update["batch"] for update in updates] == [1, 2, 3, 4]
        assert [update["episodes_completed"] for update in updates] == [3, 6, 9, 12]
        for update in updates:
            assert update["inner_epoch"] == config.max_epochs
            assert 0 <= update["entropy"] <= math.log(len(OPS))
            assert update["kl_divergence"] >= 0
            assert 0 <= update["clip_fraction"] <= 1
            assert update["explained_variance"] <= 1
            assert update["grad_norm"] > 0

    def test_a_decision_carries_what_the_policy_thought(self) -> None:
        sink = ListSink()
        train(tiny(policy="ppo"), sink)
        decisions = [event.data for event in sink.of(TelemetryEventType.ANALYTICS_SNAPSHOT)]
        assert all(0 < decision["op_probability"] <= 1 for decision in decisions)
        assert len({decision["value_estimate"] for decision in decisions}) > len(decisions) / 2

    def test_a_batch_may_be_one_decision(self) -> None:
        """Its advantage has no spread; the policy goes on."""
        sink = ListSink()
        train(tiny(policy="ppo", n_envs=1, n_episodes=4, max_epochs=1), sink)
        updates = [event.data for event in sink.of(TelemetryEventType.PPO_UPDATE_COMPLETED)]
        assert len(updates) == 4
        assert all(math.isfinite(update["policy_loss"]) for update in updates)
        assert all("explained_variance" not in update for update in updates)  # undefined: no spread

    def test_with_nothing_to_plant_it_does_nothing(self) -> None:
        sink = ListSink()
        train(tiny(policy="ppo", blueprints=()), sink)
        names = {event.data["action_name"] for event in sink.of(TelemetryEventType.ANALYTICS_SNAPSHOT)}
        assert names == {"NOOP"}


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("lr", 0.0, "above 0"),
        ("gamma", 1.1, "0 to 1"),
        ("update_epochs", 0, "at least 1"),
        ("entropy_coef", -1.0, "0 or more"),
        ("target_kl", float("inf"), "above 0 and finite"),
    ],
)
def test_a_wrong_hyperparameter_is_named(field: str, value: float, right: str) -> None:
    with pytest.raises(TelemetryUsageError, match=f"ppo.{field} must be {right}"):
        PPOConfig(**{field: value})  # type: ignore[arg-type]
