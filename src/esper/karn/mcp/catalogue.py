"""What can be read: the views, example queries and macros, from the headers of the SQL files alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import Table, fit
from esper.karn.store.sqlfile import SqlFile
from esper.leyline.errors import unknown_name

if TYPE_CHECKING:
    from esper.karn.store.database import Store

_MACROS = """
    SELECT function_name || '(' || array_to_string(parameters, ', ') || ')'
    FROM duckdb_functions()
    WHERE function_type = 'macro' AND NOT internal
    ORDER BY function_name"""


def view_list(store: Store, queries: Mapping[str, SqlFile]) -> Table:
    """Every view and example query with the names of its columns."""
    rows: list[list[Any]] = [
        [kind, file.name, file.title, file.grain, " ".join(file.columns)]
        for kind, files in (("view", store.views), ("query", queries))
        for file in files.values()
    ]
    macros = ", ".join(row[0] for row in store.select(_MACROS).rows)
    hint = "name a view for its columns' meanings and units; queries are tools of the same name"
    return _whole_table(
        store, ["kind", "name", "title", "grain", "columns"], rows, [hint, f"macros for SQL: {macros}"]
    )


def view_columns(store: Store, queries: Mapping[str, SqlFile], name: str) -> Table:
    """One view or example query in full: a row for each column.

    Raises:
        NotFoundError: naming the nearest.
    """
    files = {**store.views, **queries}
    if name not in files:
        raise unknown_name("view", name, files)
    file = files[name]
    types = {}
    if name in store.views:
        types = {row[0]: row[1] for row in store.select(f'DESCRIBE "{name}"').rows}
    rows = [[column, types.get(column), meaning] for column, meaning in file.columns.items()]
    about = [f"{file.title}: {file.description}", f"grain: {file.grain}", f"key: {file.key}"]
    about += [f"parameter {param.name} {param.sql_type}: {param.meaning}" for param in file.params]
    return _whole_table(store, ["column", "type", "meaning"], rows, about)


def _whole_table(store: Store, columns: list[str], rows: list[list[Any]], about: list[str]) -> Table:
    fitted = fit(columns, rows)
    return Table(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=len(fitted.rows),
        truncated=len(fitted.rows) < len(rows),
        next_cursor=None,
        as_of=standing(store).as_of,
        warnings=[*about, *fitted.warnings],
    )
