"""One page of an example query's rows, or of SQL that an assistant wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from esper.karn.mcp.cursor import Cursor, call_digest, decode_cursor, encode_cursor
from esper.karn.mcp.empty import no_run_yet, why_no_rows_of_query
from esper.karn.mcp.standing import Standing, standing, standing_of_rows
from esper.karn.mcp.table import MORE_ROWS, Table, fit
from esper.karn.store.sqlfile import ALL, LATEST, SqlFile

if TYPE_CHECKING:
    from esper.karn.store.database import Store
    from esper.karn.store.rows import Rows

UNORDERED = "this SQL has no ORDER BY: another page may come in another order"


class QueryCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks of an example query."""

    query: SqlFile
    params: dict[str, Any]
    """Values by the parameter's name; those that were left out are not here."""
    limit: int
    cursor: str | None
    timeout_s: float


class SqlCall(msgspec.Struct, frozen=True, kw_only=True):
    """SQL that a caller wrote."""

    sql: str
    limit: int
    cursor: str | None
    timeout_s: float


def query_page(store: Store, call: QueryCall) -> Table:
    """One page of an example query.

    Raises:
        NotFoundError: on an unknown run, or where the latest is asked for and there is none.
        QueryTimeoutError: past the deadline.
        TelemetryUsageError: on a cursor that can't be.
    """
    cursor = decode_cursor(call.cursor, call_digest(call.query.name, call.params))
    params = _resolve(store, call, cursor)
    run_dir = params.get("run_dir")
    state = standing_of_rows(store, run_dir)
    offset = 0 if cursor is None else cursor.offset
    found = store.select(
        f"SELECT * FROM (\n{call.query.body}\n) LIMIT {call.limit + 1} OFFSET {offset}",
        params,
        timeout_s=call.timeout_s,
    )
    found.truncated = len(found.rows) > call.limit
    del found.rows[call.limit :]
    page = Cursor(
        call=call_digest(call.query.name, call.params),
        bytes=state.bytes if cursor is None else cursor.bytes,
        offset=offset,
        run_dir=run_dir,
    )
    reason = None if found.rows else why_no_rows_of_query(store, call.query, params)
    return _paged(found, state, page, cursor, reason)


def sql_page(store: Store, call: SqlCall) -> Table:
    """One page of SQL that somebody else wrote.

    Raises:
        QueryError: if it is refused, fails, or runs past its deadline; the text says why.
        TelemetryUsageError: on a cursor that can't be.
    """
    digest = call_digest("query_sql", {"sql": call.sql})
    cursor = decode_cursor(call.cursor, digest)
    state = standing(store)
    offset = 0 if cursor is None else cursor.offset
    found = store.query(call.sql, limit=call.limit, offset=offset, timeout_s=call.timeout_s)
    page = Cursor(call=digest, bytes=state.bytes if cursor is None else cursor.bytes, offset=offset)
    reason = None
    if not found.rows:
        reason = "the query found nothing" if store.run_names() else no_run_yet(store)
    table = _paged(found, state, page, cursor, reason)
    if (table.truncated or cursor is not None) and not _is_ordered(store, call.sql):
        table.warnings.append(UNORDERED)
    return table


def _paged(found: Rows, state: Standing, page: Cursor, cursor: Cursor | None, reason: str | None) -> Table:
    """The rows of a page that is counted from the start.

    Args:
        found: its rows.
        state: of the files.
        page: where this page begins.
        cursor: as it was given.
        reason: why the first page is empty.
    """
    fitted = fit(found.columns, found.rows)
    count = len(fitted.rows)
    truncated = found.truncated or len(found.rows) > count
    warnings = [*fitted.warnings, *state.warnings]
    if truncated:
        warnings.append(MORE_ROWS)
    if cursor is not None and state.bytes != cursor.bytes:
        warnings.append("events arrived since the first page: rows may repeat or be missing")
    if not count:
        warnings.insert(0, "no rows follow" if cursor is not None or reason is None else reason)
    following = msgspec.structs.replace(page, offset=page.offset + count)
    return Table(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=count,
        truncated=truncated,
        next_cursor=encode_cursor(following) if truncated else None,
        as_of=state.as_of,
        warnings=warnings,
    )


def _resolve(store: Store, call: QueryCall, cursor: Cursor | None) -> dict[str, Any]:
    """Every parameter's value: as given, else its default."""
    values: dict[str, Any] = {}
    for param in call.query.params:
        value = param.default
        if param.name in call.params:
            value = call.params[param.name]
            if param.name == "run_dir":
                value = store.check_run(value)
        elif value == LATEST:
            # A run that began since the first page does not take over its cursor.
            value = store.check_run(None if cursor is None else cursor.run_dir)
        elif value == ALL:
            value = None
        values[param.name] = value
    return values


def _is_ordered(store: Store, sql: str) -> bool:
    """Whether the outermost SELECT orders its rows; DESCRIBE and SHOW do."""
    parsed = store.select("SELECT json_serialize_sql($1)", [sql]).rows[0][0]
    if not isinstance(parsed, dict) or parsed.get("error", True):
        return True
    node = parsed["statements"][0]["node"]
    if node.get("from_table", {}).get("type") == "SHOW_REF":
        return True
    modifiers: Sequence[dict[str, Any]] = node.get("modifiers", [])
    return any(modifier["type"] == "ORDER_MODIFIER" for modifier in modifiers)
