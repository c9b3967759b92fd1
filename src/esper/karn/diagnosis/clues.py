"""Why a policy may thrash, and whether its ops help: worded as evidence, never as proof."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from esper.leyline.thresholds import BASELINE_WARM_QUERY, BASELINE_WARM_VERDICT, MIN_PAIRS, z_score

UNDECIDED_BELOW = 1.5
"""Times a uniform choice's probability under which a policy is undecided between the legal ops."""
DELIBERATE_FROM = 2.0
"""Times a uniform choice's probability from which it chooses deliberately."""


_SHOWN = 1e-4
"""The last digit of an effect that is shown; what rounds to nothing is no effect."""


class Clue(msgspec.Struct, frozen=True):
    """One piece of evidence. Not ``measurable``: ``text`` says which fields are absent."""

    measurable: bool
    text: str
    numbers: dict[str, float | int | None]


class Why(msgspec.Struct, frozen=True):
    """Three clues to why ops are reversed."""

    probability: Clue
    """The policy's probability of the reversing ops against a uniform choice among the legal ones."""
    reward: Clue
    """The reward of the reversing ops before and after the intervention cost."""
    policy_updates: Clue
    """Entropy and KL divergence of the policy's updates around ``since``."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What happened after an op, beyond what happened after NOOPs; 95 % intervals by normal approximation.

    A positive ``loss_advantage`` is worse, a positive ``accuracy_advantage`` (a fraction) better. The
    interval ignores that ops of one episode depend on each other.
    """

    op_name: str
    n: int
    """Ops with an outcome and a warm baseline."""
    n_all: int
    """Ops with an outcome."""
    loss_advantage: float | None
    loss_low: float | None
    loss_high: float | None
    accuracy_advantage: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    text: str


def _not_measurable(why: str) -> Clue:
    return Clue(False, f"not measurable: {why}", {})


def probability_clue(n: int, probability: float | None, times_uniform: float | None) -> Clue:
    """Whether the policy was undecided when it reversed, or meant it.

    Args:
        n: reversing ops whose probability and number of legal ops are known.
        probability: their mean probability.
        times_uniform: mean of probability times number of legal ops; 1 is a uniform choice.
    """
    if not n or probability is None or times_uniform is None:
        return _not_measurable(
            "no reversing op has a decision of its epoch with op_probability and legal_ops"
        )
    if times_uniform < UNDECIDED_BELOW:
        word = "which points to an undecided policy"
    elif times_uniform >= DELIBERATE_FROM:
        word = "which points to a policy that reverses deliberately"
    else:
        word = "which points neither to indecision nor to intent"
    return Clue(
        True,
        f"reversing ops had probability {probability:.2f}, {times_uniform:.1f} times a uniform choice among "
        f"the legal ops, {word} (n = {n})",
        {"n": n, "probability": probability, "times_uniform": times_uniform},
    )


def reward_clue(n: int, reward: float | None, cost: float | None, spread: float | None) -> Clue:
    """Whether reversing was paid for.

    Args:
        n: reversing ops whose reward and cost are known.
        reward: their mean reward, cost taken off.
        cost: their mean intervention cost.
        spread: standard deviation of the reward over all decisions.
    """
    if not n or reward is None or cost is None:
        return _not_measurable(
            "no reversing op has a decision of its epoch with reward and intervention_cost"
        )
    gross = reward + cost
    if spread is None or spread == 0:
        size = "the reward does not vary"
    else:
        size = f"the cost is {cost / spread:.2f} of the reward's spread of {spread:.4f}"
    if gross > 0 and reward > 0:
        paid = "reversing is rewarded even after the cost"
    elif gross > 0:
        paid = "reversing is rewarded before the cost and not after it"
    else:
        paid = "reversing is not rewarded"
    return Clue(
        True,
        f"reversing ops earned {gross:+.4f} before and {reward:+.4f} after the intervention cost: {paid}; "
        f"{size} (n = {n})",
        {"n": n, "reward_before_cost": gross, "reward": reward, "cost": cost, "spread": spread},
    )


def policy_update_clue(
    before: tuple[int, float | None, float | None],
    after: tuple[int, float | None, float | None],
    *,
    named: bool,
) -> Clue:
    """How the policy's updates changed where thrashing began.

    Args:
        before: number of PPO updates before ``since``, their mean entropy and mean KL divergence.
        after: the same for those after it.
        named: whether any slot is named, so that there is a ``since``.
    """
    if not named:
        return _not_measurable("no slot thrashes, so there is no point to compare around")
    if not before[0] or not after[0]:
        return _not_measurable("there are no PPO_UPDATE_COMPLETED events on both sides of since")
    parts = []
    for name, old, new in (("entropy", before[1], after[1]), ("KL divergence", before[2], after[2])):
        if old is not None and new is not None:
            parts.append(f"{name} {old:.4g} before and {new:.4g} after")
    if not parts:
        return _not_measurable("the PPO updates carry neither entropy nor kl_divergence")
    return Clue(
        True,
        f"around since, {', '.join(parts)} ({before[0]} and {after[0]} updates)",
        {
            "updates_before": before[0],
            "updates_after": after[0],
            "entropy_before": before[1],
            "entropy_after": after[1],
            "kl_before": before[2],
            "kl_after": after[2],
        },
    )


class Spread(NamedTuple):
    """Some values: their mean, the standard deviation of a sample, and how many; None of too few."""

    mean: float | None
    deviation: float | None
    n: int


def effect(
    op_name: str,
    n_all: int,
    n_warm: int,
    loss: Spread,
    accuracy: Spread,
    early: tuple[int, float | None] = (0, None),
) -> Effect:
    """What an op did beyond NOOPs.

    Args:
        op_name: GROW_INTERNAL or SHRINK_INTERNAL.
        n_all: ops with an outcome.
        n_warm: those with a warm baseline.
        loss: their loss advantage, where it is known: after a loss that is no number it is not.
        accuracy: likewise their accuracy advantage, as fractions.
        early: number and mean loss advantage of ops whose baseline passes the weaker filter of the
            example query; shown where nothing better is there.
    """
    loss_low, loss_high = _interval(loss)
    accuracy_low, accuracy_high = _interval(accuracy)
    name = op_name.removesuffix("_INTERNAL")
    n = loss.n
    known = "" if n == n_warm else " and a loss that is a number"
    if n_warm == 0:
        text = (
            f"{name}: not measurable, no baseline of its {n_all} outcomes rests on "
            f"{BASELINE_WARM_VERDICT} NOOPs"
        )
        if early[0]:
            text += (
                f"; on {BASELINE_WARM_QUERY}, which says little: loss {_number(early[1])} (n = {early[0]})"
            )
    elif loss_low is None or loss_high is None:
        few = f"over only {n} ops{' with a loss that is a number' if known else ''}, too few for an interval"
        text = f"{name}: loss advantage {_number(loss.mean)} {few}"
    else:
        if max(abs(loss_low), abs(loss_high)) < _SHOWN / 2:
            said = "the same loss as NOOP"
        else:
            word = "lower" if loss_high < 0 else "higher" if loss_low > 0 else "no clearly different"
            said = f"{word} loss than NOOP"
        text = (
            f"{name} went with {said}: {_number(loss.mean)} "
            f"[{loss_low:+.4f}, {loss_high:+.4f}], accuracy {_number(accuracy.mean)} "
            f"(n = {n} of {n_all}, those with {BASELINE_WARM_VERDICT} NOOPs behind the baseline{known})"
        )
    return Effect(
        op_name=op_name,
        n=n,
        n_all=n_all,
        loss_advantage=loss.mean,
        loss_low=loss_low,
        loss_high=loss_high,
        accuracy_advantage=accuracy.mean,
        accuracy_low=accuracy_low,
        accuracy_high=accuracy_high,
        text=text,
    )


def _interval(values: Spread) -> tuple[float | None, float | None]:
    if values.mean is None or values.deviation is None or values.n < MIN_PAIRS:
        return None, None
    half = z_score() * values.deviation / math.sqrt(values.n)
    return values.mean - half, values.mean + half


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4f}"
