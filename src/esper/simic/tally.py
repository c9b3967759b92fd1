"""What a training did so far, counted while it runs; for whoever watches, not for the files."""

from __future__ import annotations

from collections import Counter

__all__ = ["Tally"]


class Tally:
    """Decisions by op, and how many level changes went back on the one before.

    A pair is two level changes of the same seed, one after the other; the events' own pairs are counted the
    same way, so that the rate here is the verdict's.
    """

    def __init__(self) -> None:
        self.ops: Counter[str] = Counter()
        """Decisions by op name, all environments together."""
        self.pairs = 0
        self.reversals = 0
        self._directions: dict[tuple[int, str], int] = {}

    @property
    def reversal_rate(self) -> float | None:
        """Reversals among the pairs, 0 to 1; None before the first pair."""
        return self.reversals / self.pairs if self.pairs else None

    def moved(self, env: int, slot_id: str, direction: int) -> None:
        """Count a level change: +1 for up, -1 for down."""
        before = self._directions.get((env, slot_id))
        if before is not None:
            self.pairs += 1
            self.reversals += before != direction
        self._directions[env, slot_id] = direction

    def seed_gone(self, env: int, slot_id: str) -> None:
        """What is planted there next has nothing to go back on."""
        self._directions.pop((env, slot_id), None)

    def episode_ended(self) -> None:
        """Every environment begins anew."""
        self._directions.clear()
