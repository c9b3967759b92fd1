"""DuckDB without Karn: views that parse the files at each query, typed Parquet, and a strict load."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import msgspec

from benchmarks.events import Dataset
from esper.karn.store.tables import TABLE_OF
from esper.leyline import payloads

THREADS = 2
"""As many as a Store has by default."""

_ENVELOPE = {
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "seed_id": "VARCHAR",
    "slot_id": "VARCHAR",
    "epoch": "BIGINT",
    "group_id": "VARCHAR",
    "message": "VARCHAR",
    "data": "JSON",
    "severity": "VARCHAR",
    "rank": "INTEGER",
    "seq": "BIGINT",
    "schema": "INTEGER",
}
_PAYLOADS: dict[str, type[payloads.Payload]] = {
    "TRAINING_STARTED": payloads.TrainingStartedPayload,
    "TRAINING_FINISHED": payloads.TrainingFinishedPayload,
    "EPOCH_COMPLETED": payloads.EpochCompletedPayload,
    "EPISODE_OUTCOME": payloads.EpisodeOutcomePayload,
    "SEED_GERMINATED": payloads.SeedGerminatedPayload,
    "SEED_STAGE_CHANGED": payloads.SeedStageChangedPayload,
    "SEED_PRUNED": payloads.SeedPrunedPayload,
    "SEED_FOSSILIZED": payloads.SeedFossilizedPayload,
    "SEED_INTERNAL_LEVEL_CHANGED": payloads.SeedInternalLevelChangedPayload,
    "INTERNAL_OP_METRICS": payloads.InternalOpMetricsPayload,
    "COUNTERFACTUAL_DELTA": payloads.CounterfactualDeltaPayload,
    "ANALYTICS_SNAPSHOT": payloads.DecisionPayload,
}
"""The event types that the benchmarks' trainings write."""
_VIEWS = {
    "changes": (
        "SEED_INTERNAL_LEVEL_CHANGED",
        (
            "env_id INTEGER",
            "slot_id VARCHAR",
            "blueprint_id VARCHAR",
            "internal_kind INTEGER",
            "from_level INTEGER",
            "to_level INTEGER",
            "max_level INTEGER",
            "active_params BIGINT",
        ),
    ),
    "metrics": (
        "INTERNAL_OP_METRICS",
        (
            "env_id INTEGER",
            "slot_id VARCHAR",
            "internal_op_density DOUBLE",
            "net_level_change DOUBLE",
            "reversal_rate DOUBLE",
        ),
    ),
    "deltas": (
        "COUNTERFACTUAL_DELTA",
        (
            "env_id INTEGER",
            "slot_id VARCHAR",
            "epoch BIGINT",
            "op INTEGER",
            "from_level INTEGER",
            "to_level INTEGER",
            "loss_delta DOUBLE",
            "accuracy_delta DOUBLE",
            "baseline_loss_delta DOUBLE",
            "baseline_accuracy_delta DOUBLE",
            "baseline_sample_count BIGINT",
        ),
    ),
    "snapshots": ("ANALYTICS_SNAPSHOT", ("kind VARCHAR", "action_name VARCHAR")),
}
"""Event type and fields that each of the views below needs."""
_BODIES = {
    "seed_internal_levels": "SELECT *, to_level - from_level AS level_delta FROM changes_fields",
    "internal_op_summary": """
        SELECT
            run_dir,
            slot_id,
            COUNT(*) AS total_ops,
            SUM(CASE WHEN level_delta > 0 THEN 1 ELSE 0 END) AS grow_count,
            SUM(CASE WHEN level_delta < 0 THEN 1 ELSE 0 END) AS shrink_count,
            SUM(level_delta) AS net_level_change,
            AVG(active_params) AS avg_active_params,
            MAX(to_level) AS max_reached_level,
            MIN(to_level) AS min_reached_level
        FROM seed_internal_levels
        GROUP BY run_dir, slot_id""",
    "internal_op_metrics": "SELECT * FROM metrics_fields",
    "counterfactual_deltas": """
        SELECT
            *,
            loss_delta - baseline_loss_delta AS loss_advantage,
            accuracy_delta - baseline_accuracy_delta AS accuracy_advantage
        FROM deltas_fields""",
    "decisions": "SELECT run_dir, action_name AS op FROM snapshots_fields WHERE kind = 'last_action'",
}
"""The specification's views, without its ORDER BY, which would cost at each query and change no answer."""
_RUN = r"regexp_extract(filename, '([^/\\]+)[/\\][^/\\]+$', 1)"


def connect() -> duckdb.DuckDBPyConnection:
    """An empty database in memory, as fast as a Store's."""
    connection = duckdb.connect(":memory:", config={"threads": THREADS})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def reparsing(telemetry_dir: Path) -> duckdb.DuckDBPyConnection:
    """Views that read all files as JSON anew at each query."""
    connection = connect()
    connection.execute(
        f"CREATE VIEW raw_events AS SELECT *, {_RUN} AS run_dir FROM "
        + _read_json(f"'{telemetry_dir}/*/events.jsonl'", _ENVELOPE)
    )
    _create_views(
        connection,
        source=lambda event_type: f"raw_events WHERE event_type = '{event_type}'",
        field=lambda name, kind: f"json_extract_string(data, '$.{name}')::{kind}",
    )
    return connection


def write_parquet(dataset: Dataset, folder: Path) -> None:
    """One file per event type over all runs, sorted by run: typed columns, nothing else."""
    folder.mkdir()
    with connect() as connection:
        for event_type in _PAYLOADS:
            fields = event_fields([event_type])
            own = {name for name in _ENVELOPE if name != "data"}
            columns = [f'"{name}"' for name in _ENVELOPE if name != "data"]
            columns += [f'data."{name}" AS "{name}"' for name in fields if name not in own]
            source = _read_json(_listed(dataset.files), _typed(fields))
            connection.execute(
                f"""COPY (
                    SELECT {_RUN} AS run_dir, {", ".join(columns)} FROM {source}
                    WHERE event_type = '{event_type}' ORDER BY run_dir, seq
                ) TO '{folder}/{event_type.lower()}.parquet' (FORMAT parquet, COMPRESSION zstd)"""
            )


def over_parquet(folder: Path) -> duckdb.DuckDBPyConnection:
    """The fewest views that answer the questions from typed Parquet: the floor."""
    connection = connect()
    _create_views(
        connection,
        source=lambda event_type: f"read_parquet('{folder}/{event_type.lower()}.parquet')",
        field=lambda name, kind: name,
    )
    return connection


def load_strictly(files: Iterable[Path]) -> int:
    """Load every line with typed fields into a table in memory; how many there were."""
    with connect() as connection:
        fields = event_fields(_PAYLOADS)
        source = _read_json(_listed(files), _typed(fields))
        connection.execute(f"CREATE TABLE loaded AS SELECT * FROM {source}")
        (count,) = connection.execute("SELECT count(*) FROM loaded").fetchone() or (0,)
        return int(count)


def event_fields(event_types: Iterable[str]) -> dict[str, str]:
    """SQL types, by name, of all fields that the ``data`` of some event types can have."""
    fields = {"attempt": "BIGINT", "inode": "BIGINT", "non_finite": "JSON"}
    for event_type in event_types:
        payload = _PAYLOADS[event_type]
        names = {*(field.name for field in msgspec.structs.fields(payload)), "kind"}
        for field in TABLE_OF[event_type].fields:
            if field.path[0] in names and len(field.path) == 1:
                fields[field.path[0]] = field.sql_type
    return fields


def _typed(fields: dict[str, str]) -> dict[str, str]:
    data = ", ".join(f'"{name}" {kind}' for name, kind in fields.items())
    return {**_ENVELOPE, "data": f"STRUCT({data})"}


def _listed(files: Iterable[Path]) -> str:
    return "[" + ", ".join(f"'{path}'" for path in files) + "]"


def _read_json(files: str, columns: dict[str, str]) -> str:
    typed = ", ".join(f"\"{name}\": '{kind}'" for name, kind in columns.items())
    return f"read_json({files}, format = 'newline_delimited', columns = {{{typed}}}, filename = true)"


def _create_views(
    connection: duckdb.DuckDBPyConnection,
    source: Callable[[str], str],
    field: Callable[[str, str], str],
) -> None:
    """The specification's four views, and decisions.

    Args:
        connection: where.
        source: from an event type to what stands behind FROM.
        field: from a field's name and SQL type to what reads it.
    """
    for name, (event_type, columns) in _VIEWS.items():
        selected = [
            f"{field(column, kind)} AS {column}" for column, kind in (text.split() for text in columns)
        ]
        connection.execute(
            f"CREATE VIEW {name}_fields AS SELECT run_dir, timestamp, {', '.join(selected)} "
            f"FROM {source(event_type)}"
        )
    for name, body in _BODIES.items():
        connection.execute(f"CREATE VIEW {name} AS {body}")
