"""A policy that learns by proximal policy optimisation: which op, and in which slot.

J. Schulman et al., "Proximal policy optimization algorithms", 2017 (arXiv:1707.06347), with the generalised
advantage estimate of J. Schulman et al., 2016 (arXiv:1506.02438) and masked actions as in S. Huang and
S. Ontanon, "A closer look at invalid action masking in policy gradient algorithms", 2022 (arXiv:2006.14171).
One episode of every environment, on every rank, is one batch.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from esper.leyline.actions import LifecycleOp
from esper.leyline.payloads import PPOUpdateCompletedPayload
from esper.simic.config import PPOConfig, TrainConfig
from esper.simic.decisions import Decision, Observation
from esper.simic.distributed import Group
from esper.simic.features import NOOP, OPS, encode, feature_count, masks
from esper.simic.rollout import Batch, Rollout, batch_of, explained_variance

__all__ = ["ActorCritic", "PPOPolicy"]

FORBIDDEN = torch.finfo(torch.float32).min


class ActorCritic(nn.Module):
    """Two small networks: one for the op and the slot given the op, one for the value of the state."""

    def __init__(self, n_slots: int, hidden: int) -> None:
        super().__init__()
        self.n_slots = n_slots
        n_features = feature_count(n_slots)
        self.actor = nn.Sequential(
            *_trunk(n_features, hidden), _linear(hidden, len(OPS) * (1 + n_slots), 0.01)
        )
        self.critic = nn.Sequential(*_trunk(n_features, hidden), _linear(hidden, 1, 1.0))

    def value(self, features: Tensor) -> Tensor:
        """Expected return from here on: (..., features) to (...)."""
        values: Tensor = self.critic(features).squeeze(-1)
        return values

    def log_probs(self, features: Tensor, op_mask: Tensor, slot_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the ops, (..., ops), and of the slots given each op, (..., ops, slots).

        What a mask forbids has probability 0. An op without slots gets even ones, which mean nothing.
        """
        logits = self.actor(features)
        ops, slots = logits.split([len(OPS), len(OPS) * self.n_slots], dim=-1)
        slots = slots.unflatten(-1, (len(OPS), self.n_slots))
        return (
            ops.masked_fill(~op_mask, FORBIDDEN).log_softmax(-1),
            slots.masked_fill(~slot_mask, FORBIDDEN).log_softmax(-1),
        )


class PPOPolicy:
    """Draws op and slot from a network, and improves it after each episode.

    Args:
        config: of the training; its ``ppo`` has the hyperparameters.
        seed: of this rank's draws. The network's first weights follow from ``config.seed`` alone: they are
            the same on every rank, and stay so, because the ranks average their gradients.
        group: the ranks that learn together.
    """

    def __init__(self, config: TrainConfig, seed: int, group: Group) -> None:
        self._config: PPOConfig = config.ppo
        self._slot_ids = config.slot_ids
        self._blueprints = config.blueprints
        self._group = group
        self._generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = ActorCritic(config.n_slots, self._config.hidden)
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=self._config.lr, eps=1e-5)
        self._rollouts = [Rollout() for _ in range(config.n_envs)]
        self._updates = 0

    @torch.no_grad()
    def decide(self, observation: Observation) -> Decision:
        """Draw an op, then a slot that allows it, and remember both until the reward comes."""
        features = encode(observation)
        op_mask, slot_mask = masks(observation)
        op_log_probs, slot_log_probs = self.network.log_probs(features, op_mask, slot_mask)
        op_probs = op_log_probs.exp()
        op = int(torch.multinomial(op_probs, 1, generator=self._generator))
        slot_probs = slot_log_probs[op].exp()
        slot = 0 if op == NOOP else int(torch.multinomial(slot_probs, 1, generator=self._generator))
        log_prob = float(op_log_probs[op]) + (0.0 if op == NOOP else float(slot_log_probs[op, slot]))
        value = float(self.network.value(features))
        rollout = self._rollouts[observation.env]
        rollout.features.append(features)
        rollout.op_masks.append(op_mask)
        rollout.slot_masks.append(slot_mask)
        rollout.ops.append(op)
        rollout.slots.append(slot)
        rollout.log_probs.append(log_prob)
        rollout.values.append(value)
        shares = zip(self._slot_ids, slot_probs.tolist(), slot_mask[op].tolist(), strict=True)
        return Decision(
            op=OPS[op],
            slot=None if op == NOOP else self._slot_ids[slot],
            blueprint=self._blueprint(slot) if OPS[op] == LifecycleOp.GERMINATE else None,
            probability=float(op_probs[op]) * (1.0 if op == NOOP else float(slot_probs[slot])),
            entropy=float(_entropy(op_log_probs)),
            legal_ops=int(op_mask.sum()),
            op_probs={
                legal.name: share
                for legal, share, allowed in zip(OPS, op_probs.tolist(), op_mask.tolist(), strict=True)
                if allowed
            },
            slot_probs=None
            if op == NOOP
            else {slot_id: share for slot_id, share, allowed in shares if allowed},
            value=value,
        )

    def rewarded(self, env: int, reward: float) -> None:
        """Take in what an environment paid for its last decision."""
        self._rollouts[env].rewards.append(reward)

    def episode_ended(self) -> PPOUpdateCompletedPayload:
        """Learn from the episode that every environment has just ended."""
        batch = batch_of(self._rollouts, self._config.gamma, self._config.gae_lambda, self._group)
        n_epochs = len(self._rollouts[0].ops)
        self._updates += 1
        self.forget()
        reports = []
        for _ in range(self._config.update_epochs):
            order = torch.randperm(len(batch.ops), generator=self._generator)
            for index in torch.split(order, self._config.minibatch_size):
                reports.append(self._improve(batch.at(index)))
            divergence = [self._divergence(batch)]
            self._group.mean_(divergence)  # the ranks stop together or not at all
            if float(divergence[0]) > self._config.target_kl:
                break
        means = torch.stack(reports).mean(0).tolist()
        return PPOUpdateCompletedPayload(
            policy_loss=means[0],
            value_loss=means[1],
            entropy=means[2],
            clip_fraction=means[3],
            grad_norm=means[4],
            kl_divergence=float(divergence[0]),
            explained_variance=explained_variance(batch.returns, batch.values),
            lr=self._config.lr,
            entropy_coef=self._config.entropy_coef,
            batch=self._updates,
            episode_idx=self._updates - 1,
            inner_epoch=n_epochs,
            episodes_completed=self._updates * len(self._rollouts),
        )

    def forget(self) -> None:
        """Learn nothing from the decisions since the last episode ended."""
        self._rollouts = [Rollout() for _ in self._rollouts]

    def _improve(self, part: Batch) -> Tensor:
        """One gradient step; policy loss, value loss, entropy, clipped share and gradient norm."""
        config = self._config
        op_log_probs, slot_log_probs = self.network.log_probs(part.features, part.op_masks, part.slot_masks)
        ratio = (_joint(op_log_probs, slot_log_probs, part) - part.log_probs).exp()
        clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
        policy_loss = -torch.minimum(ratio * part.advantages, clipped * part.advantages).mean()
        value_loss = 0.5 * (self.network.value(part.features) - part.returns).square().mean()
        op_entropy = _entropy(op_log_probs)
        # The entropy of op and slot together: that of the op, and that of the slot which follows it.
        slot_entropy = (op_log_probs.exp() * _entropy(slot_log_probs) * part.slot_masks.any(-1)).sum(-1)
        entropy = (op_entropy + slot_entropy).mean()
        loss = config.value_coef * value_loss
        if self._updates > config.warmup_updates:
            loss = loss + policy_loss - config.entropy_coef * entropy
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = list(self.network.parameters())
        self._group.mean_([parameter.grad for parameter in parameters if parameter.grad is not None])
        norm = nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        self._optimizer.step()
        outside = ((ratio - 1).abs() > config.clip_range).float().mean()
        return torch.stack([policy_loss, value_loss, op_entropy.mean(), outside, norm]).detach()

    @torch.no_grad()
    def _divergence(self, batch: Batch) -> Tensor:
        """KL divergence of the old policy from the new, in nats, by the estimator r - 1 - ln r."""
        op_log_probs, slot_log_probs = self.network.log_probs(
            batch.features, batch.op_masks, batch.slot_masks
        )
        log_ratio = _joint(op_log_probs, slot_log_probs, batch) - batch.log_probs
        return (log_ratio.exp() - 1 - log_ratio).mean()

    def _blueprint(self, slot: int) -> str:
        return self._blueprints[min(slot, len(self._blueprints) - 1)]

    def state_dict(self) -> dict[str, Any]:
        """Network, optimizer, draws and the episode so far."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "rollouts": [asdict(rollout) for rollout in self._rollouts],
            "updates": self._updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._rollouts = [Rollout(**rollout) for rollout in state["rollouts"]]
        self._updates = state["updates"]


def _joint(op_log_probs: Tensor, slot_log_probs: Tensor, batch: Batch) -> Tensor:
    """Log-probability of what was chosen, op and slot together: (decisions,)."""
    rows = torch.arange(len(batch.ops))
    of_slot = slot_log_probs[rows, batch.ops, batch.slots]
    return op_log_probs[rows, batch.ops] + torch.where(batch.ops == NOOP, 0.0, of_slot)


def _entropy(log_probs: Tensor) -> Tensor:
    """In nats, over the last dimension; what is forbidden adds nothing."""
    return -(log_probs.exp() * log_probs).sum(-1)


def _trunk(n_features: int, hidden: int) -> list[nn.Module]:
    gain = 2**0.5
    return [_linear(n_features, hidden, gain), nn.Tanh(), _linear(hidden, hidden, gain), nn.Tanh()]


def _linear(n_in: int, n_out: int, gain: float) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
