"""One page of a view's rows: filtered, and ordered so that new events can't shift the pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from esper.karn.mcp.cursor import MAX_CURSOR, NO_CURSOR, Cursor, call_digest, decode_cursor, encode_cursor
from esper.karn.mcp.empty import why_no_rows_of_view
from esper.karn.mcp.ordering import Term, after, order_by, parse_order
from esper.karn.mcp.standing import standing_of_rows
from esper.karn.mcp.table import MORE_ROWS, Table, fit
from esper.karn.store.sqlfile import SqlFile
from esper.leyline.errors import QueryError, TelemetryUsageError

if TYPE_CHECKING:
    from esper.karn.store.database import Store

EQUAL_FILTERS = ("run_dir", "env_id", "slot_id", "episode_idx")
"""Columns that a view's tool filters by their value, in those views that have them."""
BOUNDS = {
    "epoch_min": ("epoch", ">="),
    "epoch_max": ("epoch", "<="),
    "since": ("timestamp", ">="),
    "until": ("timestamp", "<"),
}
"""Filters that bound a column, with their comparison."""


class ViewCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks of a view."""

    view: str
    filters: dict[str, Any]
    """Values by the filter's name; those that were left out are not here."""
    order: str | None
    limit: int
    cursor: str | None


def view_page(store: Store, call: ViewCall) -> Table:
    """One page of a view.

    Raises:
        NotFoundError: on an unknown run or column.
        TelemetryUsageError: on an order, time or cursor that can't be.
    """
    view = store.views[call.view]
    digest = call_digest(call.view, {**call.filters, "order": call.order})
    cursor = decode_cursor(call.cursor, digest)
    terms = parse_order(call.order, view)
    run_dir = call.filters.get("run_dir")
    state = standing_of_rows(store, None if run_dir is None else store.check_run(run_dir))
    conditions, params = _conditions(call.filters)
    if call.order is not None or cursor is not None:
        types = _types(store, view, terms)
        if cursor is not None:
            condition, place = _after(terms, types, cursor)
            conditions.append(condition)
            params |= place
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    try:
        found = store.select(
            f'SELECT * FROM "{view.name}" {where} {order_by(terms)} LIMIT $limit OFFSET $skip',
            {**params, "limit": call.limit + 1, "skip": 0 if cursor is None else cursor.offset},
        )
    except QueryError:
        if cursor is None:
            raise
        raise TelemetryUsageError(NO_CURSOR) from None  # its values are not of the columns' types
    fitted = fit(found.columns, found.rows[: call.limit])
    shown = found.rows[: len(fitted.rows)]
    warnings = [*fitted.warnings, *state.warnings]
    truncated, next_cursor = len(found.rows) > len(shown), None
    if truncated:
        indices = [found.columns.index(term.column) for term in terms]
        places = [[row[index] for index in indices] for row in shown]
        next_cursor = _next_cursor(digest, state.bytes if cursor is None else cursor.bytes, places, cursor)
        warnings.append(MORE_ROWS if next_cursor else "more rows follow a key too long for a cursor: filter")
    if cursor is not None and state.bytes != cursor.bytes:
        warnings.append("events arrived since the first page: rows that belong before this one are not shown")
    if not shown:
        reason = "no rows follow" if cursor is not None else why_no_rows_of_view(store, view, call.filters)
        warnings.insert(0, reason)
    return Table(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=len(shown),
        truncated=truncated,
        next_cursor=next_cursor,
        as_of=state.as_of,
        warnings=warnings,
    )


def _conditions(filters: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    params: dict[str, Any] = {}
    for name, value in filters.items():
        column, comparison = BOUNDS.get(name, (name, "="))
        conditions.append(f'"{column}" {comparison} ${name}')
        params[name] = _moment(name, value) if column == "timestamp" else value
    return conditions, params


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        # The views' timestamps are UTC without saying so.
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise TelemetryUsageError(
            f"{name} {text[:40]!r} is not a time: write ISO 8601, for example 2026-01-31T12:00:00 (UTC)"
        ) from None


def _types(store: Store, view: SqlFile, terms: Sequence[Term]) -> dict[str, str]:
    """SQL type of each column of a view; JSON has no order."""
    types = {row[0]: row[1] for row in store.select(f'DESCRIBE "{view.name}"').rows}
    for term in terms:
        if types[term.column] == "JSON":
            raise TelemetryUsageError(f"rows can't be ordered by {term.column}: it holds JSON")
    return types


def _after(terms: Sequence[Term], types: dict[str, str], cursor: Cursor) -> tuple[str, dict[str, Any]]:
    if cursor.after is None or len(cursor.after) != len(terms):
        raise TelemetryUsageError(NO_CURSOR)
    return after(terms, types, cursor.after)


def _next_cursor(digest: str, size: int, places: Sequence[list[Any]], cursor: Cursor | None) -> str | None:
    """The cursor after the last of the rows shown; None if it would be too long."""
    last = places[-1]
    # Rows at the same place as the last one (a key that is not unique after all) are counted off.
    equal = sum(1 for _ in takewhile(lambda place: place == last, reversed(places)))
    if cursor is not None and cursor.after == last and equal == len(places):
        equal += cursor.offset
    text = encode_cursor(Cursor(call=digest, bytes=size, offset=equal, after=last))
    return text if len(text) <= MAX_CURSOR else None
