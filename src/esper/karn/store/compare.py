"""Gathers the figures of two runs from the views and brings them to the comparison."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean, stdev
from typing import Any

import msgspec

from esper.karn.diagnosis.comparison import Comparison, compare_figures
from esper.karn.diagnosis.figures import (
    BlueprintUse,
    EntropyTrack,
    EnvEnd,
    RunFigures,
    Settling,
    Thrash,
    track_entropy,
)
from esper.karn.diagnosis.intervals import Part, Sample
from esper.karn.diagnosis.reports import RunVerdict
from esper.karn.store import compare_sql as sql
from esper.karn.store.database import Snapshot, Store
from esper.karn.store.evidence import data_notes, thrash_verdict


def compare_runs(store: Store, control: str, treatment: str) -> Comparison:
    """What a treatment changed against its control, and its exit gates.

    Args:
        store: the store, refreshed by the caller.
        control: the run to compare with.
        treatment: the run that is judged.

    Raises:
        NotFoundError: on an unknown run; names the nearest.
    """
    for name in (control, treatment):
        store.check_run(name)
    return compare_figures(run_figures(store, control), run_figures(store, treatment))


def run_figures(store: Store, run_dir: str) -> RunFigures:
    """One run's figures; its thrash numbers and its use of internal ops are those of its verdict.

    Raises:
        NotFoundError: on an unknown run; names the nearest.
    """
    verdict = thrash_verdict(store, run_dir)
    with store.snapshot() as now:
        return _figures(now, verdict)


def _figures(now: Snapshot, verdict: RunVerdict) -> RunFigures:
    run_dir = verdict.run_dir
    decisions = _one(now, sql.DECISIONS, run_dir)
    settling = _one(now, sql.SETTLING, run_dir)
    ends = now.select(sql.EPISODE_ENDS, [run_dir]).dicts()
    settings = now.select(sql.SETTINGS, [run_dir]).dicts()
    return RunFigures(
        run_dir=run_dir,
        status=verdict.status,
        has_decisions=decisions["n"] > 0,
        has_ladder=decisions["has_ladder"],
        usage=Part(verdict.usage.internal_ops, verdict.usage.decisions),
        thrash=_thrash(verdict),
        settling=Settling(
            settled=Part(settling["settled"], settling["n"]),
            early_net=settling["early"],
            late_net=settling["late"],
        ),
        episode_return=msgspec.convert(_one(now, sql.RETURNS, run_dir), Sample),
        lost_returns=_one(now, sql.LOST_RETURNS, run_dir)["n"],
        accuracy=_sample(ends, "accuracy"),
        loss=_sample(ends, "loss"),
        params=_sample(ends, "params"),
        environments=_environments(ends),
        blueprints=[
            msgspec.convert(row, BlueprintUse) for row in now.select(sql.BLUEPRINTS, [run_dir]).dicts()
        ],
        entropy=_entropy(now, run_dir),
        rollbacks=_one(now, sql.ROLLBACKS, run_dir)["n"],
        settings={name: None if value is None else str(value) for name, value in settings[0].items()}
        if settings
        else {},
        notes=data_notes(now, run_dir),
    )


def _one(now: Snapshot, text: str, run_dir: str) -> dict[str, Any]:
    return now.select(text, [run_dir]).dicts()[0]


def _thrash(verdict: RunVerdict) -> Thrash:
    n_ops = sum(slot.n_ops for slot in verdict.slots)
    return Thrash(
        label=verdict.label,
        vs_random=verdict.vs_random,
        reversals=_part(verdict.reversal_rate, verdict.n_pairs),
        free_reversals=_part(verdict.free_reversal_rate, verdict.n_free_pairs),
        undone=_part(verdict.undone_within_5, n_ops),
        named=Part(verdict.n_thrashing, verdict.n_judged),
        churn=verdict.churn,
    )


def _part(share: float | None, n: int) -> Part:
    """The counts behind a verdict's rate."""
    return Part(round((share or 0) * n), n)


def _sample(rows: list[dict[str, Any]], name: str) -> Sample:
    values = [row[name] for row in rows if row[name] is not None]
    return Sample(len(values), fmean(values) if values else None, stdev(values) if len(values) > 1 else None)


def _environments(ends: list[dict[str, Any]]) -> list[EnvEnd]:
    found = []
    for env_id, group in groupby(ends, key=lambda row: row["env_id"]):
        rows = list(group)
        means = {name: _sample(rows, name).mean for name in ("accuracy", "loss", "params")}
        found.append(EnvEnd(env_id=env_id, episodes=len(rows), **means))
    return found


def _entropy(now: Snapshot, run_dir: str) -> EntropyTrack | None:
    """Of the policy's updates; of its decisions where no update was recorded."""
    updates = now.select(sql.UPDATE_ENTROPIES, [run_dir]).dicts()
    if updates:
        series = [
            [(row["entropy"], row["flagged"]) for row in rows]
            for _, rows in groupby(updates, key=lambda row: row["rank"])
        ]
        return track_entropy("updates", series)
    episodes = now.select(sql.DECISION_ENTROPIES, [run_dir]).rows
    return track_entropy("decisions", [[(entropy, False) for (entropy,) in episodes]])
