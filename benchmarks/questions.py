"""The six questions that every way of keeping telemetry is asked, in the words of Karn's specification."""

from __future__ import annotations

from typing import Any

USAGE = """
    SELECT
        run_dir,
        COUNT(*) as internal_ops,
        (SELECT COUNT(*) FROM decisions WHERE run_dir = s.run_dir AND op != 'NOOP') as total_decisions,
        ROUND(100.0 * COUNT(*) / NULLIF(
            (SELECT COUNT(*) FROM decisions WHERE run_dir = s.run_dir AND op != 'NOOP'), 0), 1) as pct
    FROM seed_internal_levels s
    GROUP BY run_dir"""
THRASH_CHECK = """
    SELECT
        slot_id,
        AVG(reversal_rate) as avg_reversal_rate,
        MAX(reversal_rate) as max_reversal_rate,
        COUNT(*) as samples
    FROM internal_op_metrics
    WHERE run_dir = ?
    GROUP BY slot_id
    HAVING AVG(reversal_rate) > 0.5"""
COUNTERFACTUAL = """
    SELECT
        op,
        COUNT(*) as n,
        AVG(loss_advantage) as avg_loss_advantage,
        AVG(accuracy_advantage) as avg_accuracy_advantage
    FROM counterfactual_deltas
    WHERE run_dir = ?
      AND baseline_sample_count >= 10
    GROUP BY op"""
SUMMARY = """
    SELECT
        run_dir,
        slot_id,
        total_ops,
        grow_count,
        shrink_count,
        net_level_change,
        avg_active_params,
        max_reached_level,
        min_reached_level
    FROM internal_op_summary"""
LAST_CHANGES = """
    SELECT
        run_dir,
        timestamp,
        env_id,
        slot_id,
        blueprint_id,
        internal_kind,
        from_level,
        to_level,
        max_level,
        active_params,
        level_delta
    FROM seed_internal_levels
    WHERE run_dir = ?
    ORDER BY timestamp DESC
    LIMIT 100"""

QUESTIONS = {
    "thrash check": THRASH_CHECK,
    "counterfactual by op": COUNTERFACTUAL,
    "usage": USAGE,
    "summary of a run": f"{SUMMARY} WHERE run_dir = ?",
    "last 100 changes": LAST_CHANGES,
    "summary of all runs": SUMMARY,
}
"""SQL by name; a ``?`` stands for a run."""


def parameters(sql: str, run_dir: str) -> list[str]:
    """What goes with one of the questions."""
    return [run_dir] * sql.count("?")


def literal(sql: str, run_dir: str) -> str:
    """The question with the run written into it, for those who take no parameters."""
    return sql.replace("?", f"'{run_dir}'")


def comparable(rows: Any) -> list[tuple[Any, ...]]:
    """Rows as they can be compared: in one order, floats to nine digits, times without their zone."""
    return sorted((tuple(_plain(value) for value in row) for row in rows), key=repr)


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        value = value.isoformat(timespec="microseconds")
    if isinstance(value, str):
        return value.removesuffix("+00:00")
    if isinstance(value, bool) or value is None:
        return value
    number = float(value)
    return float(f"{number:.9g}") + 0.0
