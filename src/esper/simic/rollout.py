"""What a policy did in an episode, and what came of it: the batch that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from esper.simic.distributed import Group

__all__ = ["Batch", "Rollout", "advantage_estimates", "batch_of", "explained_variance"]


@dataclass(slots=True)
class Rollout:
    """One environment's episode so far: a tensor or a number for each decision; see ``Batch``."""

    features: list[Tensor] = field(default_factory=list)
    op_masks: list[Tensor] = field(default_factory=list)
    slot_masks: list[Tensor] = field(default_factory=list)
    ops: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """Decisions of all environments, one after the other; the first dimension of every tensor."""

    features: Tensor
    """(decisions, features)"""
    op_masks: Tensor
    """(decisions, ops)"""
    slot_masks: Tensor
    """(decisions, ops, slots)"""
    ops: Tensor
    """Index of the op chosen."""
    slots: Tensor
    """Index of the slot chosen, 0 for NOOP."""
    log_probs: Tensor
    """Of op and slot together, under the policy that chose them."""
    values: Tensor
    """What its critic expected."""
    advantages: Tensor
    """How much better it went than expected; of mean 0 and standard deviation 1 over those of all ranks."""
    returns: Tensor
    """What the critic should have expected."""

    def at(self, index: Tensor) -> Batch:
        """The decisions with these indices."""
        return Batch(*(getattr(self, name)[index] for name in self.__slots__))


def batch_of(rollouts: Sequence[Rollout], gamma: float, gae_lambda: float, group: Group) -> Batch:
    """The whole episodes of all environments of this rank as its part of one batch.

    Args:
        rollouts: one for each environment, with a reward for each decision.
        gamma: discount of rewards.
        gae_lambda: how far advantages trust rewards (1) rather than the critic (0).
        group: the ranks whose parts make up the batch.

    Raises:
        RankLostError: if a rank is gone.
    """
    estimates = torch.cat(
        [advantage_estimates(one.rewards, one.values, gamma, gae_lambda) for one in rollouts]
    )
    # Each rank's own mean would hide that it went better on one rank than on another.
    of_all_ranks = torch.cat(group.gather(estimates))
    values = torch.tensor([value for one in rollouts for value in one.values])
    return Batch(
        features=torch.stack([row for one in rollouts for row in one.features]),
        op_masks=torch.stack([row for one in rollouts for row in one.op_masks]),
        slot_masks=torch.stack([row for one in rollouts for row in one.slot_masks]),
        ops=torch.tensor([op for one in rollouts for op in one.ops]),
        slots=torch.tensor([slot for one in rollouts for slot in one.slots]),
        log_probs=torch.tensor([share for one in rollouts for share in one.log_probs]),
        values=values,
        # A batch may be a single decision, which has no spread but 0.
        advantages=(estimates - of_all_ranks.mean()) / (of_all_ranks.std(correction=0) + 1e-8),
        returns=estimates + values,
    )


def explained_variance(returns: Tensor, values: Tensor) -> float | None:
    """Share of the returns' variance that the critic's values explain, at most 1.

    ``1 - Var(returns - values) / Var(returns)``, as in P. Dhariwal et al., "OpenAI Baselines", 2017
    (common/math_util.py). None where the returns are all the same but for rounding: it is undefined there.

    Args:
        returns: float32 of shape (decisions,).
        values: what the critic expected; of the same shape.
    """
    spread = returns.var(correction=0)
    rounding = torch.finfo(returns.dtype).eps * (returns.abs() + values.abs()).max()
    if spread <= rounding.square():
        return None
    return float(1 - (returns - values).var(correction=0) / spread)


def advantage_estimates(
    rewards: Sequence[float], values: Sequence[float], gamma: float, gae_lambda: float
) -> Tensor:
    """Generalised advantage estimates of one whole episode, float32 of shape (epochs,).

    ``A_t = sum_k (gamma lambda)^k d_(t+k)`` with ``d_t = r_t + gamma V_(t+1) - V_t``, and V = 0 after
    the end: an episode ends by its own rules, so nothing is left to expect.
    """
    estimates, estimate, following = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        estimate = reward + gamma * following - value + gamma * gae_lambda * estimate
        estimates.append(estimate)
        following = value
    return torch.tensor(estimates[::-1])
