"""What a verdict holds: on a run, its slots, environments and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esper.karn.diagnosis.clues import Effect, Why
from esper.karn.diagnosis.op_effect import OpEffect
from esper.karn.diagnosis.slots import SlotVerdict
from esper.leyline.thresholds import BASELINE_WARM_VERDICT, LEGEND, USAGE_GATE

_BIASED = (
    "Observed, not caused: the NOOP baseline is biased, since NOOPs are not chosen where ops are (near an "
    "optimum changes are small, early in an episode large)"
)
BIAS = f"{_BIASED}; only randomised ops would tell."
WARM_UP = (
    f"Only ops whose baseline rests on {BASELINE_WARM_VERDICT} NOOPs or more count: with fewer, the first "
    "NOOPs of the run still weigh most of it."
)


def bias_text(refused: Sequence[str]) -> str:
    """What to think of the naive effect; where a holdout was on, why that does not tell instead.

    Args:
        refused: of each op that was held back, its name and why there is no effect.
    """
    if not refused:
        return BIAS
    return f"{_BIASED}. A holdout was on, but its effect is refused: {'. '.join(refused)}."


class Moment(msgspec.Struct, frozen=True):
    """A point of a run: epoch within the episode of one environment, and when it was written."""

    episode_idx: int | None
    epoch: int | None
    timestamp: str | None


class SlotReport(SlotVerdict, frozen=True, kw_only=True):
    """A slot's verdict with its place in time."""

    rank: int | None
    since: Moment | None
    """Where the thrashing began; None unless the slot is named."""
    ended: Moment | None
    """Where it stopped; None while it goes on."""
    settled: bool | None
    """Whether the level was left alone for 10 epochs of one episode at the end; a seed that germinates or is
    pruned changes it too. None where epochs are unknown."""
    episodes: int
    """Episodes in which the slot had an internal op."""
    settled_episodes: int
    """Those of them that ended settled."""
    undone_cost: float | None
    """Intervention cost spent on ops that were undone; None where no cost was recorded."""


class EnvReport(msgspec.Struct, frozen=True, kw_only=True):
    """One environment: its slots, and its ops per epoch, over all its episodes."""

    env_id: int | None
    rank: int | None
    slots: int
    judged: int
    thrashing: int
    thrashing_share: float | None
    """Of the slots with enough pairs to judge."""
    internal_op_rate: float | None
    op_rate_band: str


class RankReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process's share of thrashing slots."""

    rank: int | None
    slots: int
    judged: int
    thrashing: int
    thrashing_share: float | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Whether internal ops are used: their share of non-NOOP decisions while a ladder seed was present."""

    internal_ops: int
    decisions: int
    share: float | None
    gate: float = USAGE_GATE
    passed: bool | None
    """None where no decision but NOOPs was recorded."""


class RunVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to "is my policy thrashing, since when, where, and do GROW ops help?" """

    run_dir: str
    status: str
    label: str
    """thrashing (a slot is named, or all free pairs together lie above a coin flip), not_thrashing or
    insufficient_data."""
    answer: str
    """The verdict in one or two sentences."""
    band: str
    """Band of the pooled reversal rate."""
    indicator: str | None
    """Colour of the pooled reversal rate."""
    reversal_rate: float | None
    n_pairs: int
    free_reversal_rate: float | None
    n_free_pairs: int
    free_low: float | None
    free_high: float | None
    vs_random: str | None
    undone_within_5: float | None
    churn: float | None
    undone_cost: float | None
    n_slots: int
    n_judged: int
    n_thrashing: int
    slots: list[SlotReport]
    """Worst first."""
    environments: list[EnvReport]
    ranks: list[RankReport]
    usage: Usage
    effects: list[Effect]
    told_effects: list[OpEffect] = []
    """Of ops whose effect can be told: by a holdout, or by the policy's own probabilities."""
    warm_up: str = WARM_UP
    bias: str = BIAS
    """What to think of ``effects``."""
    why: Why
    evidence: list[dict[str, Any]]
    """Latest reversals of the worst slots, as rows of op_pairs."""
    legend: str = LEGEND
    notes: list[str]
    """What the reader must know of the data: bad lines, gaps, a run that goes on."""
