"""An op's effect as text: for the verdict in a line, by itself in a few."""

from __future__ import annotations

from collections.abc import Sequence

from esper.karn.diagnosis.clues import Effect
from esper.karn.diagnosis.intervals import Interval
from esper.karn.diagnosis.op_effect import (
    HOLDOUT_ADVICE,
    MIN_ARM,
    MIN_EPISODES,
    RANDOMISED,
    NaiveEffect,
    OpAnswer,
    OpEffect,
    Support,
    lost_text,
)
from esper.karn.textout import counted, quoted

NAIVE = "naive: beside NOOPs of other moments, biased; see op_effect"

_WHY_THEY_DIFFER = (
    "It compares with NOOPs of other moments, and ops are not chosen at random ones (near a plateau, where "
    "little would have changed anyway)."
)


def told_effect_text(effect: OpEffect, naive: Effect | None = None) -> str:
    """An effect that is not refused, in a line, with the naive one where there is one."""
    support = effect.support
    assert support is not None
    noop = "held back" if effect.method == RANDOMISED else "NOOP"
    beside = ""
    if naive is not None and naive.loss_advantage is not None:
        beside = f"; naive loss {naive.loss_advantage:+.4f} (n = {naive.n})"
    return (
        f"{_name(effect)}, {effect.method}: loss {interval_text(effect.loss)}, accuracy "
        f"{interval_text(effect.accuracy)}; {support.n_op} done, {support.n_noop} {noop}{beside}"
    )


def answer_lines(answer: OpAnswer) -> list[str]:
    """What can be told of an op's effect in a run: where, the effect with what it rests on, the naive one."""
    env = "" if answer.env_id is None else f", env {answer.env_id}"
    slot = "" if answer.slot_id is None else f", slot {quoted(answer.slot_id)}"
    return [
        f"run {quoted(answer.run_dir)}{env}{slot}",
        *effect_lines(answer.effects, partial=answer.env_id is not None or answer.slot_id is not None),
        _naive_line(answer.naive),
    ]


def effect_lines(effects: Sequence[OpEffect], *, partial: bool = False) -> list[str]:
    """One op's effect by each method, or why there is none, with what it rests on; the answer first.

    Args:
        effects: at least one; the first that is not refused is the answer.
        partial: whether they are of a part of the run.
    """
    refused = [effect for effect in effects if effect.refused is not None]
    why = [f"{effect.method}: refused, {effect.refused}" for effect in refused]
    name = effects[0].op_name.removesuffix("_INTERNAL")
    told = next((effect for effect in effects if effect.refused is None), None)
    if told is None:
        return [f"{name} against NOOP: it can't be told.", *why, _advice(effects, partial=partial)]
    support = told.support
    assert support is not None
    over = "epoch" if told.horizon == 1 else f"{told.horizon} epochs, later decisions included"
    return [
        f"{name} against NOOP: {_said(told)}.",
        f"accuracy {interval_text(told.accuracy)}, loss {interval_text(told.loss)} over the next {over} "
        "(95 % intervals by episode; a negative loss is better)",
        _randomised(told, support) if told.method == RANDOMISED else _weighted(support),
        *lost_text(support.left_out, support.impossible),
        *why,
    ]


def _advice(effects: Sequence[OpEffect], *, partial: bool) -> str:
    """What would have it told: the cheapest first."""
    asks = ["ask of the whole run"] if partial else []
    if effects[0].horizon > 1:
        asks.append("ask for a shorter horizon")
    coin = any(effect.method == RANDOMISED for effect in effects)
    asks.append("train for more episodes" if coin else HOLDOUT_ADVICE)
    enough = f"{MIN_ARM} ops held back at random in {MIN_EPISODES} episodes can do"
    return f"To have it told, {', or '.join(asks)}: {enough}."


def interval_text(interval: Interval) -> str:
    """``+0.0040 [+0.0010, +0.0070]``."""
    if interval.value is None or interval.low is None or interval.high is None:
        return "unknown"
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _randomised(effect: OpEffect, support: Support) -> str:
    return (
        f"randomised: {support.n_op} done, {support.n_noop} held back by a coin of {effect.holdout:.3g}, "
        f"over {counted(support.episodes, 'episode')}; where the policy chose it"
    )


def _weighted(support: Support) -> str:
    return (
        f"weighted by 1 / the logged probability, at most 100: {support.n_op} done, {support.n_noop} NOOP, "
        f"of {support.states} states over {counted(support.episodes, 'episode')}; effective sample "
        f"{support.ess_op:.0f} and {support.ess_noop:.0f}; overlap: in {100 * support.overlap:.0f} % of the "
        f"states the op had a probability of 0.05 to 0.95, at least {support.min_op:.2g} (NOOP "
        f"{support.min_noop:.2g})"
    )


def _naive_line(naive: NaiveEffect) -> str:
    if naive.loss_advantage is None or naive.accuracy_advantage is None:
        return "naive: no op has an outcome with a warm baseline"
    return (
        f"naive loss_advantage {naive.loss_advantage:+.4f} (positive is worse), accuracy "
        f"{naive.accuracy_advantage:+.4f} over 1 epoch (n = {naive.n}, baselines of "
        f"{naive.baseline_at_least} NOOPs). {_WHY_THEY_DIFFER}"
    )


def _said(effect: OpEffect) -> str:
    accuracy, loss = effect.accuracy_beyond, effect.loss_beyond
    moved = [
        f"{'raises' if direction > 0 else 'lowers'} {what}"
        for what, direction in (("accuracy", accuracy), ("loss", loss))
        if direction
    ]
    if not moved:
        return "no effect beyond chance, of two ops and two outcomes that are looked at"
    good, bad = accuracy > 0 or loss < 0, accuracy < 0 or loss > 0
    verdict = "it helps and it harms" if good and bad else "it helps" if good else "it harms"
    return f"{verdict}: it {' and '.join(moved)}, beyond chance"


def _name(effect: OpEffect) -> str:
    return effect.op_name.removesuffix("_INTERNAL")
