"""All positions of a run, over its environments, kept up as it goes on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from esper.karn.sanctum.state import Position
from esper.karn.sanctum.timeline import Positions, Timeline


class PositionIndex:
    """The positions of any number of timelines as one sequence in order."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._codes = array("q")
        self._taken: list[int] = []
        """Of each timeline, how many ticks can't change any more and were taken in."""
        self._rewinds = 0

    def update(self, timelines: Sequence[Timeline]) -> Sequence[Position]:
        """Take in what is new.

        Args:
            timelines: as before, and any that were added since.
        """
        rewinds = sum(timeline.rewinds for timeline in timelines)
        if rewinds != self._rewinds:
            self._clear()
            self._rewinds = rewinds
        self._taken += [0] * (len(timelines) - len(self._taken))
        fresh: set[int] = set()
        for number, timeline in enumerate(timelines):
            fresh.update(timeline.marked(self._taken[number]))
            self._taken[number] = max(0, len(timeline) - 1)
        for code in sorted(fresh):
            at = bisect_left(self._codes, code)
            if at == len(self._codes) or self._codes[at] != code:
                self._codes.insert(at, code)
        return Positions(self._codes)
