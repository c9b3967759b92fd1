"""Holds a few of the internal ops back that a policy chose, at random, so that their effect can be told."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.decisions import Decision
from esper.simic.draws import draws_state, entropy_of, restore_draws

__all__ = ["Holdout"]

NOOP = LifecycleOp.NOOP


class Holdout:
    """Turns each GROW or SHRINK that a policy chose into a NOOP with one probability, by a coin of its own.

    Whether the op was done then depends on nothing but the coin, so that what followed where it was done,
    less what followed where it was held back, is its effect. The coin leaves the policy's own random
    numbers alone, and none is thrown where nothing can be held back.

    Args:
        probability: h, 0 to under 1; at 0 every decision stays as it is.
        seed: of the coin.

    Raises:
        TelemetryUsageError: on a probability that can't be.
    """

    def __init__(self, probability: float, seed: int) -> None:
        if not 0 <= probability < 1:
            raise TelemetryUsageError(f"holdout must be 0 to under 1, not {probability!r}")
        self.probability = probability
        self._random = random.Random(seed)

    def apply(self, decision: Decision) -> Decision:
        """The decision that is carried out, with the probabilities of what is carried out.

        Internal ops have their own times 1 - h; NOOP has its own and h times theirs. Where the policy
        chose an internal op, ``intended_op``, ``intended_slot`` and ``holdout_probability`` say so,
        whether or not it was held back. The slots' probabilities are given the op and stay.

        Args:
            decision: the policy's.
        """
        if self.probability == 0:
            return decision
        op_probs = self._after(decision.op_probs)
        # A policy that says no probabilities keeps the entropy that it said.
        entropy = entropy_of(op_probs.values()) if op_probs else decision.entropy
        decision = replace(decision, op_probs=op_probs, entropy=entropy)
        if decision.op == NOOP:
            return replace(decision, probability=op_probs.get(NOOP.name, decision.probability))
        if not decision.op.is_internal:
            return decision
        intent = replace(
            decision,
            intended_op=decision.op,
            intended_slot=decision.slot,
            holdout_probability=self.probability,
        )
        if self._random.random() >= self.probability:
            return replace(intent, probability=decision.probability * (1 - self.probability))
        return replace(
            intent,
            op=NOOP,
            slot=None,
            slot_probs=None,
            blueprint=None,
            probability=op_probs.get(NOOP.name, decision.probability * self.probability),
        )

    def _after(self, op_probs: Any) -> dict[str, float]:
        after = dict(op_probs)
        for op in LifecycleOp:
            if op.is_internal and op.name in after:
                held_back = after[op.name] * self.probability
                after[op.name] -= held_back
                after[NOOP.name] = after.get(NOOP.name, 0.0) + held_back
        return after

    def state_dict(self) -> dict[str, Any]:
        """The state of the coin."""
        return draws_state(self._random)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken."""
        restore_draws(self._random, state)
