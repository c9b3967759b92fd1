"""The four exit gates of a treatment against its control: passed, failed or not measurable, and why."""

from __future__ import annotations

import msgspec

from esper.karn.diagnosis.figures import RunFigures
from esper.karn.diagnosis.intervals import mean_difference, share_difference, share_interval
from esper.leyline.thresholds import (
    COIN_FLIP_RATE,
    ENTROPY_COLLAPSE,
    MIN_PAIRS,
    MIN_SAMPLES,
    SETTLED_GATE,
    STABLE_EPOCHS,
    SUSTAINED_UPDATES,
    USAGE_GATE,
)

PASSED, FAILED, NOT_MEASURABLE = "passed", "failed", "not measurable"

_NO_LADDER = (
    "no event of a seed with levels (a decision with ladder_present, SEED_GERMINATED with max_level, "
    "SEED_INTERNAL_LEVEL_CHANGED)"
)


class Gate(msgspec.Struct, frozen=True):
    """One gate's outcome."""

    name: str
    """usage, dominance, stability or settling."""
    status: str
    """passed, failed or not measurable."""
    reason: str
    """Why, in words; of what is not measurable, which events are missing."""
    value: float | None
    """The number that decided."""
    threshold: float | None
    """What it was held against."""


def exit_gates(control: RunFigures, treatment: RunFigures) -> list[Gate]:
    """Every gate; all but dominance look at the treatment alone."""
    return [
        usage_gate(treatment),
        dominance_gate(control, treatment),
        stability_gate(treatment),
        settling_gate(treatment),
    ]


def usage_gate(run: RunFigures) -> Gate:
    """Are internal ops at least 10 % of the non-NOOP decisions while a ladder seed is present?"""
    share = run.usage.share
    if not run.has_decisions:
        return _blind("usage", "no decision (ANALYTICS_SNAPSHOT with kind last_action)")
    if not run.has_ladder:
        return _blind("usage", _NO_LADDER)
    if share is None:
        text = "every decision while a seed with levels was present was NOOP"
        return Gate("usage", FAILED, text, 0.0, USAGE_GATE)
    interval = share_interval(run.usage)
    text = f"{run.usage.count} internal ops among {run.usage.n} non-NOOP decisions, {_percent(share)}"
    if interval.low is not None and interval.high is not None and interval.low < USAGE_GATE <= interval.high:
        text += f", too few to be sure ({_percent(interval.low)} to {_percent(interval.high)})"
    return Gate("usage", PASSED if share >= USAGE_GATE else FAILED, text, share, USAGE_GATE)


def dominance_gate(control: RunFigures, treatment: RunFigures) -> Gate:
    """Is the most germinated blueprint's share lower than the control's, and the return not?

    Both are judged by the 95 % interval of the difference: the share's must lie below 0, the return's
    must not. Episodes without a finite return may be those that failed: no mean of the others tells.
    """
    runs = (("control", control), ("treatment", treatment))
    missing = [
        f"{side} has {_counted(run.dominance.n, 'SEED_GERMINATED')}, {MIN_PAIRS} are needed"
        for side, run in runs
        if run.dominance.n < MIN_PAIRS
    ] + [
        f"{side} has {_counted(run.episode_return.n, 'EPISODE_OUTCOME')} with episode_reward, "
        f"{MIN_SAMPLES} are needed"
        for side, run in runs
        if run.episode_return.n < MIN_SAMPLES
    ]
    missing += [
        f"{side} has {_counted(run.lost_returns, 'episode')} whose return is no finite number, beside "
        f"{run.episode_return.n} others, and no mean of those tells"
        for side, run in runs
        if run.lost_returns
    ]
    if missing:
        return _blind("dominance", "; ".join(missing))
    share = share_difference(control.dominance, treatment.dominance)
    earned = mean_difference(control.episode_return, treatment.episode_return)
    assert share.value is not None
    assert share.high is not None
    assert earned.value is not None
    assert earned.low is not None
    assert earned.high is not None
    reduced, lost = share.high < 0, earned.high < 0
    sides = f"{_percent(control.dominance.share)} to {_percent(treatment.dominance.share)}"
    if reduced:
        first = f"the top blueprint's share of germinations fell from {sides}"
    elif share.value < 0:
        first = f"the top blueprint's share of germinations went from {sides}, which may be chance"
    else:
        first = f"the top blueprint's share of germinations did not fall ({sides})"
    size = f"{earned.value:+.4g} [{earned.low:+.4g}, {earned.high:+.4g}] an episode"
    rose = earned.low > 0
    word = "fell" if lost else "rose" if rose else "did not fall beyond noise"
    status = PASSED if reduced and not lost else FAILED
    return Gate("dominance", status, f"{first}; the return {word}, {size}", share.value, 0.0)


def stability_gate(run: RunFigures) -> Gate:
    """Did the policy's entropy stay up, and was nothing rolled back?

    A rollback that is not in the events did not happen as far as they say.
    """
    if run.rollbacks:
        text = f"{_counted(run.rollbacks, 'rollback')} (GOVERNOR_ROLLBACK, rollback_attempt_count)"
        return Gate("stability", FAILED, text, float(run.rollbacks), 0.0)
    entropy = run.entropy
    if entropy is None:
        return _blind(
            "stability",
            "no PPO_UPDATE_COMPLETED with entropy, and no decision with op_entropy and legal_ops",
        )
    what = "update" if entropy.source == "updates" else "episode"
    if entropy.n < SUSTAINED_UPDATES:
        return _blind("stability", f"only {_counted(entropy.n, what)}, {SUSTAINED_UPDATES} are needed")
    whole = "its highest before" if entropy.source == "updates" else "a uniform choice's"
    if entropy.longest_collapse >= SUSTAINED_UPDATES:
        text = (
            f"entropy was under {_percent(ENTROPY_COLLAPSE)} of {whole}, or flagged as collapsed, for "
            f"{entropy.longest_collapse} {what}s in a row"
        )
        return Gate("stability", FAILED, text, entropy.lowest, ENTROPY_COLLAPSE)
    text = (
        f"over {_counted(entropy.n, what)} entropy never stayed under {_percent(ENTROPY_COLLAPSE)} of "
        f"{whole} (lowest {_percent(entropy.lowest)}); no rollback in the events"
    )
    return Gate("stability", PASSED, text, entropy.lowest, ENTROPY_COLLAPSE)


def settling_gate(run: RunFigures) -> Gate:
    """Are reversals bounded, and do levels come to rest?

    Bounded: no slot is named as thrashing, and the pooled free reversal rate is not above a coin flip's
    beyond chance. At rest: at least half of the slots' episodes end with the level left alone for 10
    epochs, and the net change of their second half is below that of the first, or 0.
    """
    thrash, settling = run.thrash, run.settling
    pairs, share = thrash.free_reversals, settling.settled.share
    if not pairs.n and not thrash.undone.n:
        return _blind("settling", "no SEED_INTERNAL_LEVEL_CHANGED")
    rate = f"free reversal rate {_number(pairs.share)} of {_counted(pairs.n, 'pair')}"
    if thrash.label == "thrashing" or (pairs.n >= MIN_PAIRS and thrash.vs_random == "more"):
        text = (
            f"reversals are not bounded: {rate}, {thrash.named.count} of {thrash.named.n} judged slots thrash"
        )
        return Gate("settling", FAILED, text, pairs.share, COIN_FLIP_RATE)
    if share is None or settling.early_net is None or settling.late_net is None:
        return _blind("settling", "no EPOCH_COMPLETED with epoch and episode_idx of the slots that changed")
    rests = share >= SETTLED_GATE
    falls = settling.late_net < settling.early_net or settling.late_net == 0
    net = (
        f"mean |net change| {settling.early_net:.2f} in an episode's first half, "
        f"{settling.late_net:.2f} in its second"
    )
    settled = (
        f"{settling.settled.count} of {settling.settled.n} slot episodes ended with the level left alone for "
        f"{STABLE_EPOCHS} epochs"
    )
    if not rests or not falls:
        return Gate("settling", FAILED, f"levels do not come to rest: {settled}; {net}", share, SETTLED_GATE)
    if pairs.n < MIN_PAIRS:
        return _blind(
            "settling", f"levels come to rest, but {rate}: {MIN_PAIRS} level changes with a choice are needed"
        )
    return Gate("settling", PASSED, f"{rate}; {settled}; {net}", share, SETTLED_GATE)


def _blind(name: str, missing: str) -> Gate:
    return Gate(name, NOT_MEASURABLE, missing, None, None)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 or what.isupper() else f"{n} {what}s"
