"""Rows as an assistant gets them: as arrays and, the same, as CSV, within a budget whatever a cell holds.

Texts in telemetry were written by others. In CSV every free text is quoted and stands on its own line
with control and escape characters replaced, so that it can neither be taken for a row or a note, nor
move a terminal's cursor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from esper.karn.textout import clean

BUDGET_BYTES = 32_000
"""Rows of one answer: about 8,000 tokens, at four bytes each."""
MAX_CELL = 4_000
"""Characters of a cell; a longer one is cut and says how long it was."""
MAX_DEPTH = 64
"""Lists within lists in a cell; what is nested deeper is shown as text."""
MAX_COLUMNS = 200
MAX_NAME = 64
"""Characters of a column's name."""

MORE_ROWS = "more rows follow: pass next_cursor as cursor, filter, or aggregate with query_sql"

_PLAIN = re.compile(r"[\w.:+/-]+\Z")
_MAX_INT_BITS = 256


class Table(msgspec.Struct, kw_only=True):
    """One answer of rows. ``warnings`` says all that a reader of the rows must know."""

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    """Rows in this answer."""
    truncated: bool
    """Whether more rows follow."""
    next_cursor: str | None
    as_of: dict[str, Any]
    warnings: list[str]


class Fitted(msgspec.Struct):
    """The rows that fit into the budget."""

    columns: list[str]
    rows: list[list[Any]]
    warnings: list[str]


def fit(columns: Sequence[str], rows: Sequence[Sequence[Any]], budget_bytes: int = BUDGET_BYTES) -> Fitted:
    """As many whole rows as fit, at least one; cells and columns that are too long are cut.

    Args:
        columns: names of the columns.
        rows: values that JSON can hold.
        budget_bytes: of the rows, as JSON or as CSV, whichever is longer.
    """
    warnings = []
    if len(columns) > MAX_COLUMNS:
        warnings.append(
            f"only the first {MAX_COLUMNS} of {len(columns)} columns are shown: name those you need"
        )
    names = [_cut_text(clean(name), MAX_NAME) for name in columns[:MAX_COLUMNS]]
    fitted: list[list[Any]] = []
    used = 0
    for row in rows:
        cells, size = _fit_row(row[:MAX_COLUMNS], budget_bytes)
        if fitted and used + size > budget_bytes:
            warnings.append(f"cut after {len(fitted)} of {len(rows)} rows at {budget_bytes // 1000} kB")
            break
        fitted.append(cells)
        used += size
    return Fitted(names, fitted, warnings)


def _fit_row(row: Sequence[Any], budget_bytes: int) -> tuple[list[Any], int]:
    # Once for each cell: a nested one of some MB is not worth being written again at each length tried.
    values = [_flat(value) for value in row]
    longest = MAX_CELL
    while True:
        cells = [cut_cell(value, longest) for value in values]
        size = max(len(csv_line(cells).encode()), len(msgspec.json.encode(cells)))
        if size <= budget_bytes or longest <= 1:
            return cells, size
        longest //= 2


def _flat(value: Any) -> Any:
    """The value, or its JSON where that is too long for a cell or nested deeper than clients can read."""
    if not isinstance(value, (dict, list)):
        return value
    text = msgspec.json.encode(value).decode()
    return text if len(text) > MAX_CELL or _is_deeper(value, MAX_DEPTH) else value


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    entries = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(entry, depth - 1) for entry in entries)


def cut_cell(value: Any, longest: int = MAX_CELL) -> Any:
    """The value, or the start of its text and how long that was."""
    if isinstance(value, str):
        return _cut_text(value, longest)
    if isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
        return f"[an integer of {value.bit_length()} bits]"
    if isinstance(value, (dict, list)):
        text = msgspec.json.encode(value).decode()
        return value if len(text) <= longest else _cut_text(text, longest)
    return value


def _cut_text(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... [cut: {len(text)} characters]"


def csv_line(cells: Sequence[Any]) -> str:
    """One RFC 4180 line without its end: None is empty, nested values are compact JSON."""
    # A line of nothing would be no row to those who read it.
    return ",".join(_csv_cell(cell) for cell in cells) or '""'


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return text if _PLAIN.match(text) else '"' + text.replace('"', '""') + '"'


def table_text(table: Table) -> str:
    """One line of notes, then the rows as CSV with a header."""
    notes = [f"{table.row_count} row{'' if table.row_count == 1 else 's'}", *table.warnings]
    if table.next_cursor is not None:
        notes.append(f"next_cursor: {table.next_cursor}")
    notes.append(as_of_text(table.as_of))
    lines = ["# " + clean("; ".join(notes)), csv_line(table.columns)]
    return "\n".join(lines + [csv_line(row) for row in table.rows])


def as_of_text(as_of: dict[str, Any]) -> str:
    """How much of the files an answer rests on, in a few words: of the runs it names, else of all."""
    runs = as_of["runs"].values() if "runs" in as_of else [as_of]
    total = {name: sum(run[name] for run in runs) for name in ("bytes", "lines", "bad_lines", "lag_bytes")}
    lag = f", {total['lag_bytes']} bytes unread" if total["lag_bytes"] else ""
    return (
        f"as of {as_of['at']}: {total['bytes']} bytes, {total['lines']} lines, {total['bad_lines']} bad{lag}"
    )
