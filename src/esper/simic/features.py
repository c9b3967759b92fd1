"""An observation as numbers: what a learning policy sees, and what its mask allows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from esper.leyline.actions import LifecycleOp
from esper.simic.decisions import Observation, SlotView

__all__ = ["NOOP", "OPS", "encode", "feature_count", "masks"]

OPS = tuple(LifecycleOp)
"""The ops in the order of a policy's op head."""
NOOP = OPS.index(LifecycleOp.NOOP)
GLOBAL_FEATURES = 6
SLOT_FEATURES = 9
HIGHEST_LOSS = 5.0
"""In nats, about twice that of guessing among ten digits. Higher losses, and those that are not finite, count
as this: a diverging host must not make the policy diverge."""
SCALE = 4.0
"""Changes of the loss from one epoch to the next are small beside the other features; they are scaled up."""


def feature_count(n_slots: int) -> int:
    """Length of ``encode``'s answer."""
    return GLOBAL_FEATURES + n_slots * SLOT_FEATURES


def encode(observation: Observation) -> Tensor:
    """The features of an observation, float32 of shape (feature_count,), all of them about -1 to 1."""
    losses = [_tamed(loss) for loss in observation.losses]
    last, before, earlier = losses[-1], losses[max(-2, -len(losses))], losses[max(-3, -len(losses))]
    horizon = observation.max_epochs
    numbers = [
        observation.epoch / horizon,
        last / HIGHEST_LOSS,
        observation.accuracy,
        SCALE * (before - last),
        SCALE * (earlier - last),
        sum(view.blueprint is not None for view in observation.slots) / len(observation.slots),
    ]
    for view in observation.slots:
        numbers += _slot(view, last, horizon)
    return torch.tensor(numbers)


def masks(observation: Observation) -> tuple[Tensor, Tensor]:
    """The ops that are legal, bool of shape (ops,), and the slots of each, bool of shape (ops, slots).

    NOOP is always legal and has no slot: its row is all False.
    """
    slots = torch.tensor([[op in view.legal for view in observation.slots] for op in OPS])
    ops = slots.any(1)
    ops[NOOP] = True
    return ops, slots


def _slot(view: SlotView, loss: float, horizon: int) -> list[float]:
    ladder = view.level is not None and view.max_level is not None
    return [
        float(view.blueprint is not None),
        float(ladder),
        float(view.fossilized),
        view.level / view.max_level if view.level is not None and view.max_level else 0.0,
        view.age / horizon,
        float(view.last_direction),
        min(view.epochs_since_op, horizon) / horizon,
        0.0 if view.loss_at_op is None else SCALE * (_tamed(view.loss_at_op) - loss) / HIGHEST_LOSS,
        0.0 if view.loss_at_birth is None else SCALE * (_tamed(view.loss_at_birth) - loss) / HIGHEST_LOSS,
    ]


def _tamed(loss: float) -> float:
    return min(loss, HIGHEST_LOSS) if math.isfinite(loss) else HIGHEST_LOSS
