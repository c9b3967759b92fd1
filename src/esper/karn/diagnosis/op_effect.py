"""What an op did against NOOP where the choice between them was random; and when that can't be told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from esper.karn.diagnosis.intervals import Interval
from esper.karn.textout import counted
from esper.leyline.thresholds import CONFIDENCE

RANDOMISED, WEIGHTED = "randomised", "weighted"
"""By a holdout's coin; by the policy's own logged probabilities."""

FLOOR = 0.01
"""Probabilities below count as this, so that no decision weighs more than 100."""
UNDER_FLOOR = 0.05
"""Share of states with such a probability from which the clipped weights stand for other states."""
DUST = 1e-6
"""How far beyond 0 or 1 rounding may carry a probability."""
SUM_SLACK = 0.02
"""How far from 1 the sum of ``op_probs`` may be: 16-bit floats round each of them by up to 0.4 %."""
IMPOSSIBLE = 0.05
"""Share of states whose probabilities can't be, from which the others are not to be believed either."""
OVERLAP = (0.05, 0.95)
"""An op's probability within which a state is said to have overlap."""
MIN_EPISODES = 8
MIN_ARM_EPISODES = 5
"""Episodes in which an arm has a decision."""
MIN_ARM = 10
"""Decisions of each arm."""
MIN_EXPECTED_ESS = 60
"""Of each arm, by the logged probabilities. Chosen by simulation, as all of these: from here on the 95 %
intervals cover the truth in 93 to 97 %; at 20 it came down to 90 % where ops are rare."""

SURE = 1 - (1 - CONFIDENCE) / 4
"""Confidence of each of the four claims that a run's answer may make: two outcomes of two ops."""

HOLDOUT_ADVICE = "train again with --holdout 0.05"


class EpisodeSums(msgspec.Struct, frozen=True, kw_only=True):
    """What one episode's decision states add up to: all that an effect is made of.

    A state is a decision at which the op and NOOP both could have been carried out. w is 1 / p, of what was
    carried out; the sums of an arm are over the states where it was. Outcomes are changes over the horizon.
    """

    states: int
    n_op: int
    w_op: float
    """Sum of w, as the three after it of w squared, w times the accuracy's and w times the loss's change."""
    ww_op: float
    accuracy_op: float
    loss_op: float
    n_noop: int
    w_noop: float
    ww_noop: float
    accuracy_noop: float
    loss_noop: float
    pw_op: float
    """Sum over all states of p w: the weight that is expected of the arm; with it, of p w squared."""
    pww_op: float
    pw_noop: float
    pww_noop: float
    in_overlap: int
    """States with an op's probability in OVERLAP."""
    under_floor: int
    """States in which the op or NOOP has a probability under FLOOR."""
    min_op: float
    """Least probability of the op."""
    min_noop: float
    left_out: int
    """States that are not among the others: what was before or what followed is no finite number."""
    impossible: int = 0
    """Nor are these: their probabilities can't be, as per cent can't, or a sum of ``op_probs`` far from 1."""
    ended: int = 0
    """Nor these: the episode did not go on for the horizon."""


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind an effect of an op against NOOP."""

    episodes: int
    states: int
    n_op: int
    """States in which the op was carried out, and in which it was NOOP."""
    n_noop: int
    arm_episodes: int
    """Episodes with a decision, of the arm that has fewer."""
    ess_op: float
    """Kish's effective sample size: as many equal weights say as much as these."""
    ess_noop: float
    expected_ess: float
    """What the logged probabilities let expect of it, in the arm where it is less. The draw has no part in
    it: a draw that missed the heavy states looks better than it is."""
    overlap: float
    """Share of the states with an op's probability from 0.05 to 0.95."""
    under_floor: float
    """Share of the states in which the op or NOOP has a probability under 0.01."""
    min_op: float
    """Least probability of the op over the states."""
    min_noop: float
    left_out: int
    """States that are not among the others, since what was before or what followed is no finite number."""
    impossible: int = 0
    """Nor are these, since their probabilities can't be."""


class OpEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of an op against NOOP on what follows, with 95 % intervals by episode.

    Changes of accuracy are fractions (more is better), of loss the user's unit (less is better).
    """

    op_name: str
    method: str
    """``randomised`` or ``weighted``."""
    horizon: int
    """Epochs over which the changes are: those that were asked for, times the epochs between two that the run
    records."""
    holdout: float | None
    """Least probability with which ops were held back."""
    refused: str | None
    """Why there is no effect; both are None then."""
    accuracy: Interval
    loss: Interval
    support: Support | None
    accuracy_beyond: int = 0
    """Whether the change of accuracy lies beyond chance: +1 above 0, -1 below, 0 where chance could be it.
    Four such claims, of two outcomes of two ops, are all right with 95 % (Bonferroni): each at SURE."""
    loss_beyond: int = 0
    """Likewise of the loss."""


class NaiveEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The seed's advantage of an op: the mean change after it less that after NOOPs of other moments."""

    n: int
    loss_advantage: float | None
    accuracy_advantage: float | None
    """A fraction."""
    baseline_at_least: int
    """NOOPs behind each op's baseline."""


class OpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What can be told of an op's effect in one run."""

    run_dir: str
    op_name: str
    env_id: int | None
    slot_id: str | None
    effects: list[OpEffect]
    """Randomised, where there was a holdout; then weighted."""
    naive: NaiveEffect


def support_of(episodes: Sequence[EpisodeSums]) -> Support | None:
    """The totals over episodes; None where there is no state."""
    some = [episode for episode in episodes if episode.states]
    if not some:
        return None

    def total(name: str) -> float:
        return math.fsum(getattr(episode, name) for episode in some)

    states = int(total("states"))
    return Support(
        episodes=len(some),
        states=states,
        n_op=int(total("n_op")),
        n_noop=int(total("n_noop")),
        arm_episodes=min(sum(e.n_op > 0 for e in some), sum(e.n_noop > 0 for e in some)),
        ess_op=_kish(total("w_op"), total("ww_op")),
        ess_noop=_kish(total("w_noop"), total("ww_noop")),
        expected_ess=min(_kish(total("pw_op"), total("pww_op")), _kish(total("pw_noop"), total("pww_noop"))),
        overlap=total("in_overlap") / states,
        under_floor=total("under_floor") / states,
        min_op=min(episode.min_op for episode in some),
        min_noop=min(episode.min_noop for episode in some),
        left_out=sum(episode.left_out for episode in episodes),
        impossible=sum(episode.impossible for episode in episodes),
    )


def lost_text(left_out: int, impossible: int) -> list[str]:
    """A clause for each kind of state that is left out, as far as there is one."""
    said = []
    if impossible:
        said.append(
            f"{_left_out(impossible)}: {'its' if impossible == 1 else 'their'} op_probs or "
            "holdout_probability can't be (each lies in 0 to 1, and op_probs add up to 1)"
        )
    if left_out:
        said.append(f"{_left_out(left_out)}: no finite loss and accuracy before and after")
    return said


def no_state(episodes: Sequence[EpisodeSums], horizon: int) -> str | None:
    """Why not one state is left, where there were some; None where there was none."""
    lost = lost_text(sum(e.left_out for e in episodes), sum(e.impossible for e in episodes))
    if lost:
        return "; ".join(lost)
    if any(episode.ended for episode in episodes):
        return f"no episode goes on for {counted(horizon, 'epoch')} after such a decision"
    return None


def _left_out(n: int) -> str:
    return f"{counted(n, 'state')} {'is' if n == 1 else 'are'} left out"


def refusal(method: str, support: Support) -> str | None:
    """Why an effect would say nothing; None if it would."""
    was = "held back" if method == RANDOMISED else "NOOP"
    lost = "".join(f"; {clause}" for clause in lost_text(support.left_out, support.impossible))
    if support.impossible > IMPOSSIBLE * (support.states + support.impossible):
        return lost.removeprefix("; ")
    if support.n_op < MIN_ARM or support.n_noop < MIN_ARM:
        return (
            f"of {counted(support.states, 'state')} in which it could have been either, the op was done in "
            f"{support.n_op} and {was} in {support.n_noop}; {MIN_ARM} of each are needed{lost}"
        )
    if support.episodes < MIN_EPISODES:
        return f"{counted(support.episodes, 'episode')}; {MIN_EPISODES} are needed for an interval{lost}"
    if support.arm_episodes < MIN_ARM_EPISODES:
        return (
            f"one of the two was in {counted(support.arm_episodes, 'episode')} only; {MIN_ARM_EPISODES} are "
            "needed"
        )
    if method == RANDOMISED:
        return None
    if support.under_floor > UNDER_FLOOR:
        return (
            f"no support: in {100 * support.under_floor:.0f} % of {support.states} states the op or NOOP had "
            f"a probability under {FLOOR:g}"
        )
    if support.expected_ess < MIN_EXPECTED_ESS:
        return (
            f"too little support: the weights leave an effective sample of {support.expected_ess:.0f}, "
            f"{MIN_EXPECTED_ESS} are needed"
        )
    return None


def _kish(weight: float, squares: float) -> float:
    """Sum of weights, squared, over the sum of their squares.

    Source: L. Kish, Survey Sampling (1965), section 11.7.
    """
    return weight * weight / squares if squares > 0 else 0.0
