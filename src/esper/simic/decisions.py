"""What a policy sees and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from esper.leyline.actions import LifecycleOp

__all__ = ["Decision", "Observation", "SlotView"]


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as a policy sees it."""

    slot_id: str
    legal: frozenset[LifecycleOp]
    """Ops that the slot allows now; without NOOP, which belongs to no slot."""
    blueprint: str | None = None
    """Kind of the seed in it; None where the slot is empty."""
    fossilized: bool = False
    level: int | None = None
    max_level: int | None = None
    age: int = 0
    """Epochs that the seed has trained."""
    last_direction: int = 0
    """Its last internal op: +1 a GROW, -1 a SHRINK, 0 if there was none."""
    regrown: bool = False
    """Whether a GROW ever followed a SHRINK."""
    epochs_since_op: int = 0
    """Epochs trained since the last op on the slot, germination included."""
    loss_at_op: float | None = None
    """Validation loss when that op was chosen."""
    loss_at_birth: float | None = None
    """Validation loss when the seed was planted."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One environment as a policy sees it before it decides."""

    env: int
    """This rank's environment index, from 0."""
    epoch: int
    """Epochs completed in this episode."""
    max_epochs: int
    losses: tuple[float, ...]
    """Validation loss after each epoch of the episode, the untrained host's first."""
    accuracy: float
    """Validation accuracy now, a fraction."""
    slots: tuple[SlotView, ...]

    def legal(self) -> dict[LifecycleOp, list[str]]:
        """The action mask: each legal op with the slots that allow it, ordered by op and slot.

        NOOP is always legal, and has no slot.
        """
        mask: dict[LifecycleOp, list[str]] = {}
        for op in LifecycleOp:
            slots = [view.slot_id for view in self.slots if op in view.legal]
            if slots or op == LifecycleOp.NOOP:
                mask[op] = slots
        return mask


@dataclass(frozen=True, slots=True)
class Decision:
    """One action of a policy in one environment, with how likely it was."""

    op: LifecycleOp
    slot: str | None = None
    """None for NOOP."""
    blueprint: str | None = None
    """What to plant, for GERMINATE. Chosen by a fixed rule, so it adds no factor to the probability."""
    probability: float = 1.0
    """Of op and slot together: ``op_probs[op] * slot_probs[slot]``, for NOOP ``op_probs["NOOP"]``."""
    entropy: float = 0.0
    """Of ``op_probs``, in nats."""
    legal_ops: int = 1
    """Ops that the mask allowed, NOOP included."""
    op_probs: Mapping[str, float] = field(default_factory=dict)
    """Probability of each legal op by name."""
    slot_probs: Mapping[str, float] | None = None
    """Probability of each slot given ``op``, of those that allow it; None for NOOP."""
    value: float | None = None
    """What the policy's critic expected from here to the end of the episode."""
    intended_op: LifecycleOp | None = None
    """The internal op that the policy chose, where a holdout was on and may have held it back."""
    intended_slot: str | None = None
    """The slot that it chose for it."""
    holdout_probability: float | None = None
    """With which it was held back."""
