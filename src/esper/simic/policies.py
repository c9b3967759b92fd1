"""The policies: each draws an action, by a rule, by chance or as it learned, and says how likely it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from esper.kasmina import BLUEPRINTS
from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import unknown_name
from esper.leyline.payloads import PPOUpdateCompletedPayload
from esper.simic.config import TrainConfig
from esper.simic.decisions import Decision, Observation
from esper.simic.distributed import Alone, Group
from esper.simic.draws import draws_state, entropy_of, restore_draws
from esper.simic.ppo import PPOPolicy
from esper.simic.rules import Choice, prefer_nothing, prefer_settling, prefer_thrash

__all__ = ["POLICIES", "MixedPolicy", "Policy", "make_policy"]

T = TypeVar("T")
Maker = Callable[[TrainConfig, int, Group], "Policy"]


class Policy(Protocol):
    """Decides for every environment of a rank, one after the other."""

    def decide(self, observation: Observation) -> Decision:
        """The action for one environment; never one that the observation's mask forbids."""
        ...

    def rewarded(self, env: int, reward: float) -> None:
        """Hear what an environment paid for the last decision in it."""
        ...

    def episode_ended(self) -> PPOUpdateCompletedPayload | None:
        """Learn from the episode that every environment has just ended; None from a policy that does not."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs, as plain lists, dicts, numbers and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken."""
        ...


class MixedPolicy:
    """Follows a rule with probability 1 - exploration, else draws a legal op, then a slot that allows it.

    Args:
        prefer: the rule; its choice must be legal.
        exploration: share of decisions drawn uniformly, 0 to 1; at 1 the rule says nothing.
        blueprints: what to germinate, by the slot's place in the row; the last one for all that follow.
        seed: of the draws.
    """

    def __init__(
        self,
        prefer: Callable[[Observation], Choice],
        exploration: float,
        blueprints: Sequence[str],
        seed: int,
    ) -> None:
        self._prefer = prefer
        self._exploration = exploration
        self._blueprints = blueprints
        self._random = random.Random(seed)

    def decide(self, observation: Observation) -> Decision:
        """Draw op, then slot; the probabilities in the answer are those of the draw."""
        legal = observation.legal()
        preferred = self._prefer(observation)
        op_probs = self._mixed(list(legal), preferred.op)
        op = self._draw(op_probs)
        slots = legal[op]
        slot, slot_probs = None, None
        if slots:
            slot_probs = self._mixed(slots, preferred.slot if op == preferred.op else None)
            slot = self._draw(slot_probs)
        return Decision(
            op=op,
            slot=slot,
            blueprint=self._blueprint(observation, slot) if op == LifecycleOp.GERMINATE else None,
            probability=op_probs[op] * (slot_probs[slot] if slot_probs and slot else 1.0),
            entropy=entropy_of(op_probs.values()),
            legal_ops=len(legal),
            op_probs={legal_op.name: share for legal_op, share in op_probs.items()},
            slot_probs=slot_probs,
        )

    def rewarded(self, env: int, reward: float) -> None:
        """A rule does not mind."""

    def episode_ended(self) -> None:
        """A rule does not learn."""

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws."""
        return draws_state(self._random)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken."""
        restore_draws(self._random, state)

    def _mixed(self, options: list[T], preferred: T | None) -> dict[T, float]:
        if preferred is None:
            return dict.fromkeys(options, 1 / len(options))
        shares = dict.fromkeys(options, self._exploration / len(options))
        shares[preferred] += 1 - self._exploration
        return shares

    def _draw(self, shares: dict[T, float]) -> T:
        return self._random.choices(list(shares), weights=list(shares.values()))[0]

    def _blueprint(self, observation: Observation, slot: str | None) -> str:
        place = [view.slot_id for view in observation.slots].index(slot or "")
        return self._blueprints[min(place, len(self._blueprints) - 1)]


def _mixed(prefer: Callable[[Observation], Choice], exploration: float | None = None) -> Maker:
    def make(config: TrainConfig, seed: int, group: Group) -> Policy:
        share = config.exploration if exploration is None else exploration
        return MixedPolicy(prefer, share, config.blueprints, seed)

    return make


POLICIES: dict[str, Maker] = {
    "random": _mixed(prefer_nothing, exploration=1.0),
    "oscillate": _mixed(prefer_thrash),
    "heuristic": _mixed(prefer_settling),
    "ppo": PPOPolicy,
}
"""Every policy by name: ``random`` draws uniformly, ``oscillate`` thrashes on purpose, ``heuristic`` grows on
plateaus and settles, ``ppo`` learns. Called with the config, a seed for this rank's draws, and the ranks that
learn together."""


def make_policy(config: TrainConfig, seed: int, group: Group | None = None) -> Policy:
    """The policy that ``config`` names.

    Args:
        config: of the training.
        seed: of this rank's draws.
        group: the ranks that learn one policy together; this one alone where None.

    Raises:
        NotFoundError: if there is no such policy, or no such blueprint.
    """
    if config.policy not in POLICIES:
        raise unknown_name("policy", config.policy, POLICIES)
    for blueprint in config.blueprints:
        if blueprint not in BLUEPRINTS:
            raise unknown_name("blueprint", blueprint, BLUEPRINTS)
    return POLICIES[config.policy](config, seed, group or Alone())
