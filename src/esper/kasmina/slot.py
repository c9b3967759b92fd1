"""A place in a host network that holds at most one seed, and the rules of what may be done to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from torch import Tensor, nn

from esper.kasmina.blueprints import ConvLadderSeed, Seed, make_seed
from esper.leyline.actions import LifecycleOp

__all__ = ["SeedObserver", "SeedSlot", "Stage"]


class Stage(StrEnum):
    """Where a seed is in its life."""

    GERMINATED = "GERMINATED"
    """Planted, not trained yet."""
    TRAINING = "TRAINING"
    """Trains with its host; a ladder may grow and shrink."""
    FOSSILIZED = "FOSSILIZED"
    """A lasting part of its host: it trains on, its level is fixed, its slot stays taken."""


class SeedObserver(Protocol):
    """Is told what happened to a slot, after it happened; refused ops are not reported."""

    def germinated(self, slot_id: str, blueprint: str, seed: Seed) -> None:
        """A seed was planted."""

    def level_changed(self, slot_id: str, from_level: int, to_level: int, active_params: int) -> None:
        """A ladder grew or shrank by one; ``active_params`` are those after."""

    def stage_changed(self, slot_id: str, from_stage: str, to_stage: str) -> None:
        """A seed went on to its next stage."""

    def pruned(self, slot_id: str) -> None:
        """A seed was taken out."""

    def fossilized(self, slot_id: str) -> None:
        """A seed became a lasting part of its host; follows the change to stage FOSSILIZED."""


class SeedSlot(nn.Module):
    """Holds at most one seed; empty it is the identity. Output shape = input shape.

    Args:
        slot_id: the slot's name within its host, for example "r0c0".
        channels: of the feature map that passes through.
        max_level: of the ladders planted here.
        observer: told of everything that happens.
    """

    def __init__(self, slot_id: str, channels: int, max_level: int, observer: SeedObserver) -> None:
        super().__init__()
        self.slot_id = slot_id
        self.seed: Seed | None = None
        self.blueprint: str | None = None
        self.stage: Stage | None = None
        self._channels = channels
        self._max_level = max_level
        self._observer = observer

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        return x if self.seed is None else self.seed(x)

    def allows(self, op: LifecycleOp) -> bool:
        """Whether ``op`` can be carried out now; NOOP always can.

        GERMINATE needs an empty slot, FOSSILIZE a seed that trained, GROW and SHRINK a ladder with a
        level left in that direction; nothing touches a fossilized seed.
        """
        if op == LifecycleOp.NOOP:
            return True
        if op == LifecycleOp.GERMINATE:
            return self.seed is None
        if self.seed is None or self.stage == Stage.FOSSILIZED:
            return False
        if op == LifecycleOp.PRUNE:
            return True
        if op == LifecycleOp.FOSSILIZE:
            return self.stage == Stage.TRAINING
        if not isinstance(self.seed, ConvLadderSeed):
            return False
        if op == LifecycleOp.GROW_INTERNAL:
            return self.seed.level < self.seed.max_level
        return self.seed.level > 0

    def germinate(self, blueprint: str) -> bool:
        """Plant a new seed; False, and nothing changes, if the slot is taken.

        Raises:
            NotFoundError: if there is no such blueprint.
        """
        if not self.allows(LifecycleOp.GERMINATE):
            return False
        self.seed = make_seed(blueprint, self._channels, self._max_level)
        self.blueprint, self.stage = blueprint, Stage.GERMINATED
        self._observer.germinated(self.slot_id, blueprint, self.seed)
        return True

    def grow(self) -> bool:
        """Bring the ladder up by one level; False, and nothing changes, at the top or without a ladder."""
        return self._move(LifecycleOp.GROW_INTERNAL, 1)

    def shrink(self) -> bool:
        """Bring the ladder down by one level; False, and nothing changes, at 0 or without a ladder."""
        return self._move(LifecycleOp.SHRINK_INTERNAL, -1)

    def prune(self) -> bool:
        """Take the seed out; False, and nothing changes, if there is none or it is fossilized."""
        if not self.allows(LifecycleOp.PRUNE):
            return False
        self.seed = self.blueprint = self.stage = None
        self._observer.pruned(self.slot_id)
        return True

    def fossilize(self) -> bool:
        """Make the seed a lasting part of the host; False, and nothing changes, unless it is TRAINING."""
        if not self.allows(LifecycleOp.FOSSILIZE):
            return False
        self._enter(Stage.FOSSILIZED)
        self._observer.fossilized(self.slot_id)
        return True

    def begin_training(self) -> None:
        """Note that the seed trains from now on; does nothing unless it was just planted."""
        if self.stage == Stage.GERMINATED:
            self._enter(Stage.TRAINING)

    def restore(self, blueprint: str | None, stage: str | None, level: int | None) -> None:
        """Bring back what a checkpoint describes, without a word to the observer; weights come after."""
        self.seed = None if blueprint is None else make_seed(blueprint, self._channels, self._max_level)
        self.blueprint = blueprint
        self.stage = None if stage is None else Stage(stage)
        if isinstance(self.seed, ConvLadderSeed) and level is not None:
            self.seed.set_level(level)

    def _move(self, op: LifecycleOp, step: int) -> bool:
        if not self.allows(op) or not isinstance(self.seed, ConvLadderSeed):
            return False
        before = self.seed.level
        self.seed.set_level(before + step)
        self._observer.level_changed(self.slot_id, before, self.seed.level, self.seed.active_param_count())
        return True

    def _enter(self, stage: Stage) -> None:
        assert self.stage is not None
        before, self.stage = self.stage, stage
        self._observer.stage_changed(self.slot_id, before, stage)
