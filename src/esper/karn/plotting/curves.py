"""What is drawn of a run: the internal level of each slot over all epochs of its environment.

Epochs begin anew in each episode. Here the episodes of an environment lie one after the other: ``x`` is
the number of epochs that it has completed in all.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Episode(msgspec.Struct, frozen=True):
    """One episode of an environment on its axis."""

    start: int
    """``x`` at which it begins."""
    length: int
    """Its epochs so far, at least 1."""


class SeedCurve(msgspec.Struct, frozen=True, kw_only=True):
    """One seed's stay in a slot."""

    points: list[tuple[int, int]]
    """``(x, level)``: from x on it had this level."""
    end: int
    """``x`` at which it was pruned or the episode ended."""
    fossilized: int | None
    """``x`` from which its level could not change any more."""


class Reversal(msgspec.Struct, frozen=True, array_like=True):
    """An op that went back from where the one before had led."""

    x: int
    level: int
    """From which it went back."""
    free: bool
    """Whether it could have gone on: the level lay strictly between 0 and max_level."""


class SlotLevels(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of one environment."""

    env_id: int | None
    slot_id: str | None
    label: str
    """The verdict on it, one of diagnosis.LABELS."""
    max_level: int
    n_ops: int
    n_pairs: int
    n_reversals: int
    episodes: list[Episode]
    seeds: list[SeedCurve]
    reversals: list[Reversal]
    since: int | None
    """``x`` from which it thrashes; None unless it is named."""
    since_text: str | None

    @property
    def end(self) -> int:
        """The last ``x`` of its environment."""
        return max((episode.start + episode.length for episode in self.episodes), default=0)

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """``(from x, to x, level)`` of every stretch without a change."""
        for seed in self.seeds:
            ends = [x for x, _ in seed.points[1:]] + [seed.end]
            for (start, level), end in zip(seed.points, ends, strict=True):
                yield start, end, level

    def steps(self) -> list[tuple[int, int | None]]:
        """``(x, level)`` at each change, with None where no seed with levels is there."""
        steps: list[tuple[int, int | None]] = []
        for seed in self.seeds:
            if steps and steps[-1][0] == seed.points[0][0]:
                steps.pop()
            steps += [*seed.points, (seed.end, None)]
        return steps


class RunLevels(msgspec.Struct, frozen=True, kw_only=True):
    """The slots to show of a run, worst first."""

    run_dir: str
    status: str
    label: str
    """The run's verdict."""
    slots: list[SlotLevels]
    n_slots: int
    """Slots that were asked for and had an internal op."""
    notes: list[str]
