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
    judge_run,
    judge_slots,
    thrash_span,
)
from esper.karn.diagnosis.clues import effect, policy_update_clue, probability_clue, reward_clue
from esper.karn.store import evidence_sql as sql
from esper.karn.store.database import Store
from esper.karn.store.runs import RunInfo
from esper.karn.store.views import shipped_queries
from esper.leyline.errors import NotFoundError, unknown_name
from esper.leyline.thresholds import BASELINE_WARM_QUERY, BASELINE_WARM_VERDICT, MIN_PAIRS, USAGE_GATE

EVIDENCE_SLOTS = 3
"""Worst slots whose reversals are shown."""
EVIDENCE_ROWS = 5
"""Reversals shown of each."""

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
    counts = [msgspec.convert(row, SlotCounts) for row in store.select(sql.COUNTS, [run.run_dir]).dicts()]
    places = {(row["env_id"], row["slot_id"]): row for row in store.select(sql.PLACES, [run.run_dir]).dicts()}
    verdicts = _chosen(judge_slots(counts), env_id, slot_id, run.run_dir)
    by_key = {(count.env_id, count.slot_id): count for count in counts}
    spans = _spans(store, run.run_dir, [v for v in verdicts if v.thrashing], places)
    costs = {
        (row["env_id"], row["slot_id"]): row["cost"]
        for row in store.select(sql.UNDONE_COST, [run.run_dir]).dicts()
    }
    slots = [_report(verdict, places[verdict.env_id, verdict.slot_id], spans, costs) for verdict in verdicts]
    named = [slot for slot in slots if slot.thrashing]
    return judge_run(
        run_dir=run.run_dir,
        status=run.status,
        slots=slots,
        op_rates={row["env_id"]: row["rate"] for row in store.select(sql.OP_RATES, [run.run_dir]).dicts()},
        counts=[by_key[slot.env_id, slot.slot_id] for slot in slots],
        usage=_usage(store, run.run_dir),
        effects=_effects(store, run.run_dir),
        why=_why(store, run.run_dir, named or slots, since=_first_since(named)),
        evidence=_evidence(store, run.run_dir, slots[:EVIDENCE_SLOTS]),
        notes=_notes(store, run, filtered=env_id is not None or slot_id is not None),
    )


def _chosen(
    verdicts: list[SlotVerdict], env_id: int | None, slot_id: str | None, run_dir: str
) -> list[SlotVerdict]:
    for what, wanted, known in (
        ("environment", env_id, {v.env_id for v in verdicts}),
        ("slot", slot_id, {v.slot_id for v in verdicts}),
    ):
        if wanted is not None and wanted not in known:
            raise unknown_name(f"{what} in run {run_dir}:", str(wanted), sorted(str(name) for name in known))
    chosen = [
        v
        for v in verdicts
        if (env_id is None or v.env_id == env_id) and (slot_id is None or v.slot_id == slot_id)
    ]
    if verdicts and not chosen:
        raise NotFoundError(f"run {run_dir}: environment {env_id} has no internal op in slot {slot_id!r}")
    return chosen


def _spans(
    store: Store, run_dir: str, named: Sequence[SlotVerdict], places: dict[_SlotKey, dict[str, Any]]
) -> dict[_SlotKey, tuple[Moment | None, Moment | None]]:
    """Since when each named slot thrashes, and when it stopped."""
    spans: dict[_SlotKey, tuple[Moment | None, Moment | None]] = {}
    if not named:
        return spans
    pairs_of: dict[_SlotKey, list[dict[str, Any]]] = {}
    keys = [[slot.env_id for slot in named], [slot.slot_id for slot in named]]
    for pair in store.select(sql.FREE_PAIRS, [run_dir, *keys]).dicts():
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


def _report(
    verdict: SlotVerdict,
    place: dict[str, Any],
    spans: dict[_SlotKey, tuple[Moment | None, Moment | None]],
    costs: dict[_SlotKey, float | None],
) -> SlotReport:
    key = (verdict.env_id, verdict.slot_id)
    since, ended = spans[key] if verdict.thrashing else (None, None)
    return SlotReport(
        **msgspec.structs.asdict(verdict),
        rank=place["rank"],
        since=since,
        ended=ended,
        settled=place["settled"],
        episodes=place["episodes"],
        settled_episodes=place["settled_episodes"],
        undone_cost=costs.get(key),
    )


def _usage(store: Store, run_dir: str) -> Usage:
    rows = store.select(shipped_queries()["internal_op_usage"].body, {"run_dir": run_dir}).dicts()
    ops, decisions = (rows[0]["internal_ops"], rows[0]["total_decisions"]) if rows else (0, 0)
    share = ops / decisions if decisions else None
    return Usage(
        internal_ops=ops,
        decisions=decisions,
        share=share,
        passed=None if share is None else share >= USAGE_GATE,
    )


def _effects(store: Store, run_dir: str) -> list[Effect]:
    rows = store.select(sql.EFFECTS, [run_dir, BASELINE_WARM_VERDICT, BASELINE_WARM_QUERY]).dicts()
    return [
        effect(
            row["op_name"],
            row["n_all"],
            row["n"],
            (row["loss_mean"], row["loss_deviation"]),
            (row["accuracy_mean"], row["accuracy_deviation"]),
            (row["n_early"], row["loss_early"]),
        )
        for row in rows
    ]


def _first_since(named: Sequence[SlotReport]) -> str | None:
    moments = [slot.since.timestamp for slot in named if slot.since is not None and slot.since.timestamp]
    return min(moments, default=None)


def _why(store: Store, run_dir: str, slots: Sequence[SlotReport], since: str | None) -> Why:
    keys = [[slot.env_id for slot in slots], [slot.slot_id for slot in slots]]
    clues = store.select(sql.REVERSING_OPS, [run_dir, *keys]).dicts()[0]
    spread = store.select(sql.REWARD_SPREAD, [run_dir]).rows[0][0]
    updates = {
        bool(row["after"]): (row["n"], row["entropy"], row["kl"])
        for row in store.select(sql.POLICY_UPDATES, [run_dir, since]).dicts()
    }
    none = (0, None, None)
    return Why(
        probability=probability_clue(clues["n_probability"], clues["probability"], clues["times_uniform"]),
        reward=reward_clue(clues["n_reward"], clues["reward"], clues["cost"], spread),
        policy_updates=policy_update_clue(
            updates.get(False, none), updates.get(True, none), named=since is not None
        ),
    )


def _evidence(store: Store, run_dir: str, slots: Sequence[SlotReport]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for slot in slots:
        rows += store.select(
            sql.LATEST_REVERSALS, [run_dir, slot.env_id, slot.slot_id, EVIDENCE_ROWS]
        ).dicts()
    return rows


def _notes(store: Store, run: RunInfo, *, filtered: bool) -> list[str]:
    notes = []
    if filtered:
        notes.append(
            "slots are judged among all of the run; use, effects and policy updates are those of the whole run"
        )
    if run.bad_lines:
        notes.append(f"{run.bad_lines} lines could not be read and are left out: see ingest_errors")
    missing = store.select(sql.MISSING_EVENTS, [run.run_dir]).rows[0][0]
    if missing:
        notes.append(f"{missing} events are missing: see event_gaps")
    if run.attempts > 1:
        notes.append(f"the training was resumed {run.attempts - 1} times; replayed epochs count once")
    if run.status == "running":
        notes.append("the training goes on: the verdict is of now")
    if run.status == "crashed":
        notes.append("the training has not finished and nobody writes the run any more")
    return notes
