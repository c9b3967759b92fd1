"""What each policy would do if nothing were left to chance: an observation in, one legal choice out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from esper.leyline.actions import LifecycleOp
from esper.simic.decisions import Observation, SlotView

__all__ = ["Choice", "prefer_nothing", "prefer_settling", "prefer_thrash"]

PATIENCE = 2
"""Epochs over which ``plateaued`` looks back, and that an op is given before the next one."""
PLATEAU_GAIN = 0.04
"""Relative fall of the loss over PATIENCE epochs below which it counts as flat."""
IMPATIENCE = 4
"""Epochs after which a seed gets its next op although the loss still falls."""
TOLERANCE = 0.05
"""Relative rise of the loss from which a SHRINK counts as a mistake."""
TRIAL = 10
"""Epochs that a seed without levels is given to show its worth."""
SETTLED = 8
"""Epochs without an op after which a ladder that has tried both directions is made to last."""
THRASH_EVERY = 3
"""``oscillate`` acts in every so manieth epoch; the NOOPs between are its baseline."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An op and its slot; ``slot`` is None for NOOP."""

    op: LifecycleOp
    slot: str | None = None


NOTHING = Choice(LifecycleOp.NOOP)


def prefer_nothing(observation: Observation) -> Choice:
    """The rule of ``random``: none."""
    return NOTHING


def prefer_thrash(observation: Observation) -> Choice:
    """The rule of ``oscillate``: plant everywhere, then undo whatever was done last, slot after slot."""
    for view in observation.slots:
        if LifecycleOp.GERMINATE in view.legal:
            return Choice(LifecycleOp.GERMINATE, view.slot_id)
    ladders = [view for view in observation.slots if view.max_level is not None and not view.fossilized]
    if not ladders or observation.epoch % THRASH_EVERY:
        return NOTHING
    stalest = max(ladders, key=lambda view: view.epochs_since_op)
    back = LifecycleOp.SHRINK_INTERNAL if stalest.last_direction > 0 else LifecycleOp.GROW_INTERNAL
    forth = LifecycleOp.GROW_INTERNAL if stalest.last_direction > 0 else LifecycleOp.SHRINK_INTERNAL
    return Choice(back if back in stalest.legal else forth, stalest.slot_id)


def prefer_settling(observation: Observation) -> Choice:
    """The rule of ``heuristic``: grow while the loss is flat, then give back what does not pay, then settle.

    A ladder climbs to its top, one block whenever the loss is flat. From there it gives up to half of its
    blocks back, takes the last one back if the loss minds, and is made to last. A seed without levels is
    kept if the loss fell while it trained, and pruned if not.
    """
    flat = plateaued(observation.losses)
    for view in sorted(observation.slots, key=lambda view: -view.epochs_since_op):
        op = _next_op(view, observation, flat)
        if op is not None and op in view.legal:
            return Choice(op, view.slot_id)
    return NOTHING


def plateaued(losses: tuple[float, ...]) -> bool:
    """Whether the loss fell by less than PLATEAU_GAIN of itself over the last PATIENCE epochs.

    A loss that is not finite is never flat: more blocks would not bring it back.
    """
    if len(losses) <= PATIENCE:
        return False
    before, now = losses[-1 - PATIENCE], losses[-1]
    return math.isfinite(before) and now > before * (1 - PLATEAU_GAIN)


def _next_op(view: SlotView, observation: Observation, flat: bool) -> LifecycleOp | None:
    """What a slot is due for, None if it is to be left alone now."""
    if view.blueprint is None:
        early = observation.epoch < observation.max_epochs // 2
        return LifecycleOp.GERMINATE if early else None
    if view.epochs_since_op < PATIENCE:
        return None
    if view.level is None or view.max_level is None:
        return _verdict_on_trial(view, observation.losses[-1])
    due = flat or view.epochs_since_op >= IMPATIENCE
    if view.last_direction >= 0 and not view.regrown:
        if not due:
            return None
        return LifecycleOp.GROW_INTERNAL if view.level < view.max_level else LifecycleOp.SHRINK_INTERNAL
    if view.last_direction < 0 and not view.regrown:
        if view.loss_at_op is not None and observation.losses[-1] > view.loss_at_op * (1 + TOLERANCE):
            return LifecycleOp.GROW_INTERNAL
        if due and view.level > view.max_level // 2:
            return LifecycleOp.SHRINK_INTERNAL
    return LifecycleOp.FOSSILIZE if view.epochs_since_op >= SETTLED else None


def _verdict_on_trial(view: SlotView, loss: float) -> LifecycleOp | None:
    if view.age < TRIAL or view.loss_at_birth is None:
        return None
    return LifecycleOp.FOSSILIZE if loss < view.loss_at_birth else LifecycleOp.PRUNE
