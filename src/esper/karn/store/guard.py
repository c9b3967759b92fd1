"""Runs SQL that somebody else wrote: it reads the views, and neither writes, leaves nor looks outside.

What holds together (measured on DuckDB 2.0): the text is the parameter of DuckDB's own ``query()``,
which takes one SELECT and nothing else, inside a read-only transaction that is always rolled back, on
a connection that was cut off from files, settings and extensions when it was opened.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec

from esper.karn.store.rows import Rows, read_rows
from esper.leyline.errors import QueryError, QueryTimeoutError

MAX_SQL_CHARACTERS = 100_000
"""Longest SQL text that is taken."""

# What they answer names paths of the host, or runs a text that nobody has looked at.
_WITHHELD = frozenset(
    {
        "current_setting",
        "disable_logging",
        "duckdb_databases",
        "duckdb_extensions",
        "duckdb_external_file_cache",
        "duckdb_log_contexts",
        "duckdb_logs",
        "duckdb_logs_parsed",
        "duckdb_secrets",
        "duckdb_settings",
        "duckdb_temporary_files",
        "duckdb_views",
        "enable_logging",
        "getenv",
        "getvariable",
        "glob",
        "pragma_database_list",
        "pragma_database_size",
        "query",
        "query_table",
        "sniff_csv",
        "sql_auto_complete",
        "which_secret",
    }
)
_WORD = re.compile(r"\w+")


def run_guarded(
    cursor: duckdb.DuckDBPyConnection, sql: str, *, limit: int, offset: int = 0, timeout_s: float = 10.0
) -> Rows:
    """Run one SELECT on a fresh cursor, and roll back.

    Args:
        cursor: of a sealed connection; nobody else uses it.
        sql: the text.
        limit: rows wanted; one more is fetched to know whether there are more.
        offset: rows to skip.
        timeout_s: deadline in seconds.

    Raises:
        QueryError: if it is refused or fails.
        QueryTimeoutError: past the deadline.
    """
    check_text(cursor, sql)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    deadline = threading.Timer(timeout_s, cursor.interrupt)
    deadline.daemon = True
    deadline.start()
    try:
        result = cursor.execute("SELECT * FROM query($1) LIMIT $2 OFFSET $3", [sql, limit + 1, offset])
        rows = read_rows(result)
    except duckdb.InterruptException:
        raise QueryTimeoutError(
            f"the query ran past its {timeout_s:g} s; filter by run_dir, aggregate, or ask for less"
        ) from None
    except duckdb.Error as error:
        raise QueryError(_teach(str(error))) from None
    finally:
        deadline.cancel()
        cursor.rollback()
    rows.truncated = len(rows.rows) > limit
    del rows.rows[limit:]
    return rows


def check_text(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse texts that are empty or too long, and functions that tell of the host.

    Raises:
        QueryError: saying what would be right.
    """
    if not sql.strip():
        raise QueryError("the SQL is empty; write one SELECT, for example: SELECT * FROM runs")
    if len(sql) > MAX_SQL_CHARACTERS:
        raise QueryError(f"the SQL has {len(sql)} characters; at most {MAX_SQL_CHARACTERS} are taken")
    for name in _functions(cursor, sql):
        if name in _WITHHELD:
            raise QueryError(f"{name}() is not available here; describe_views lists what can be read")


def _functions(cursor: duckdb.DuckDBPyConnection, sql: str) -> Iterator[str]:
    """Names of all functions and tables that a text uses, by DuckDB's own parser where it can."""
    try:
        row = cursor.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
        tree = msgspec.json.decode(row[0]) if row is not None else {"error": True}
    except (duckdb.Error, msgspec.DecodeError, RecursionError):
        tree = {"error": True}
    if tree["error"]:  # DESCRIBE, SHOW or a text that query() will refuse: any word may be a name
        yield from (word.lower() for word in _WORD.findall(sql))
        return
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for key in ("function_name", "table_name"):
                if isinstance(node.get(key), str):
                    yield node[key].lower()
            stack += node.values()
        elif isinstance(node, list):
            stack += node


def _teach(message: str) -> str:
    """DuckDB's own words without its echo of the text, and with what would be right."""
    first = message.split("\n\nLINE ")[0].strip()
    if "Expected a single SELECT" in first or "Can only query" in first or "single SELECT statement" in first:
        return "only one SELECT (or DESCRIBE, SHOW) is taken, no other statement and no second one"
    return first
