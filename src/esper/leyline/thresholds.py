"""The thresholds that SQL, MCP, CLI and Sanctum share. No other module holds one.

Two scales read the same number on purpose. ``band`` decides words and glyphs, ``indicator`` decides
colours only; red starts inside the upper caution zone (``LEGEND`` says so wherever colours are shown).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

MIN_PAIRS = 10
"""Pairs of consecutive ops below which a reversal rate says nothing (band: insufficient_data)."""

WATCH_AT = 0.3
"""Reversal rate from which a slot is worth watching."""
CAUTION_AT = 0.5
"""Reversal rate from which a slot is in the caution zone."""
THRASH_ABOVE = 0.7
"""Reversal rate above which the band is thrash."""
RED_AT = 0.6
"""Reversal rate from which the indicator is red."""

BANDS = ("insufficient_data", "healthy", "watch", "caution", "thrash")
"""Every word that ``band`` can answer, in rising order of concern."""
INDICATORS = ("green", "yellow", "red")
"""Every colour that ``indicator`` can answer."""
LEGEND = (
    f"band: healthy < {WATCH_AT}, watch < {CAUTION_AT}, caution to {THRASH_ABOVE}, thrash above; "
    f"colour: green < {WATCH_AT}, yellow < {RED_AT}, red from {RED_AT} on (the upper caution zone)"
)

COIN_FLIP_RATE = 0.5
"""Free reversal rate of a policy that flips a fair coin, on a ladder of any height."""
SWEEP_CHURN = 0.8
"""Churn above which a slot that rarely reverses is sweeping up and down for ever."""
UNDO_EPOCHS = 5
"""An op is undone when the next one reverses it within this many epochs."""
STABLE_EPOCHS = 10
"""A level is settled after this many epochs of its environment without a change."""
RATE_LOW = 0.1
RATE_HEALTHY_TO = 0.4
RATE_BUSY_TO = 0.6
"""Bounds of an environment's internal ops per epoch: low, healthy, busy, too_frequent."""
USAGE_GATE = 0.10
"""Share of internal ops among non-NOOP decisions below which the policy does not use them."""
SETTLED_GATE = 0.5
"""Share of slot episodes that end settled below which a run's levels do not come to rest."""
ENTROPY_COLLAPSE = 0.1
"""Share of the entropy it once had, or that a uniform choice has, below which a policy has collapsed."""
SUSTAINED_UPDATES = 3
"""Updates of the policy in a row that make a collapse a sustained one."""
MIN_SAMPLES = 3
"""Values below which a mean has no interval."""
BASELINE_WARM_QUERY = 10
"""Baseline samples that the example query asks for: the seed's filter."""
BASELINE_WARM_VERDICT = 100
"""Baseline samples that the verdict asks for: with alpha 0.01 the first NOOP still weighs 0.91
after 10 samples and 0.37 after 100."""
CONFIDENCE = 0.95
"""Confidence of every interval, before the correction for the number of slots looked at."""


def band(reversal_rate: float | None, n: int | None) -> str:
    """The word for a reversal rate.

    Args:
        reversal_rate: share of reversals among pairs of consecutive ops, 0 to 1.
        n: number of pairs behind it.

    Returns:
        ``insufficient_data`` under 10 pairs (never "healthy"), else healthy < 0.3, watch < 0.5,
        caution 0.5 to 0.7, thrash > 0.7.
    """
    if reversal_rate is None or n is None or n < MIN_PAIRS or math.isnan(reversal_rate):
        return "insufficient_data"
    if reversal_rate < WATCH_AT:
        return "healthy"
    if reversal_rate < CAUTION_AT:
        return "watch"
    return "thrash" if reversal_rate > THRASH_ABOVE else "caution"


def indicator(reversal_rate: float | None, n: int | None) -> str | None:
    """The colour for a reversal rate: green < 0.3, yellow < 0.6, red from 0.6; None under 10 pairs."""
    if reversal_rate is None or n is None or n < MIN_PAIRS or math.isnan(reversal_rate):
        return None
    if reversal_rate < WATCH_AT:
        return "green"
    return "yellow" if reversal_rate < RED_AT else "red"


def op_rate_band(internal_op_rate: float | None) -> str:
    """The word for an environment's internal ops per epoch over an episode.

    Per slot the rate has no band: with many slots each one acts rarely.
    """
    if internal_op_rate is None or math.isnan(internal_op_rate):
        return "insufficient_data"
    if internal_op_rate < RATE_LOW:
        return "low"
    if internal_op_rate <= RATE_HEALTHY_TO:
        return "healthy"
    return "busy" if internal_op_rate <= RATE_BUSY_TO else "too_frequent"


@lru_cache(1024)
def z_score(comparisons: int = 1) -> float:
    """Two-sided normal quantile at 95 %, Bonferroni-corrected for ``comparisons`` looks.

    Raises:
        ValueError: if ``comparisons`` is below 1.
    """
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, not {comparisons}")
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * comparisons))


def wilson_interval(successes: int, n: int, z: float | None = None) -> tuple[float, float] | None:
    """Wilson score interval of a proportion, or None without a trial.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.

    Args:
        successes: trials that came out true, 0 to n.
        n: trials.
        z: normal quantile; None takes the two-sided 95 % one.
    """
    if n <= 0:
        return None
    quantile = z_score() if z is None else z
    share, squared = successes / n, quantile * quantile
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile * math.sqrt(share * (1 - share) / n + squared / (4 * n * n)) / (1 + squared / n)
    return max(0.0, centre - half), min(1.0, centre + half)
