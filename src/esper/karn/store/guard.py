"""Runs SQL that somebody else wrote: it reads the views, and neither writes, leaves nor looks outside.

What holds together (measured on DuckDB 2.0): the text is the parameter of DuckDB's own ``query()``,
which takes one SELECT and nothing else, inside a read-only transaction that is always rolled back, on
a connection that was cut off from files, settings and extensions when it was opened.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import msgspec

from esper.karn.store.rows import Rows, read_rows
from esper.leyline.errors import QueryError, QueryMemoryError, QueryTimeoutError, unknown_name

MAX_SQL_CHARACTERS = 100_000
"""Longest SQL text that is taken."""

_TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_types",
        "generate_series",
        "histogram",
        "histogram_values",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_show",
        "pragma_table_info",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "test_all_types",
        "unnest",
    }
)
"""Functions that may stand where a table does. Others read files, take pointers, change the process, run a
text that nobody has looked at, or name paths of the host; a new version of DuckDB may bring more of them."""

_WITHHELD = frozenset(
    {
        "current_setting",
        "getenv",
        "getvariable",
        "nextval",
        "pg_get_viewdef",
        "pg_sleep",
        "setseed",
        "setval",
        "sleep_ms",
        "write_log",
    }
)
"""Functions of single values that tell of the host or outlive the query."""

_CATALOG = re.compile(r"(duckdb|pg|pragma|sqlite)_")
"""Tables of DuckDB's own catalogs, which hold settings, paths and view texts."""
_SUFFIXES = frozenset(
    {
        "avro",
        "csv",
        "db",
        "ddb",
        "duckdb",
        "gz",
        "json",
        "jsonl",
        "ndjson",
        "parquet",
        "shp",
        "tsv",
        "txt",
        "vortex",
        "xlsx",
        "zst",
    }
)
"""Of files that DuckDB or an extension of it reads by their names alone."""
_NO_SUCH_TABLE = re.compile(r"Table with name \"?(.+?)\"? does not exist")
_MESSAGE_CHARACTERS = 600
_ALL_ROWS = 2**62
_ONE_SELECT = "only one SELECT (or DESCRIBE, SHOW) is taken, no other statement and no second one"


HardDeadline = Callable[[float, QueryTimeoutError], None]
"""Told a query's deadline in seconds as it begins, and the error to show if nothing else ends it."""

_hard_deadline: HardDeadline | None = None


def set_hard_deadline(arm: HardDeadline) -> None:
    """Have ``arm`` called as each query of this process begins, by whoever can end the process.

    DuckDB heeds an interrupt between two chunks of rows; one call of repeat() or range() may last longer.
    """
    global _hard_deadline
    _hard_deadline = arm


def run_guarded(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    *,
    views: Iterable[str],
    limit: int,
    offset: int = 0,
    timeout_s: float = 10.0,
) -> Rows:
    """Run one SELECT on a fresh cursor, and roll back.

    Args:
        cursor: of a sealed connection; nobody else uses it.
        sql: the text.
        views: what can be read, to offer the nearest where a name is unknown.
        limit: rows wanted; one more is fetched to know whether there are more.
        offset: rows to skip.
        timeout_s: deadline in seconds.

    Raises:
        QueryError: if it is refused or fails.
        QueryMemoryError: if it needs more memory than there is for it.
        QueryTimeoutError: past the deadline.
    """
    page = [min(limit + 1, _ALL_ROWS), min(offset, _ALL_ROWS)]
    try:
        with deadline(cursor, timeout_s):
            check_text(cursor, sql)
            with _rolled_back(cursor):
                rows = read_rows(cursor.execute("SELECT * FROM query($1) LIMIT $2 OFFSET $3", [sql, *page]))
    except RecursionError:
        raise QueryError("a value is nested too deep; select a part of it") from None
    except duckdb.Error as error:
        raise _teach(error, views) from None
    rows.truncated = len(rows.rows) > limit
    del rows.rows[limit:]
    return rows


@contextmanager
def deadline(cursor: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    """End what runs on a cursor within the block once its time is over.

    Args:
        cursor: nobody else uses it.
        timeout_s: in seconds.

    Raises:
        QueryMemoryError: if it needs more memory than there is for it.
        QueryTimeoutError: past the deadline.
    """
    too_late = QueryTimeoutError(
        f"the query ran past its {timeout_s:g} s; filter by run_dir, aggregate, or ask for less"
    )
    if _hard_deadline is not None:
        _hard_deadline(timeout_s, too_late)
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        raise too_late from None
    except (duckdb.OutOfMemoryException, MemoryError):
        raise QueryMemoryError from None
    finally:
        timer.cancel()


@contextmanager
def _rolled_back(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        yield
    finally:
        cursor.rollback()


def check_text(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse texts that are no single SELECT, and what tells of the host, by DuckDB's own parser.

    Raises:
        QueryError: saying what would be right.
    """
    if len(sql) > MAX_SQL_CHARACTERS:
        raise QueryError(f"the SQL has {len(sql)} characters; at most {MAX_SQL_CHARACTERS} are taken")
    stack: list[Any] = [_parse(cursor, sql)]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            _check_node(node)
            stack += node.values()
        elif isinstance(node, list):
            stack += node


def _parse(cursor: duckdb.DuckDBPyConnection, sql: str) -> Any:
    try:
        row = cursor.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
        assert row is not None
        tree = msgspec.json.decode(row[0])
    except RecursionError:
        raise QueryError("the SQL is nested too deep") from None
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise QueryError(_one_line(str(error))) from None
    if not tree["error"]:
        if not tree["statements"]:
            raise QueryError("the SQL is empty; write one SELECT, for example: SELECT * FROM runs")
        return tree
    if tree["error_type"] == "parser":
        raise QueryError(_one_line(tree["error_message"]))
    raise QueryError(_ONE_SELECT)


def _check_node(node: dict[str, Any]) -> None:
    if node.get("class") == "PARAMETER":
        raise QueryError("? and $name have no value here: write the value itself into the SQL")
    name = ""
    if node.get("type") == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", ""))
        withheld = name.lower() not in _TABLE_FUNCTIONS
        name += "()"
    elif node.get("type") == "BASE_TABLE":
        name = str(node["table_name"])
        withheld = name.lower() not in _TABLE_FUNCTIONS and _CATALOG.match(name.lower()) is not None
        if str(node["schema_name"]).lower() == "information_schema" and name.lower() == "views":
            name, withheld = "information_schema.views", True
        if _is_file([str(node["catalog_name"]), str(node["schema_name"]), str(node["table_name"])]):
            raise QueryError("a file is not available here; SHOW TABLES lists what can be read")
    elif node.get("type") == "SHOW_REF" and _is_file([str(node["table_name"])]):
        raise QueryError("a file is not available here; SHOW TABLES lists what can be read")
    else:
        name = str(node.get("function_name", ""))
        withheld = name.lower() in _WITHHELD
        name += "()"
    if withheld:
        raise QueryError(f"{name[:80]} is not available here; SHOW TABLES lists what can be read")


def _is_file(parts: list[str]) -> bool:
    """Whether DuckDB would take a table's name, joined by dots, for a file's where there is no such table."""
    *schema, name = parts
    return any(set(part) & set("./\\*?") for part in parts) or (any(schema) and name.lower() in _SUFFIXES)


def _teach(error: duckdb.Error, views: Iterable[str]) -> QueryError:
    """DuckDB's own words on one line without its echo of the text, and with what would be right."""
    message = _one_line(str(error))
    if "Expected a single SELECT" in message or "single SELECT statement" in message:
        return QueryError(_ONE_SELECT)
    if isinstance(error, duckdb.CatalogException) and (found := _NO_SUCH_TABLE.search(message)):
        return QueryError(str(unknown_name("view", found[1], views)))
    return QueryError(message)


def _one_line(message: str) -> str:
    text = " ".join(message.split("\n\nLINE ")[0].split("\nLINE ")[0].split())
    return text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + "..."
