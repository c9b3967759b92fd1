"""Effects of an op against NOOP: differences of weighted means, with intervals clustered by episode.

Pure: arrays of decisions in, results out. Observational only: no reward may rest on it, and nothing of
simic or kasmina imports it (a contract in pyproject.toml).

Two ways to one formula. Where a holdout's coin held ops back, the arms are "done" and "held back" among the
decisions where the policy chose the op, and p is the coin's; with one coin for all, the weights are equal and
the effect is the difference in means. Elsewhere the arms are "op" and "NOOP" among the states where both were
possible, and p is the policy's own probability of what was carried out, as logged. In both a decision weighs
1 / p, and each arm's mean is the weighted sum over the sum of weights (J. Hájek, comment on D. Basu, in
Foundations of Statistical Inference, 1971; self-normalised importance sampling). The probabilities are known,
so nothing about the policy is estimated.

**Why the cluster jackknife and not the bootstrap.** Decisions of one episode share their host, so an
episode is drawn as a whole. In simulation (``benchmarks/bench_effects.py``: a policy that grows near
plateaus, 8 to 200 episodes, rare ops), scipy.stats.bootstrap over episodes covers the truth in 84 to 94 % of
repetitions, percentile and BCa alike, since few episodes carry the heavy weights. The jackknife's standard
error with Student's quantile at G - 1 degrees of freedom, which A. C. Cameron and D. L. Miller, "A
practitioner's guide to cluster-robust inference", Journal of Human Resources 50 (2015), advise for few
clusters, comes to 88 to 95 %; with the degrees of freedom that the episodes' own spread leaves, 93 to 97 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from esper.karn.diagnosis.intervals import Interval
from esper.karn.diagnosis.op_effect import (
    FLOOR,
    OVERLAP,
    RANDOMISED,
    SURE,
    EpisodeSums,
    OpEffect,
    refusal,
    support_of,
)
from esper.leyline.thresholds import CONFIDENCE

Floats = NDArray[np.float64]

NO_STATE = "no decision at which both it and NOOP could have been carried out"


class Decisions(NamedTuple):
    """Decision states, an entry each; all arrays have the shape (n,)."""

    episode: NDArray[np.int64]
    """Any number that is the same for all states of one episode and for no others."""
    done: NDArray[np.int64]
    """1 where the op was carried out, 0 where it was NOOP, anything else where it was neither."""
    p_op: Floats
    """Probability with which the op would be carried out, and that of NOOP."""
    p_noop: Floats
    accuracy: Floats
    """Change after minus before; a fraction."""
    loss: Floats
    """Change after minus before; states where it or the accuracy's is not finite are left out."""


def episode_sums(decisions: Decisions, *, floor: float = FLOOR) -> list[EpisodeSums]:
    """Add the states up episode by episode.

    Args:
        decisions: the states, in any order.
        floor: probabilities below count as this; 0 for a holdout's.
    """
    _, episode = np.unique(decisions.episode, return_inverse=True)
    n = int(episode.max()) + 1 if len(episode) else 0
    finite = np.isfinite(decisions.accuracy) & np.isfinite(decisions.loss)
    left_out = np.bincount(episode[~finite], minlength=n)
    episode, done = episode[finite], decisions.done[finite]
    p_op, p_noop = decisions.p_op[finite], decisions.p_noop[finite]
    accuracy, loss = decisions.accuracy[finite], decisions.loss[finite]

    def total(values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(episode, weights=values.astype(np.float64), minlength=n)

    def least(values: Floats) -> Floats:
        found = np.full(n, np.inf)
        np.minimum.at(found, episode, values)
        return found

    columns: dict[str, NDArray[Any]] = {
        "states": np.bincount(episode, minlength=n),
        "in_overlap": total((p_op >= OVERLAP[0]) & (p_op <= OVERLAP[1])).astype(np.int64),
        "under_floor": total((p_op < floor) | (p_noop < floor)).astype(np.int64),
        "min_op": least(p_op),
        "min_noop": least(p_noop),
        "left_out": left_out,
    }
    for arm, which, p in (("op", done == 1, p_op), ("noop", done == 0, p_noop)):
        w = 1 / np.maximum(p, floor)
        columns |= {
            f"n_{arm}": total(which).astype(np.int64),
            f"w_{arm}": total(which * w),
            f"ww_{arm}": total(which * w * w),
            f"accuracy_{arm}": total(which * w * accuracy),
            f"loss_{arm}": total(which * w * loss),
            f"pw_{arm}": total(p * w),
            f"pww_{arm}": total(p * w * w),
        }
    names = list(columns)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [EpisodeSums(**dict(zip(names, row, strict=True))) for row in rows]


def op_effect(
    op_name: str,
    method: str,
    episodes: Sequence[EpisodeSums],
    *,
    horizon: int = 1,
    holdout: float | None = None,
) -> OpEffect:
    """The effect of an op against NOOP, or why there is none.

    Args:
        op_name: GROW_INTERNAL or SHRINK_INTERNAL.
        method: RANDOMISED or WEIGHTED, as the sums were made.
        episodes: the sums of each episode.
        horizon: epochs over which the changes are; only said.
        holdout: probability with which ops were held back; only said.
    """
    support = support_of(episodes)
    refused = NO_STATE if support is None else refusal(method, support)
    accuracy = loss = Interval(None)
    beyond = [0, 0]
    if refused is None:
        some = [episode for episode in episodes if episode.states]
        found = [_jackknife(some, outcome) for outcome in ("accuracy", "loss")]
        accuracy, loss = (estimate.interval(CONFIDENCE) for estimate in found)
        beyond = [_side(estimate.interval(SURE)) for estimate in found]
    return OpEffect(
        op_name=op_name,
        method=method,
        horizon=horizon,
        holdout=holdout if method == RANDOMISED else None,
        refused=refused,
        accuracy=accuracy,
        loss=loss,
        accuracy_beyond=beyond[0],
        loss_beyond=beyond[1],
        support=support,
    )


def difference(episodes: Sequence[EpisodeSums], outcome: str) -> Interval:
    """The op's weighted mean less NOOP's, with the cluster jackknife's 95 % interval.

    Args:
        episodes: their sums; both arms need a decision in at least two of them.
        outcome: ``accuracy`` or ``loss``.
    """
    return _jackknife(episodes, outcome).interval(CONFIDENCE)


class _Estimate(NamedTuple):
    """A difference, its standard error, and the degrees of freedom behind that."""

    value: float
    error: float
    degrees: float

    def interval(self, confidence: float) -> Interval:
        half = float(stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        return Interval(self.value, self.value - half, self.value + half)


def _jackknife(episodes: Sequence[EpisodeSums], outcome: str) -> _Estimate:
    """The op's weighted mean less NOOP's, by the cluster jackknife.

    With d_g the difference without episode g less the difference, and G episodes, the variance is
    (G - 1) / G sum d_g^2 (B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982). The
    degrees of freedom match the first two moments of that sum to a chi-squared's (F. E. Satterthwaite,
    Biometrics Bulletin 2 (1946), 110-114), both taken from the d_g:
    2 (sum d_g^2)^2 / (sum d_g^4 - (sum d_g^2)^2 / G), at least 1 and at most G - 1.
    """
    names = (f"{outcome}_op", "w_op", f"{outcome}_noop", "w_noop")
    sums = np.array([[getattr(episode, name) for name in names] for episode in episodes], dtype=np.float64)
    totals = sums.sum(0)
    value = _difference(totals)
    deleted = _difference(totals - sums) - value
    squares = deleted**2
    square = squares.sum()
    most = len(episodes) - 1
    spread = (squares**2).sum() - square**2 / len(episodes)
    degrees = np.clip(2 * square**2 / spread, 1, most) if spread > 0 else most
    error = np.sqrt(most / len(episodes) * square)
    return _Estimate(float(value), float(error), float(degrees))


def _side(interval: Interval) -> int:
    """+1 where the interval lies above 0, -1 below, 0 where it holds 0."""
    assert interval.low is not None
    assert interval.high is not None
    return int(interval.low > 0) - int(interval.high < 0)


def _difference(sums: Floats) -> Floats:
    """Of the two ratios; ``sums`` has the shape (..., 4)."""
    result: Floats = sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]
    return result
