"""What is counted and measured of one run for a comparison with another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from esper.karn.diagnosis.intervals import Part, Sample
from esper.leyline.thresholds import ENTROPY_COLLAPSE


class Thrash(msgspec.Struct, frozen=True, kw_only=True):
    """The pooled numbers of the run's verdict."""

    label: str
    """thrashing, not_thrashing or insufficient_data."""
    vs_random: str | None
    """less, indistinguishable or more: the free reversal rate against a coin flip's 0.5."""
    reversals: Part
    """Of all pairs of consecutive ops."""
    free_reversals: Part
    """Of the pairs whose second op could have gone either way."""
    undone: Part
    """Ops that the next one reversed within 5 epochs."""
    named: Part
    """Slots that thrash beyond chance, of those with enough pairs to judge."""
    churn: float | None
    """1 - |net| / ops."""


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """Whether levels come to rest within an episode. A unit is a slot in an episode that had an op."""

    settled: Part
    """Units whose level was left alone for the last 10 epochs, of those whose epochs are known."""
    early_net: float | None
    """Mean over units of |net level change| in the first half of the episode's epochs [ops]."""
    late_net: float | None
    """The same for the second half."""


class BlueprintUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much a run used one blueprint."""

    blueprint: str
    germinated: int
    fossilized: int
    seed_epochs: int
    """Epochs that seeds of it spent in a slot before they were removed, summed over seeds."""


class EntropyTrack(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's entropy over the training, as a share: 0 is one certain choice."""

    source: str
    """updates: of each PPO update, as a share of the highest so far. decisions: of each episode's
    decisions that had a choice, as a share of a uniform choice's."""
    n: int
    """Updates or episodes."""
    lowest: float
    longest_collapse: int
    """Most updates or episodes in a row under ENTROPY_COLLAPSE, or flagged as collapsed."""


class EnvEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Where one environment ended: means over its last episodes."""

    env_id: int | None
    episodes: int
    accuracy: float | None
    loss: float | None
    params: float | None


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as far as its events say."""

    run_dir: str
    status: str
    has_decisions: bool
    has_ladder: bool
    """Whether any event speaks of a seed with levels."""
    usage: Part
    """Level changes, of the non-NOOP decisions while a seed with levels was present."""
    thrash: Thrash
    settling: Settling
    episode_return: Sample
    """Sum of an episode's rewards, costs taken off, over episodes."""
    lost_returns: int
    """Episodes that are not among them, since their reward was no finite number."""
    accuracy: Sample
    """At the end, over episodes [fraction]."""
    loss: Sample
    params: Sample
    """Active parameters at the end [scalars]."""
    environments: list[EnvEnd]
    blueprints: list[BlueprintUse]
    """The most germinated first."""
    entropy: EntropyTrack | None
    rollbacks: int
    settings: dict[str, str | None]
    """What must be equal for a fair comparison, by name."""
    notes: list[str] = []
    """What the reader must know of the data."""

    @property
    def dominance(self) -> Part:
        """Germinations of the most germinated blueprint, of all germinations."""
        counts = [use.germinated for use in self.blueprints]
        return Part(max(counts, default=0), sum(counts))

    @property
    def blueprint_entropy(self) -> float | None:
        """Shannon entropy of the germinations over blueprints [nats]: 0 where there is but one."""
        counts = [use.germinated for use in self.blueprints if use.germinated]
        total = sum(counts)
        if not total:
            return None
        return abs(sum(-count / total * math.log(count / total) for count in counts))


def track_entropy(source: str, series: Sequence[Sequence[tuple[float, bool]]]) -> EntropyTrack | None:
    """Follow the entropy of one or more processes.

    Args:
        source: updates or decisions, see EntropyTrack.
        series: for each process in order, its entropies, and whether the training itself called them
            collapsed. Those of decisions are shares of a uniform choice's already.

    Returns:
        What was seen, or None without a value.
    """
    longest, shares = 0, []
    for entropies in series:
        streak, highest = 0, 0.0
        for entropy, flagged in entropies:
            highest = max(highest, entropy) if source == "updates" else 1.0
            share = entropy / highest if highest > 0 else 0.0
            shares.append(share)
            streak = streak + 1 if flagged or share < ENTROPY_COLLAPSE else 0
            longest = max(longest, streak)
    if not shares:
        return None
    return EntropyTrack(source=source, n=len(shares), lowest=min(shares), longest_collapse=longest)
