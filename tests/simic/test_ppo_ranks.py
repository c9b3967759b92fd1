"""One episode of every environment on every rank is one batch, however they are split."""

from __future__ import annotations

import json

import pytest
import torch
from rank_processes import ends, start_ranks

from esper.simic.distributed import Alone
from esper.simic.rollout import Rollout, batch_of, explained_variance

REWARDS = [[1.0, 1.25, 1.5], [0.0, -0.25, 0.5]]
"""By environment: it goes well in the first and badly in the second."""

ONE_RANK = """
import json, sys
import torch
from esper.simic.distributed import World, joined
from esper.simic.rollout import Rollout, batch_of
world = World.from_environment()
rewards = json.loads(sys.argv[1])[world.rank]
n = len(rewards)
masks = [torch.ones(1, dtype=torch.bool)] * n
one = Rollout([torch.zeros(1)] * n, masks, masks, [0] * n, [0] * n, [0.0] * n, [0.5] * n, rewards)
with joined(world) as group:
    print(json.dumps(batch_of([one], 0.9, 0.8, group).advantages.tolist()))
"""


def rollout(rewards: list[float]) -> Rollout:
    n = len(rewards)
    masks = [torch.ones(1, dtype=torch.bool)] * n
    return Rollout([torch.zeros(1)] * n, masks, masks, [0] * n, [0] * n, [0.0] * n, [0.5] * n, rewards)


def test_advantages_of_two_ranks_are_those_of_one_with_both_environments() -> None:
    ended = ends(start_ranks([["-c", ONE_RANK, json.dumps(REWARDS)]] * 2))
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
    first, second = (json.loads(rank.stdout) for rank in ended)
    together = batch_of([rollout(rewards) for rewards in REWARDS], 0.9, 0.8, Alone()).advantages
    assert [*first, *second] == together.tolist()
    assert min(first) > 0 > max(second)


class TestExplainedVariance:
    def test_is_one_of_a_critic_that_knows_and_zero_of_one_that_says_the_mean(self) -> None:
        returns = torch.tensor([1.0, 2.0, 4.0])
        assert explained_variance(returns, returns) == 1.0
        assert explained_variance(returns, returns.mean().expand(3)) == pytest.approx(0.0, abs=1e-6)
        assert explained_variance(returns, -returns) == pytest.approx(-3.0)

    @pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.3, -5.0, 0.1], [0.0, 0.0, 0.0]])
    def test_of_equal_returns_is_nothing_whatever_the_critic_says(self, values: list[float]) -> None:
        critic = torch.tensor(values)
        assert explained_variance(torch.full((3,), 0.1), critic) is None
        # As a batch has them, advantages and values added up again: equal but for rounding.
        assert explained_variance((0.1 - critic) + critic, critic) is None

    def test_of_a_single_decision_is_nothing(self) -> None:
        assert explained_variance(torch.tensor([2.0]), torch.tensor([5.0])) is None
