"""Runs SQL that somebody else wrote: it reads the views, and neither writes, leaves nor looks outside.

What holds together (measured on DuckDB 2.0): the text is the parameter of DuckDB's own ``query()``,
which takes one SELECT and nothing else, inside a read-only transaction that is always rolled back, on
a connection that was cut off from files, settings and extensions when it was opened.
"""

from __future__ import annotations

import re
import threading
from typing import Any

import duckdb
import msgspec

from esper.karn.store.rows import Rows, read_rows
from esper.leyline.errors import QueryError, QueryTimeoutError, unknown_name

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
_NO_SUCH_TABLE = re.compile(r"Table with name \"?(.+?)\"? does not exist")
_MESSAGE_CHARACTERS = 600
_ALL_ROWS = 2**62
_ONE_SELECT = "only one SELECT (or DESCRIBE, SHOW) is taken, no other statement and no second one"


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
    failed: duckdb.Error | None = None
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    deadline = threading.Timer(timeout_s, cursor.interrupt)
    deadline.daemon = True
    deadline.start()
    try:
        page = [min(limit + 1, _ALL_ROWS), min(offset, _ALL_ROWS)]
        result = cursor.execute("SELECT * FROM query($1) LIMIT $2 OFFSET $3", [sql, *page])
        rows = read_rows(result)
    except duckdb.InterruptException:
        raise QueryTimeoutError(
            f"the query ran past its {timeout_s:g} s; filter by run_dir, aggregate, or ask for less"
        ) from None
    except duckdb.Error as error:
        failed = error
    finally:
        deadline.cancel()
        cursor.rollback()
    if failed is not None:
        raise _teach(cursor, failed) from None
    rows.truncated = len(rows.rows) > limit
    del rows.rows[limit:]
    return rows


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
    else:
        name = str(node.get("function_name", ""))
        withheld = name.lower() in _WITHHELD
        name += "()"
    if withheld:
        raise QueryError(f"{name[:80]} is not available here; SHOW TABLES lists what can be read")


def _teach(cursor: duckdb.DuckDBPyConnection, error: duckdb.Error) -> QueryError:
    """DuckDB's own words on one line without its echo of the text, and with what would be right."""
    message = _one_line(str(error))
    if "Expected a single SELECT" in message or "single SELECT statement" in message:
        return QueryError(_ONE_SELECT)
    if isinstance(error, duckdb.CatalogException) and (found := _NO_SUCH_TABLE.search(message)):
        views = cursor.execute(
            "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal ORDER BY ALL"
        ).fetchall()
        return QueryError(str(unknown_name("view", found[1], [name for (name,) in views])))
    return QueryError(message)


def _one_line(message: str) -> str:
    text = " ".join(message.split("\n\nLINE ")[0].split("\nLINE ")[0].split())
    return text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + "..."
