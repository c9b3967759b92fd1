"""The six questions in polars, lazily over the typed Parquet that ``duckdb_alone`` writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import questions


def answers(folder: Path, run_dir: str) -> dict[str, Callable[[], list[tuple[Any, ...]]]]:
    """A function for each of the questions.

    Args:
        folder: of the Parquet files.
        run_dir: the run that ``?`` stands for.
    """

    def scan(event_type: str) -> pl.LazyFrame:
        return pl.scan_parquet(folder / f"{event_type}.parquet")

    def one_run(event_type: str) -> pl.LazyFrame:
        return scan(event_type).filter(pl.col("run_dir") == run_dir)

    functions = {
        questions.THRASH_CHECK: lambda: _thrash_check(one_run("internal_op_metrics")),
        questions.COUNTERFACTUAL: lambda: _counterfactual(one_run("counterfactual_delta")),
        questions.USAGE: lambda: _usage(scan("seed_internal_level_changed"), scan("analytics_snapshot")),
        questions.QUESTIONS["summary of a run"]: lambda: _summary(one_run("seed_internal_level_changed")),
        questions.LAST_CHANGES: lambda: _last_changes(one_run("seed_internal_level_changed")),
        questions.SUMMARY: lambda: _summary(scan("seed_internal_level_changed")),
    }

    def answer(plan: Callable[[], pl.LazyFrame]) -> Callable[[], list[tuple[Any, ...]]]:
        return lambda: plan().collect().rows()

    return {name: answer(functions[sql]) for name, sql in questions.QUESTIONS.items()}


def _thrash_check(metrics: pl.LazyFrame) -> pl.LazyFrame:
    rate = pl.col("reversal_rate")
    return (
        metrics.group_by("slot_id")
        .agg(
            rate.mean().alias("avg_reversal_rate"),
            rate.max().alias("max_reversal_rate"),
            pl.len().alias("samples"),
        )
        .filter(pl.col("avg_reversal_rate") > 0.5)
    )


def _counterfactual(deltas: pl.LazyFrame) -> pl.LazyFrame:
    loss = pl.col("loss_delta") - pl.col("baseline_loss_delta")
    accuracy = pl.col("accuracy_delta") - pl.col("baseline_accuracy_delta")
    return (
        deltas.filter(pl.col("baseline_sample_count") >= 10)
        .group_by("op")
        .agg(
            pl.len().alias("n"),
            loss.mean().alias("avg_loss_advantage"),
            accuracy.mean().alias("avg_accuracy_advantage"),
        )
    )


def _usage(changes: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    made = (pl.col("kind") == "last_action") & (pl.col("action_name") != "NOOP")
    decisions = snapshots.filter(made).group_by("run_dir").agg(pl.len().alias("total_decisions"))
    return (
        changes.group_by("run_dir")
        .agg(pl.len().alias("internal_ops"))
        .join(decisions, on="run_dir", how="left")
        .with_columns((100.0 * pl.col("internal_ops") / pl.col("total_decisions")).round(1).alias("pct"))
    )


def _summary(changes: pl.LazyFrame) -> pl.LazyFrame:
    change = pl.col("to_level").cast(pl.Int64) - pl.col("from_level")
    return changes.group_by("run_dir", "slot_id").agg(
        pl.len().alias("total_ops"),
        (change > 0).sum().alias("grow_count"),
        (change < 0).sum().alias("shrink_count"),
        change.sum().alias("net_level_change"),
        pl.col("active_params").mean().alias("avg_active_params"),
        pl.col("to_level").max().alias("max_reached_level"),
        pl.col("to_level").min().alias("min_reached_level"),
    )


def _last_changes(changes: pl.LazyFrame) -> pl.LazyFrame:
    return (
        changes.select(
            "run_dir",
            "timestamp",
            "env_id",
            "slot_id",
            "blueprint_id",
            "internal_kind",
            "from_level",
            "to_level",
            "max_level",
            "active_params",
            (pl.col("to_level") - pl.col("from_level")).alias("level_delta"),
        )
        .sort("timestamp", descending=True)
        .head(100)
    )
