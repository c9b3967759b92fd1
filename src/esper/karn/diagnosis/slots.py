"""The judgement on single slots: which thrash, beyond what chance explains."""

from __future__ import annotations

import msgspec

from esper.leyline.thresholds import (
    COIN_FLIP_RATE,
    MIN_PAIRS,
    SWEEP_CHURN,
    WATCH_AT,
    band,
    indicator,
    wilson_interval,
    z_score,
)

LABELS = {
    "thrashing": "reverses itself more often than a coin flip would, beyond chance",
    "sweeping": "goes up and down for ever without settling, though it rarely reverses at once",
    "two_levels": "has only levels 0 and 1, so that every op must reverse the last: nothing can be told",
    "insufficient_data": f"has fewer than {MIN_PAIRS} pairs of consecutive ops",
    "caution": "reverses itself often",
    "watch": "reverses itself now and then",
    "healthy": "rarely reverses itself",
    "unproven": "has a reversal rate above 0.7 that is not proven",
}
"""Every label of a slot, with what it says: "slot r0c0 " + LABELS[label]."""


class SlotCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted over one slot's internal ops in one run.

    A pair is two consecutive ops of one seed in one episode. It is free when the level between the two
    lies strictly between 0 and max_level, so that the second op could have gone either way.
    """

    env_id: int | None
    slot_id: str | None
    max_level: int | None
    """Highest max_level seen."""
    n_ops: int
    grow_count: int
    shrink_count: int
    n_pairs: int
    n_reversals: int
    n_free_pairs: int
    n_free_reversals: int
    n_undone: int
    """Ops that the next op reversed within 5 epochs."""
    net_change: int
    """Sum of directions over all seeds and episodes: +1 a GROW, -1 a SHRINK."""
    absolute_net_change: int
    """Sum over seeds and episodes of how far each ended from where it began, in ops."""


class SlotVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement on one slot, with every number behind it. Rates are 0 to 1, None without a pair."""

    env_id: int | None
    slot_id: str | None
    label: str
    """One of LABELS."""
    thrashing: bool
    """Whether the slot is named: the corrected interval of its free rate lies above 0.5."""
    band: str
    """The band of the reversal rate alone."""
    indicator: str | None
    """The colour of the reversal rate alone."""
    max_level: int | None
    n_ops: int
    grow_count: int
    shrink_count: int
    net_change: int
    n_pairs: int
    reversal_rate: float | None
    n_free_pairs: int
    free_reversal_rate: float | None
    free_low: float | None
    """Lower end of the free rate's 95 % Wilson interval, not corrected for the number of slots."""
    free_high: float | None
    corrected_low: float | None
    """Lower end with the Bonferroni correction, which decides ``thrashing``."""
    vs_random: str | None
    """less, indistinguishable or more: the free rate against a coin flip's 0.5."""
    undone_within_5: float | None
    """Share of ops that the next one reversed within 5 epochs."""
    churn: float | None
    """1 - |net| / ops: 0 for one way only, 1 for all in vain."""
    sweeping: bool


def corrected_low(n_reversals: int, n_free_pairs: int, looks: int) -> float:
    """Lower end of the free rate's interval with the correction for the slots looked at.

    Args:
        n_reversals: free reversals.
        n_free_pairs: free pairs, one at least.
        looks: slots that can be judged.
    """
    interval = wilson_interval(n_reversals, n_free_pairs, z_score(looks))
    assert interval is not None
    return interval[0]


def is_named(low: float, n_free_pairs: int) -> bool:
    """Whether a slot is named as thrashing, by its corrected lower end."""
    return n_free_pairs >= MIN_PAIRS and low > COIN_FLIP_RATE


def judge_slot(slot: SlotCounts, looks: int) -> SlotVerdict:
    """Judge one slot among as many ``looks`` as there are slots that can be judged."""
    rate = _share(slot.n_reversals, slot.n_pairs)
    two_levels = has_two_levels(slot)
    free_pairs = 0 if two_levels else slot.n_free_pairs
    free_rate = _share(slot.n_free_reversals, free_pairs)
    interval = wilson_interval(slot.n_free_reversals, free_pairs)
    low = corrected_low(slot.n_free_reversals, free_pairs, looks) if free_pairs else None
    thrashing = low is not None and is_named(low, free_pairs)
    churn = None if slot.n_ops == 0 else 1 - slot.absolute_net_change / slot.n_ops
    sweeping = (
        churn is not None
        and churn > SWEEP_CHURN
        and slot.n_ops >= MIN_PAIRS
        and free_rate is not None
        and free_rate < WATCH_AT
    )
    return SlotVerdict(
        env_id=slot.env_id,
        slot_id=slot.slot_id,
        label=_label(slot, rate, two_levels=two_levels, thrashing=thrashing, sweeping=sweeping),
        thrashing=thrashing,
        band=band(rate, slot.n_pairs),
        indicator=indicator(rate, slot.n_pairs),
        max_level=slot.max_level,
        n_ops=slot.n_ops,
        grow_count=slot.grow_count,
        shrink_count=slot.shrink_count,
        net_change=slot.net_change,
        n_pairs=slot.n_pairs,
        reversal_rate=rate,
        n_free_pairs=free_pairs,
        free_reversal_rate=free_rate,
        free_low=None if interval is None else interval[0],
        free_high=None if interval is None else interval[1],
        corrected_low=low,
        vs_random=vs_random(interval),
        undone_within_5=_share(slot.n_undone, slot.n_ops),
        churn=churn,
        sweeping=sweeping,
    )


def has_two_levels(slot: SlotCounts) -> bool:
    """Whether a slot's ladder has only levels 0 and 1: every op must then reverse the one before."""
    return slot.max_level is not None and slot.max_level <= 1


def _label(slot: SlotCounts, rate: float | None, *, two_levels: bool, thrashing: bool, sweeping: bool) -> str:
    if slot.n_pairs < MIN_PAIRS:
        return "insufficient_data"
    if two_levels:
        return "two_levels"
    if thrashing:
        return "thrashing"
    if sweeping:
        return "sweeping"
    word = band(rate, slot.n_pairs)
    return "unproven" if word == "thrash" else word


def vs_random(interval: tuple[float, float] | None) -> str | None:
    """The free rate against a coin flip's 0.5: less, indistinguishable or more; None without a pair."""
    if interval is None:
        return None
    if interval[1] < COIN_FLIP_RATE:
        return "less"
    return "more" if interval[0] > COIN_FLIP_RATE else "indistinguishable"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def thrash_together(n_reversals: int, n_free_pairs: int) -> bool:
    """Whether all free pairs of a run, taken together, are reversals more often than a coin flip's.

    Over many slots with few ops each, a policy may be proven to thrash before any one slot can be.

    Args:
        n_reversals: reversals among them.
        n_free_pairs: pairs whose second op could have gone either way.
    """
    return n_free_pairs >= MIN_PAIRS and vs_random(wilson_interval(n_reversals, n_free_pairs)) == "more"
