"""What a policy can do to a seed, and what a seed can look like inside."""

from __future__ import annotations

from enum import IntEnum


class LifecycleOp(IntEnum):
    """One decision of the policy about one slot.

    The values are part of the file format (``counterfactual_deltas.op``) and never change.
    """

    NOOP = 0
    GERMINATE = 1
    PRUNE = 2
    FOSSILIZE = 3
    GROW_INTERNAL = 4
    SHRINK_INTERNAL = 5

    @property
    def is_internal(self) -> bool:
        """Whether the op moves a seed's internal level."""
        return self in (LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL)

    @classmethod
    def from_levels(cls, from_level: int, to_level: int) -> LifecycleOp:
        """The internal op that a level change amounts to.

        Raises:
            ValueError: if the level did not change.
        """
        if to_level == from_level:
            raise ValueError(
                f"no internal op goes from level {from_level} to level {to_level}: the levels must differ"
            )
        return cls.GROW_INTERNAL if to_level > from_level else cls.SHRINK_INTERNAL


class SeedInternalKind(IntEnum):
    """How a seed is built inside."""

    NONE = 0
    """No internal levels: the seed only exists or does not."""
    CONV_LADDER = 1
    """A ladder of convolution blocks; level n uses the first n."""
