"""The verdict on a whole run: its slots, environments and ranks, use, effects, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from esper.karn.diagnosis.clues import Effect, Why
from esper.karn.diagnosis.op_effect import OpEffect
from esper.karn.diagnosis.reports import BIAS, EnvReport, RankReport, RunVerdict, SlotReport, Usage
from esper.karn.diagnosis.slots import SlotCounts, SlotVerdict, has_two_levels, thrash_together, vs_random
from esper.karn.textout import counted, quoted
from esper.leyline.thresholds import (
    MIN_PAIRS,
    band,
    indicator,
    op_rate_band,
    wilson_interval,
)


def judge_run(
    *,
    run_dir: str,
    status: str,
    slots: Sequence[SlotReport],
    op_rates: dict[int | None, float],
    counts: Sequence[SlotCounts],
    usage: Usage,
    effects: list[Effect],
    told_effects: list[OpEffect],
    bias: str = BIAS,
    why: Why,
    evidence: list[dict[str, Any]],
    notes: list[str],
) -> RunVerdict:
    """Put a run's verdict together.

    Args:
        run_dir: the run.
        status: its status.
        slots: every slot asked for, judged over the whole run, worst first.
        op_rates: each environment's internal ops per epoch, over all its episodes.
        counts: what was counted over those slots.
        usage: use of internal ops.
        effects: of GROW and of SHRINK, as the seed computes them.
        told_effects: of those whose effect can be told without the seed's bias.
        bias: what to think of ``effects``.
        why: clues.
        evidence: rows to show.
        notes: what the reader must know of the data.
    """
    n_pairs = sum(slot.n_pairs for slot in counts)
    rate = sum(slot.n_reversals for slot in counts) / n_pairs if n_pairs else None
    # A slot with two levels leaves nothing free; its verdict says so, its counts do not.
    n_free = sum(slot.n_free_pairs for slot in slots)
    n_free_reversals = sum(slot.n_free_reversals for slot in counts if not has_two_levels(slot))
    n_ops = sum(slot.n_ops for slot in counts)
    n_undone = sum(slot.n_undone for slot in counts)
    absolute_net = sum(slot.absolute_net_change for slot in counts)
    interval = wilson_interval(n_free_reversals, n_free)
    costs = [slot.undone_cost for slot in slots if slot.undone_cost is not None]
    judged = [slot for slot in slots if is_judged(slot)]
    thrashing = [slot for slot in slots if slot.thrashing]
    pooled = thrash_together(n_free_reversals, n_free)
    label = "thrashing" if thrashing or pooled else "not_thrashing" if judged else "insufficient_data"
    return RunVerdict(
        run_dir=run_dir,
        status=status,
        label=label,
        answer=(
            _together(slots, judged, n_free_reversals, n_free, interval)
            if pooled and not thrashing
            else _answer(label, slots, judged, thrashing, rate, n_pairs, status)
        ),
        band=band(rate, n_pairs),
        indicator=indicator(rate, n_pairs),
        reversal_rate=rate,
        n_pairs=n_pairs,
        free_reversal_rate=n_free_reversals / n_free if n_free else None,
        n_free_pairs=n_free,
        free_low=None if interval is None else interval[0],
        free_high=None if interval is None else interval[1],
        vs_random=vs_random(interval),
        undone_within_5=n_undone / n_ops if n_ops else None,
        churn=1 - absolute_net / n_ops if n_ops else None,
        undone_cost=sum(costs) if costs else None,
        n_slots=len(slots),
        n_judged=len(judged),
        n_thrashing=len(thrashing),
        slots=list(slots),
        environments=_environments(slots, op_rates),
        ranks=_ranks(slots),
        usage=usage,
        effects=effects,
        told_effects=told_effects,
        bias=bias,
        why=why,
        evidence=evidence,
        notes=notes,
    )


def is_judged(slot: SlotVerdict) -> bool:
    """Whether a slot has enough pairs to be judged at all."""
    return slot.n_free_pairs >= MIN_PAIRS


def _answer(
    label: str,
    slots: Sequence[SlotReport],
    judged: Sequence[SlotReport],
    thrashing: Sequence[SlotReport],
    rate: float | None,
    n_pairs: int,
    status: str,
) -> str:
    pooled = (
        f"The pooled reversal rate is {rate:.2f} over {counted(n_pairs, 'pair')} ({band(rate, n_pairs)})."
        if rate is not None
        else "There is no pair of consecutive internal ops."
    )
    unjudged = (
        pooled if rate is None else f"The pooled reversal rate is {rate:.2f} over {counted(n_pairs, 'pair')}."
    )
    if not slots:
        return "It can't be told: the run has no internal op."
    if label == "insufficient_data":
        return (
            f"It can't be told: {_none_of(len(slots), 'slot', 'has fewer than', 'has')} {MIN_PAIRS} pairs of "
            f"consecutive ops whose second could have gone either way. {unjudged}"
        )
    if label == "not_thrashing":
        sweeping = sum(slot.sweeping for slot in slots)
        sweep = "sweeps" if sweeping == 1 else "sweep"
        more = f" {counted(sweeping, 'slot')} {sweep} up and down without settling." if sweeping else ""
        return (
            f"No: {_none_of(len(judged), 'judged slot', 'does not reverse', 'reverses')} itself more often "
            f"than a coin flip would, beyond chance.{more} {pooled}"
        )
    worst = thrashing[0]
    going = sum(slot.ended is None for slot in thrashing)
    if going == 0:
        state = "all of which stopped" if len(thrashing) > 1 else "and stopped"
    else:
        until = "until now" if status == "running" else "to the end"
        state = until if going == len(thrashing) else f"{going} of them {until}"
    return (
        f"Yes: {len(thrashing)} of {counted(len(judged), 'judged slot')} "
        f"{'thrash' if len(thrashing) > 1 else 'thrashes'}, {state}. "
        f"Worst is env {worst.env_id} slot {quoted(str(worst.slot_id))}{_since(worst)}: "
        f"{100 * (worst.free_reversal_rate or 0):.0f} % of {worst.n_free_pairs} ops that could have gone "
        f"either way reversed the one before (a coin flip: 50 %). {pooled}"
    )


def _together(
    slots: Sequence[SlotReport],
    judged: Sequence[SlotReport],
    n_reversals: int,
    n_free: int,
    interval: tuple[float, float] | None,
) -> str:
    low, high = interval or (0.0, 1.0)
    looked = (
        f"{_none_of(len(judged), 'judged slot', 'is not', 'is')} proven to by itself, with {len(slots)} "
        "looked at"
        if judged
        else f"none of {len(slots)} slots has enough pairs to be judged by itself"
    )
    worst = slots[0]
    return (
        f"Yes, taken together: {100 * n_reversals / n_free:.0f} % of {n_free} ops that could have gone "
        f"either way reversed the one before (95 % interval {100 * low:.0f} to {100 * high:.0f} %; a coin "
        f"flip: 50 %). But {looked}. Worst is env {worst.env_id} slot {quoted(str(worst.slot_id))}."
    )


def _none_of(n: int, what: str, does_not: str, does: str) -> str:
    """``none of 4 slots has``; ``the one slot has fewer than``."""
    return f"the one {what} {does_not}" if n == 1 else f"none of {n} {what}s {does}"


def _since(slot: SlotReport) -> str:
    if slot.since is None:
        return ""
    return f", since episode {slot.since.episode_idx} epoch {slot.since.epoch}"


def _environments(slots: Sequence[SlotReport], op_rates: dict[int | None, float]) -> list[EnvReport]:
    reports = []
    for env_id, own in _grouped(slots, lambda slot: slot.env_id):
        rate = op_rates.get(env_id)
        reports.append(
            EnvReport(
                env_id=env_id,
                rank=own[0].rank,
                **_shares(own),
                internal_op_rate=rate,
                op_rate_band=op_rate_band(rate),
            )
        )
    return reports


def _ranks(slots: Sequence[SlotReport]) -> list[RankReport]:
    return [RankReport(rank=rank, **_shares(own)) for rank, own in _grouped(slots, lambda slot: slot.rank)]


def _shares(slots: Sequence[SlotReport]) -> dict[str, Any]:
    judged = sum(is_judged(slot) for slot in slots)
    thrashing = sum(slot.thrashing for slot in slots)
    return {
        "slots": len(slots),
        "judged": judged,
        "thrashing": thrashing,
        "thrashing_share": thrashing / judged if judged else None,
    }


def _grouped(
    slots: Iterable[SlotReport], key: Callable[[SlotReport], int | None]
) -> list[tuple[int | None, list[SlotReport]]]:
    groups: dict[int | None, list[SlotReport]] = {}
    for slot in slots:
        groups.setdefault(key(slot), []).append(slot)
    return sorted(groups.items(), key=lambda group: -1 if group[0] is None else group[0])
