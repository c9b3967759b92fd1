"""Gathers a run's counts from the views and brings them to the verdict. The whole run is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esper.karn.diagnosis import (
    Effect,
    Moment,
    RunVerdict,
    SlotCounts,
    SlotReport,
    SlotVerdict,
    Usage,
    Why,
    bias_text,
    judge_run,
    judge_slots,
    thrash_span,
)
from esper.karn.diagnosis.clues import Spread, effect, policy_update_clue, probability_clue, reward_clue
from esper.karn.store import evidence_sql as sql
from esper.karn.store.copies import copies_note
from esper.karn.store.database import Snapshot, Store
from esper.karn.store.effects import told_effects
from esper.karn.store.places import check_places
from esper.karn.store.ranks import quiet_ranks, ranks_text
from esper.karn.store.runs import RunInfo
from esper.karn.textout import counted
from esper.leyline.errors import NotFoundError
from esper.leyline.thresholds import BASELINE_WARM_QUERY, BASELINE_WARM_VERDICT, MIN_PAIRS, USAGE_GATE

EVIDENCE_SLOTS = 3
"""Worst slots whose reversals are shown."""
EVIDENCE_ROWS = 5
"""Reversals shown of each."""

MOST_ACCURATE = 1.5
"""An accuracy above is no fraction, nor one that is a little off."""

_SlotKey = tuple[int | None, str | None]


def thrash_verdict(
    store: Store, run_dir: str | None = None, env_id: int | None = None, slot_id: str | None = None
) -> RunVerdict:
    """The verdict on a run, or on a part of it judged within the whole.

    Args:
        store: the store, refreshed by the caller.
        run_dir: the run; the latest if None.
        env_id: only this environment's slots.
        slot_id: only slots of this name.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    run = store.run(store.check_run(run_dir))
    files = [file for file in store.event_files() if file.run_dir == run.run_dir]
    ranks = ranks_text(quiet_ranks(files, store.select), files)
    with store.snapshot() as now:
        return _verdict(now, run, ranks, env_id, slot_id)


def _verdict(
    now: Snapshot, run: RunInfo, ranks: list[str], env_id: int | None, slot_id: str | None
) -> RunVerdict:
    run_dir = run.run_dir
    counts = [msgspec.convert(row, SlotCounts) for row in now.select(sql.COUNTS, [run_dir]).dicts()]
    by_key = {(count.env_id, count.slot_id): count for count in counts}
    verdicts = _chosen(now, run_dir, judge_slots(counts), env_id, slot_id)
    slots = _reports(now, run_dir, verdicts)
    named = [slot for slot in slots if slot.thrashing]
    told, held = told_effects(now, run_dir)
    return judge_run(
        run_dir=run_dir,
        status=run.status,
        slots=slots,
        op_rates={row["env_id"]: row["rate"] for row in now.select(sql.OP_RATES, [run_dir]).dicts()},
        counts=[by_key[slot.env_id, slot.slot_id] for slot in slots],
        usage=_usage(now, run_dir),
        effects=_effects(now, run_dir),
        told_effects=told,
        bias=bias_text(held),
        why=_why(now, run_dir, named or slots, since=_first_since(named)),
        evidence=_evidence(now, run_dir, slots[:EVIDENCE_SLOTS]),
        notes=_notes(now, run, ranks, ops=bool(counts), filtered=env_id is not None or slot_id is not None),
    )


def _named(now: Snapshot, run_dir: str) -> str:
    """A run as an error names it; where ranks hold copies, most environments are not among the counted."""
    copies = copies_note(now, run_dir)
    return f"run {run_dir}" if copies is None else f"run {run_dir} ({copies})"


def _chosen(
    now: Snapshot, run_dir: str, verdicts: list[SlotVerdict], env_id: int | None, slot_id: str | None
) -> list[SlotVerdict]:
    places = ((verdict.env_id, verdict.slot_id) for verdict in verdicts)
    check_places(now, run_dir, env_id, slot_id, places, lambda: _named(now, run_dir))
    chosen = [
        v
        for v in verdicts
        if (env_id is None or v.env_id == env_id) and (slot_id is None or v.slot_id == slot_id)
    ]
    if verdicts and not chosen:
        where = _named(now, run_dir)
        raise NotFoundError(f"{where}: environment {env_id} has no internal op in slot {slot_id!r}")
    return chosen


def _spans(
    now: Snapshot, run_dir: str, named: Sequence[SlotVerdict], places: dict[_SlotKey, dict[str, Any]]
) -> dict[_SlotKey, tuple[Moment | None, Moment | None]]:
    """Since when each named slot thrashes, and when it stopped."""
    spans: dict[_SlotKey, tuple[Moment | None, Moment | None]] = {}
    if not named:
        return spans
    pairs_of: dict[_SlotKey, list[dict[str, Any]]] = {}
    keys = [[slot.env_id for slot in named], [slot.slot_id for slot in named]]
    for pair in now.select(sql.FREE_PAIRS, [run_dir, *keys]).dicts():
        pairs_of.setdefault((pair["env_id"], pair["slot_id"]), []).append(pair)
    for slot in named:
        pairs = pairs_of[slot.env_id, slot.slot_id]
        span = thrash_span([pair["reversal"] for pair in pairs])
        if span is None:
            spans[slot.env_id, slot.slot_id] = (None, None)
            continue
        first, last = pairs[span[0]], pairs[span[1]]
        since = Moment(first["episode_idx"], first["first_epoch"], first["first_timestamp"])
        # It stopped if enough ops followed to see that, or if the level has been left alone since.
        stopped = len(pairs) - 1 - span[1] >= MIN_PAIRS or places[slot.env_id, slot.slot_id]["settled"]
        ended = Moment(last["episode_idx"], last["epoch"], last["timestamp"]) if stopped else None
        spans[slot.env_id, slot.slot_id] = (since, ended)
    return spans


def _reports(now: Snapshot, run_dir: str, verdicts: Sequence[SlotVerdict]) -> list[SlotReport]:
    places = {(row["env_id"], row["slot_id"]): row for row in now.select(sql.PLACES, [run_dir]).dicts()}
    costs = {
        (row["env_id"], row["slot_id"]): row["cost"] for row in now.select(sql.UNDONE_COST, [run_dir]).dicts()
    }
    spans = _spans(now, run_dir, [verdict for verdict in verdicts if verdict.thrashing], places)
    reports = []
    for verdict in verdicts:
        key = (verdict.env_id, verdict.slot_id)
        since, ended = spans.get(key, (None, None))
        reports.append(
            SlotReport(
                **msgspec.structs.asdict(verdict),
                rank=places[key]["rank"],
                since=since,
                ended=ended,
                settled=places[key]["settled"],
                episodes=places[key]["episodes"],
                settled_episodes=places[key]["settled_episodes"],
                undone_cost=costs.get(key),
            )
        )
    return reports


def _usage(now: Snapshot, run_dir: str) -> Usage:
    ops, decisions = now.select(sql.USAGE, [run_dir]).rows[0]
    share = ops / decisions if decisions else None
    return Usage(
        internal_ops=ops,
        decisions=decisions,
        share=share,
        passed=None if share is None else share >= USAGE_GATE,
    )


def _effects(now: Snapshot, run_dir: str) -> list[Effect]:
    rows = now.select(sql.EFFECTS, [run_dir, BASELINE_WARM_VERDICT, BASELINE_WARM_QUERY]).dicts()
    return [
        effect(
            row["op_name"],
            row["n_all"],
            row["n_warm"],
            Spread(row["loss_mean"], row["loss_deviation"], row["loss_n"]),
            Spread(row["accuracy_mean"], row["accuracy_deviation"], row["accuracy_n"]),
            (row["n_early"], row["loss_early"]),
        )
        for row in rows
    ]


def _first_since(named: Sequence[SlotReport]) -> str | None:
    moments = [slot.since.timestamp for slot in named if slot.since is not None and slot.since.timestamp]
    return min(moments, default=None)


def _why(now: Snapshot, run_dir: str, slots: Sequence[SlotReport], since: str | None) -> Why:
    keys = [[slot.env_id for slot in slots], [slot.slot_id for slot in slots]]
    clues = now.select(sql.REVERSING_OPS, [run_dir, *keys]).dicts()[0]
    spread = now.select(sql.REWARD_SPREAD, [run_dir]).rows[0][0]
    updates = {
        bool(row["after"]): (row["n"], row["entropy"], row["kl"])
        for row in now.select(sql.POLICY_UPDATES, [run_dir, since]).dicts()
    }
    none = (0, None, None)
    return Why(
        probability=probability_clue(clues["n_probability"], clues["probability"], clues["times_uniform"]),
        reward=reward_clue(clues["n_reward"], clues["reward"], clues["cost"], spread),
        policy_updates=policy_update_clue(
            updates.get(False, none), updates.get(True, none), named=since is not None
        ),
    )


def _evidence(now: Snapshot, run_dir: str, slots: Sequence[SlotReport]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for slot in slots:
        rows += now.select(sql.LATEST_REVERSALS, [run_dir, slot.env_id, slot.slot_id, EVIDENCE_ROWS]).dicts()
    return rows


def data_notes(now: Snapshot, run_dir: str) -> list[str]:
    """What a run's numbers are of: of one rank among copies, of a training whose loss left the numbers."""
    copies = copies_note(now, run_dir)
    epochs, not_finite, highest = now.select(sql.LOSSES, [run_dir]).rows[0]
    diverged = f"loss was not finite in {not_finite} of {counted(epochs, 'epoch')}" if not_finite else None
    percent = None
    if highest is not None and highest > MOST_ACCURATE:
        percent = (
            f"accuracy reaches {highest:.4g}, and is read as a fraction everywhere: divide per cent by 100"
        )
    return [note for note in (copies, diverged, percent) if note is not None]


def _notes(now: Snapshot, run: RunInfo, ranks: list[str], *, ops: bool, filtered: bool) -> list[str]:
    notes = []
    if filtered:
        notes.append(
            "the slots are judged among all of the run; use, effects and updates are those of the whole run"
        )
    notes += data_notes(now, run.run_dir)
    if not ops and (told := now.select(sql.DECIDED_OPS, [run.run_dir]).rows[0][0]):
        notes.append(
            f"{counted(told, 'decision')} for GROW or SHRINK, and no SEED_INTERNAL_LEVEL_CHANGED: "
            "level changes must be reported too (level_changed)"
        )
    if run.bad_lines:
        were = "was" if run.bad_lines == 1 else "were"
        notes.append(
            f"{counted(run.bad_lines, 'line')} could not be read and {were} left out: see ingest_errors"
        )
    missing = now.select(sql.MISSING_EVENTS, [run.run_dir]).rows[0][0]
    if missing:
        among = " (unreadable lines may be among them)" if run.bad_lines else ""
        are = "is" if missing == 1 else "are"
        notes.append(f"{counted(missing, 'event')} {are} missing{among}: see event_gaps")
    if run.attempts > 1:
        times = counted(run.attempts - 1, "time")
        notes.append(f"the training was resumed {times}; replayed epochs count once")
    if run.status == "running":
        notes.append("the training goes on: the verdict is of now")
    if run.status == "crashed":
        notes.append("the training has not finished and nobody writes the run any more")
    return notes + ranks
