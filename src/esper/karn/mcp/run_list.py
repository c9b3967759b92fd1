"""The runs of the folder: one row each, and as resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from esper.karn.mcp.cursor import Cursor, call_digest, decode_cursor, encode_cursor
from esper.karn.mcp.empty import no_run_yet
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import MORE_ROWS, Table, fit

if TYPE_CHECKING:
    from esper.karn.store.database import Store

MAX_RUNS = 200
"""Runs that karn://runs lists; list_runs has pages."""


def run_list(store: Store, limit: int, cursor_text: str | None) -> Table:
    """One page of runs, the one with the newest event first.

    Raises:
        TelemetryUsageError: on a cursor that can't be.
    """
    digest = call_digest("list_runs", {})
    cursor = decode_cursor(cursor_text, digest)
    state = standing(store)
    names = store.run_names()[::-1]
    begin = 0 if cursor is None else cursor.offset
    described = [run_entry(store, name) for name in names[begin : begin + limit]]
    columns = list(described[0]) if described else ["run_dir", "status"]
    fitted = fit(columns, [list(entry.values()) for entry in described])
    end = begin + len(fitted.rows)
    size = state.bytes if cursor is None else cursor.bytes
    warnings = [*fitted.warnings, *state.warnings]
    if end < len(names):
        warnings.append(MORE_ROWS)
    if cursor is not None and size != state.bytes:
        warnings.append("events arrived since the first page: runs may repeat or be missing")
    if not fitted.rows:
        warnings.insert(0, "no rows follow" if names else no_run_yet(store))
    return Table(
        columns=fitted.columns,
        rows=fitted.rows,
        row_count=len(fitted.rows),
        truncated=end < len(names),
        next_cursor=encode_cursor(Cursor(call=digest, bytes=size, offset=end)) if end < len(names) else None,
        as_of=state.as_of,
        warnings=warnings,
    )


def run_entry(store: Store, run_dir: str) -> dict[str, Any]:
    """One run as it is listed."""
    entry: dict[str, Any] = msgspec.to_builtins(store.run(run_dir))
    if entry["age_s"] is not None:
        entry["age_s"] = round(entry["age_s"], 1)
    return entry


def runs_json(store: Store) -> str:
    """The first MAX_RUNS runs, and how many there are."""
    names = store.run_names()[::-1]
    listed = [run_entry(store, name) for name in names[:MAX_RUNS]]
    return msgspec.json.encode({"runs": listed, "run_count": len(names)}).decode()


def run_json(store: Store, run_dir: str) -> str:
    """One run with its events by type.

    Raises:
        NotFoundError: naming the nearest runs.
    """
    name = store.check_run(run_dir)
    types = store.select(
        "SELECT event_type, count(*) FROM events WHERE run_dir = $1 GROUP BY ALL ORDER BY ALL LIMIT 100",
        [name],
    )
    state = standing(store, [name])
    entry = {
        **run_entry(store, name),
        "events_by_type": {str(event_type)[:100]: count for event_type, count in types.rows},
        "warnings": state.warnings,
    }
    return msgspec.json.encode(entry).decode()


def checked_run(store: Store, run_dir: str) -> str:
    """The name of a run, if there is such a run.

    Raises:
        NotFoundError: naming the nearest.
    """
    return store.check_run(run_dir)
