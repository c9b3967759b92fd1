"""The verdict as text: for the terminal and for hosts that show an assistant only text."""

from __future__ import annotations

from esper.karn.diagnosis.effect_words import NAIVE, told_effect_text
from esper.karn.diagnosis.reports import Moment, RunVerdict, SlotReport
from esper.karn.textout import counted, quoted

CONCISE_SLOTS = 5
"""Slots that the short form lists besides the thrashing ones it counts."""
CONCISE_ENVS = 6
"""Environments that the short form names."""
FULL_SLOTS = 200


def verdict_text(verdict: RunVerdict, detail: str = "concise") -> str:
    """The verdict in lines of text, the answer first.

    Args:
        verdict: the verdict.
        detail: ``concise`` lists the worst slots, ``full`` every slot, environment and rank.

    Raises:
        ValueError: on another detail.
    """
    if detail not in ("concise", "full"):
        raise ValueError(f"detail must be 'concise' or 'full', not {detail!r}")
    full = detail == "full"
    shown = verdict.slots[: FULL_SLOTS if full else CONCISE_SLOTS]
    lines = [
        f"run {quoted(verdict.run_dir)} ({verdict.status}): {verdict.label.upper()}",
        verdict.answer,
        f"pooled: reversal rate {_rate(verdict.reversal_rate)} of {counted(verdict.n_pairs, 'pair')}, "
        f"band {verdict.band}; "
        f"free {_rate(verdict.free_reversal_rate)} {_interval(verdict.free_low, verdict.free_high)} "
        f"of {verdict.n_free_pairs}, {_against_coin(verdict.vs_random)}; "
        f"churn {_rate(verdict.churn)}; undone within 5 epochs {_rate(verdict.undone_within_5)}"
        + (f" at a cost of {verdict.undone_cost:.3f}" if verdict.undone_cost else ""),
        *[_slot_line(slot) for slot in shown],
    ]
    if len(shown) < len(verdict.slots):
        more = counted(len(verdict.slots) - len(shown), "more slot")
        lines.append(f"  ... and {more} (detail full; view slot_thrash)")
    if verdict.n_thrashing and not full:
        lines.append(_where_line(verdict))
    if full:
        for env in verdict.environments:
            lines.append(
                f"env {env.env_id} (rank {env.rank}): {env.thrashing} of {env.judged} judged slots thrash; "
                f"{_rate(env.internal_op_rate)} ops an epoch ({env.op_rate_band})"
            )
    if full or len(verdict.ranks) > 1:
        lines += [
            f"rank {rank.rank}: {rank.thrashing} of {rank.judged} judged slots thrash"
            for rank in verdict.ranks
        ]
    lines += [
        _usage_line(verdict),
        *_effect_lines(verdict, full=full),
        f"why, the policy's probability: {verdict.why.probability.text}",
        f"why, the reward: {verdict.why.reward.text}",
        f"why, the updates: {verdict.why.policy_updates.text}",
        *[f"note: {note}" for note in verdict.notes],
    ]
    return "\n".join(lines)


def _effect_lines(verdict: RunVerdict, *, full: bool) -> list[str]:
    """The naive effect of an op only beside the one that can be told, where that can be."""
    naive = {effect.op_name: effect for effect in verdict.effects}
    told = {effect.op_name: effect for effect in verdict.told_effects}
    if not naive and not told:
        return ["effect: not measurable, no internal op has an outcome"]
    lines = [
        f"effect: {told_effect_text(told[name], naive.get(name)) if name in told else naive[name].text}"
        for name in sorted({*naive, *told})
    ]
    if naive.keys() <= told.keys():
        return [*lines, f"  {NAIVE}"]
    return [*lines, f"  {verdict.warm_up} {verdict.bias}" if full else f"  {verdict.bias}"]


def _where_line(verdict: RunVerdict) -> str:
    """In which environments slots thrash, the worst first."""
    hit = sorted((env for env in verdict.environments if env.thrashing), key=lambda env: -env.thrashing)
    shown = [f"env {env.env_id} {env.thrashing} of {env.judged}" for env in hit[:CONCISE_ENVS]]
    more = f" and {len(hit) - CONCISE_ENVS} more" if len(hit) > CONCISE_ENVS else ""
    return (
        f"thrashing slots by environment: {', '.join(shown)}{more} "
        f"({len(hit)} of {len(verdict.environments)} environments)"
    )


def _usage_line(verdict: RunVerdict) -> str:
    usage = verdict.usage
    if usage.share is None:
        return "use: not measurable, no decision but NOOPs was recorded"
    gate = "passes" if usage.passed else "misses"
    more = "; more than were decided, so that decisions are missing" if usage.share > 1 else ""
    return (
        f"use: {usage.internal_ops} internal ops among {usage.decisions} non-NOOP decisions, "
        f"{100 * usage.share:.0f} %: {gate} the {100 * usage.gate:.0f} % gate{more}"
    )


def slot_name(env_id: int | None, slot_id: str | None) -> str:
    """``env 3 r0c0``: how a slot is called in text."""
    return f"env {'?' if env_id is None else env_id} {quoted(str(slot_id))}"


def _slot_line(slot: SlotReport) -> str:
    name = slot_name(slot.env_id, slot.slot_id)
    numbers = (
        f"free {_rate(slot.free_reversal_rate)} {_interval(slot.free_low, slot.free_high)} of "
        f"{slot.n_free_pairs}, reversal rate {_rate(slot.reversal_rate)} of {slot.n_pairs}"
    )
    line = f"  {name}: {slot.label}; {numbers}"
    if slot.since is not None:
        line += f"; since {_moment(slot.since)}"
        line += f", ended {_moment(slot.ended)}" if slot.ended is not None else ", not ended"
    elif slot.settled is not None:
        line += "; settled" if slot.settled else "; not settled"
    return line


def _moment(moment: Moment | None) -> str:
    if moment is None:
        return "unknown"
    return f"episode {moment.episode_idx} epoch {moment.epoch}"


def _against_coin(word: str | None) -> str:
    if word is None:
        return "nothing to compare with a coin flip"
    return "indistinguishable from a coin flip" if word == "indistinguishable" else f"{word} than a coin flip"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(low: float | None, high: float | None) -> str:
    return "[-]" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"
