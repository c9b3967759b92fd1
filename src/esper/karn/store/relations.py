"""The SQL of the relations that views are written over, and of the macros they use.

tail.<type>    rows of events that are in memory
ev.<type>      all events of a type: sealed segments and the rows in memory
live.<type>    those of them that a resumed training has not replayed since
events         all events of all types, the stable base for users' own views
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from esper.karn.store.tables import ENVELOPE, LIFECYCLE, PROBLEMS, TABLE_OF, TABLES, EventTable
from esper.leyline import thresholds
from esper.leyline.actions import LifecycleOp

PLACE = ("env_id", "episode_idx")
"""With the envelope's epoch: where in a training an event belongs."""

COLUMNS: dict[str, Sequence[tuple[str, str]]] = {
    **{table.name: table.columns for table in TABLES},
    "problems": PROBLEMS,
}
"""Columns of each table, by its name: one for each event type, and the problems of lines."""

RESUME_POINTS = (
    "CREATE TABLE tail.resume_points (filename VARCHAR, attempt INTEGER, env_id INTEGER, "
    "episode_idx INTEGER, epoch BIGINT, event_type VARCHAR)"
)

_OF_PATH = ("run_dir", "filename")
"""Columns that a segment does not hold: its path tells them, so that a run folder can be renamed."""


class SealedFiles(NamedTuple):
    """Parquet files of one table under one folder of runs."""

    root: str
    paths: list[str]


def stored_columns(table: str) -> str:
    """The SELECT list by which a table's rows go into a segment."""
    return ", ".join(
        # Parquet has no 128-bit integers: they would become floats.
        f'"{name}"::DECIMAL(20, 0) AS "{name}"' if kind == "HUGEINT" else f'"{name}"'
        for name, kind in COLUMNS[table]
        if name not in _OF_PATH
    )


def tail_sql(table: str) -> str:
    """Creates a table for rows in memory."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS[table])
    return f"CREATE TABLE tail.{table} ({columns})"


def ev_sql(table: str, sealed: Iterable[SealedFiles], *, has_tail: bool) -> str:
    """All rows of a table, from segments and from memory."""
    return _rows_sql(table, COLUMNS[table], sealed, has_tail=has_tail)


def _rows_sql(
    table: str, columns: Sequence[tuple[str, str]], sealed: Iterable[SealedFiles], *, has_tail: bool
) -> str:
    """Some columns of all rows of a table, null those that it lacks."""
    arms = [_sealed_arm(table, columns, files) for files in sealed if files.paths]
    if has_tail or not arms:
        own = dict(COLUMNS[table])
        listed = [_quoted(name) if name in own else _null(name, kind) for name, kind in columns]
        arms.append(f"SELECT {', '.join(listed)} FROM tail.{table}")
    return " UNION ALL ".join(arms)


def _sealed_arm(table: str, columns: Sequence[tuple[str, str]], files: SealedFiles) -> str:
    # Measured on DuckDB 2.0: a filter on an expression of ``filename`` alone leaves files unopened, and
    # substr is as cheap as a stored column, where split_part costs 10 ns a row more.
    below = f"substr(filename, {len(files.root) + 2})"
    run_dir = f"substr({below}, 1, strpos({below}, '/') - 1)"
    source = "split_part(split_part(filename, '/', -2), '@', 1)"
    own = dict(COLUMNS[table])
    listed = []
    for name, kind in columns:
        if name == "run_dir":
            listed.append(f"{run_dir} AS run_dir")
        elif name == "filename":
            listed.append(f"{run_dir} || '/' || {source} AS filename")
        elif name not in own:
            listed.append(_null(name, kind))
        elif kind == "HUGEINT":
            listed.append(f'"{name}"::HUGEINT AS "{name}"')
        else:
            listed.append(_quoted(name))
    # A path that exists is taken as it is, whatever glob characters it holds.
    paths = ", ".join(map(literal, files.paths))
    return f"SELECT {', '.join(listed)} FROM read_parquet([{paths}])"


def live_sql(table: EventTable) -> str:
    """Events that no later attempt of their training has replayed.

    A resume point is the last epoch that a checkpoint held. What an earlier attempt wrote after it was
    done again; of the point's own epoch only the types that ``resume`` notes count anew, since nobody
    says whether the checkpoint was made before or after its decisions.
    """
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


def has_place(table: EventTable) -> bool:
    """Whether its rows say where in a training they belong."""
    return all(place in {name for name, _ in table.columns} for place in PLACE)


def events_sql(
    tables: Iterable[EventTable], sealed: Mapping[str, list[SealedFiles]], in_memory: Container[str]
) -> str:
    """The envelopes of all events of these types, and their places.

    From the files, not from ev.<type>: columns that nobody asks for cost planning time all the same.
    """
    columns = [*ENVELOPE, *((place, "INTEGER") for place in PLACE)]
    return " UNION ALL ".join(
        _rows_sql(table.name, columns, sealed.get(table.name, ()), has_tail=table.name in in_memory)
        for table in tables
    )


def lifecycle_sql() -> str:
    """What happened to seeds, over the types in LIFECYCLE."""
    return " UNION ALL BY NAME ".join(f"SELECT * FROM live.{TABLE_OF[kind].name}" for kind in LIFECYCLE)


def macros() -> dict[str, str]:
    """Each macro's CREATE statement by its name, the thresholds of leyline in them."""
    t = thresholds
    z = t.z_score()
    z2 = z * z
    ops = " ".join(f"WHEN {int(op)} THEN '{op.name}'" for op in LifecycleOp)
    too_few = f"rate IS NULL OR n IS NULL OR n < {t.MIN_PAIRS}"
    centre = f"(k / n + {z2} / (2 * n))"
    half = f"{z} * sqrt(k / n * (1 - k / n) / n + {z2} / (4.0 * n * n))"
    bodies = {
        "band(rate, n)": f"""CASE WHEN {too_few} THEN 'insufficient_data'
            WHEN rate < {t.WATCH_AT} THEN 'healthy' WHEN rate < {t.CAUTION_AT} THEN 'watch'
            WHEN rate > {t.THRASH_ABOVE} THEN 'thrash' ELSE 'caution' END""",
        "indicator(rate, n)": f"""CASE WHEN {too_few} THEN NULL
            WHEN rate < {t.WATCH_AT} THEN 'green' WHEN rate < {t.RED_AT} THEN 'yellow' ELSE 'red' END""",
        "op_name(op)": f"CASE op {ops} END",
        "undo_epochs()": f"{t.UNDO_EPOCHS}",
        "wilson_low(k, n)": f"CASE WHEN n > 0 THEN greatest(0.0, ({centre} - {half}) / (1 + {z2} / n)) END",
        "wilson_high(k, n)": f"CASE WHEN n > 0 THEN least(1.0, ({centre} + {half}) / (1 + {z2} / n)) END",
        "vs_random(low, high)": f"""CASE WHEN low IS NULL THEN NULL
            WHEN high < {t.COIN_FLIP_RATE} THEN 'less' WHEN low > {t.COIN_FLIP_RATE} THEN 'more'
            ELSE 'indistinguishable' END""",
        "is_sweeping(churn, free_rate, n_ops)": (
            f"churn > {t.SWEEP_CHURN} AND free_rate < {t.WATCH_AT} AND n_ops >= {t.MIN_PAIRS}"
        ),
    }
    return {head.split("(")[0]: f"CREATE MACRO {head} AS {body}" for head, body in bodies.items()}


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _null(name: str, kind: str) -> str:
    return f'NULL::{kind} AS "{name}"'


def _quoted(name: str) -> str:
    return f'"{name}"'
