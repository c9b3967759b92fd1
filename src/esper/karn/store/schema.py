"""Creates the tables, the relations over them and the macros that views are written with.

tail.<type>    rows of events that are in memory (sealed segments will lie beside them)
ev.<type>      all events of a type
live.<type>    those of them that a resumed training has not replayed since
main.events    all events of all types, the stable base for users' own views
"""

from __future__ import annotations

import duckdb

from esper.karn.store.tables import ENVELOPE, LIFECYCLE, TABLE_OF, TABLES, EventTable
from esper.leyline import thresholds
from esper.leyline.actions import LifecycleOp

_PLACE = ("env_id", "episode_idx")
"""With the envelope's epoch: where in a training an event belongs."""


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create everything that the views need; the tables are empty."""
    for schema in ("tail", "ev", "live"):
        connection.execute(f"CREATE SCHEMA {schema}")
    connection.execute(
        "CREATE TABLE tail.problems (run_dir VARCHAR, filename VARCHAR, line_number BIGINT, "
        "file_offset BIGINT, kind VARCHAR, reason VARCHAR, snippet VARCHAR)"
    )
    connection.execute(
        "CREATE TABLE tail.resume_points (filename VARCHAR, attempt INTEGER, env_id INTEGER, "
        "episode_idx INTEGER, epoch BIGINT, event_type VARCHAR)"
    )
    for table in TABLES:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in table.columns)
        connection.execute(f"CREATE TABLE tail.{table.name} ({columns})")
        connection.execute(f"CREATE VIEW ev.{table.name} AS SELECT * FROM tail.{table.name}")
        connection.execute(f"CREATE VIEW live.{table.name} AS {_live(table)}")
    connection.execute(f"CREATE VIEW events AS {_union('ev', TABLES)}")
    lifecycle = [TABLE_OF[event_type] for event_type in LIFECYCLE]
    connection.execute(
        "CREATE VIEW live.seed_lifecycle AS "
        + " UNION ALL BY NAME ".join(f"SELECT * FROM live.{table.name}" for table in lifecycle)
    )
    for macro in _macros():
        connection.execute(macro)


def _has_place(table: EventTable) -> bool:
    return all(place in {name for name, _ in table.columns} for place in _PLACE)


def _live(table: EventTable) -> str:
    """Events that no later attempt of their training has replayed.

    A resume point is the last epoch that a checkpoint held. What an earlier attempt wrote after it was
    done again; of the point's own epoch only the types that ``resume`` notes count anew, since nobody
    says whether the checkpoint was made before or after its decisions.
    """
    if not _has_place(table):
        return f"SELECT * FROM ev.{table.name}"
    return f"""
        SELECT * FROM ev.{table.name} AS event
        WHERE NOT EXISTS (
            SELECT 1 FROM tail.resume_points AS point
            WHERE point.filename = event.filename
                AND point.attempt > event.attempt
                AND coalesce(point.env_id = event.env_id, true)
                AND (
                    event.episode_idx > point.episode_idx
                    OR (event.episode_idx = point.episode_idx AND event.epoch > point.epoch)
                    OR (
                        event.episode_idx = point.episode_idx
                        AND event.epoch = point.epoch
                        AND point.event_type = event.event_type
                    )
                )
        )"""


def _union(schema: str, tables: list[EventTable]) -> str:
    own = ", ".join(f'"{name}"' for name, _ in ENVELOPE)
    return " UNION ALL ".join(
        f"SELECT {own}, "
        + ", ".join(
            place if place in {name for name, _ in table.columns} else f"NULL::INTEGER AS {place}"
            for place in _PLACE
        )
        + f" FROM {schema}.{table.name}"
        for table in tables
    )


def _macros() -> list[str]:
    t = thresholds
    z = t.z_score()
    z2 = z * z
    ops = " ".join(f"WHEN {int(op)} THEN '{op.name}'" for op in LifecycleOp)
    too_few = f"rate IS NULL OR n IS NULL OR n < {t.MIN_PAIRS}"
    centre = f"(k / n + {z2} / (2 * n))"
    half = f"{z} * sqrt(k / n * (1 - k / n) / n + {z2} / (4.0 * n * n))"
    return [
        f"""CREATE MACRO band(rate, n) AS CASE WHEN {too_few} THEN 'insufficient_data'
            WHEN rate < {t.WATCH_AT} THEN 'healthy' WHEN rate < {t.CAUTION_AT} THEN 'watch'
            WHEN rate > {t.THRASH_ABOVE} THEN 'thrash' ELSE 'caution' END""",
        f"""CREATE MACRO indicator(rate, n) AS CASE WHEN {too_few} THEN NULL
            WHEN rate < {t.WATCH_AT} THEN 'green' WHEN rate < {t.RED_AT} THEN 'yellow' ELSE 'red' END""",
        f"CREATE MACRO op_name(op) AS CASE op {ops} END",
        f"CREATE MACRO undo_epochs() AS {t.UNDO_EPOCHS}",
        f"""CREATE MACRO wilson_low(k, n) AS CASE WHEN n > 0
            THEN greatest(0.0, ({centre} - {half}) / (1 + {z2} / n)) END""",
        f"""CREATE MACRO wilson_high(k, n) AS CASE WHEN n > 0
            THEN least(1.0, ({centre} + {half}) / (1 + {z2} / n)) END""",
        f"""CREATE MACRO vs_random(low, high) AS CASE WHEN low IS NULL THEN NULL
            WHEN high < {t.COIN_FLIP_RATE} THEN 'less' WHEN low > {t.COIN_FLIP_RATE} THEN 'more'
            ELSE 'indistinguishable' END""",
        f"""CREATE MACRO is_sweeping(churn, free_rate, n_ops) AS
            churn > {t.SWEEP_CHURN} AND free_rate < {t.WATCH_AT} AND n_ops >= {t.MIN_PAIRS}""",
    ]
