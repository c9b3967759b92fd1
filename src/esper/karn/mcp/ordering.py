"""Orders rows of a view, and continues after a row: pages that new events can't shift.

A page begins after the last row of the one before it, in the columns that the rows are ordered by.
Rows that arrive meanwhile, whether before or after that place, neither repeat nor hide a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from esper.karn.store.sqlfile import SqlFile
from esper.leyline.errors import TelemetryUsageError, unknown_name

EVENT_ORDER = ("run_dir", "rank", "seq", "file_offset")
"""The order of events: seq is null in the predecessor's files, which file_offset orders; never the
timestamp, since clocks are set back."""


class Term(msgspec.Struct, frozen=True):
    """A column to order by."""

    column: str
    descending: bool = False


def default_order(view: SqlFile) -> list[Term]:
    """Event order where the view has it, then its key: no two rows stand at the same place."""
    columns = list(EVENT_ORDER) if all(name in view.columns for name in EVENT_ORDER) else []
    columns += [name for name in re.findall(r"\w+", view.key) if name in view.columns and name not in columns]
    return [Term(name) for name in columns]


def parse_order(text: str | None, view: SqlFile) -> list[Term]:
    """The order that a caller asked for, completed by the default one.

    Args:
        text: columns with commas between, each followed by ``asc`` or ``desc`` if wanted.
        view: the view.

    Raises:
        NotFoundError: on a column that the view does not have.
        TelemetryUsageError: if the text is no order.
    """
    asked = [_term(part, view) for part in text.split(",")] if text is not None else []
    named = {term.column for term in asked}
    return asked + [term for term in default_order(view) if term.column not in named]


def _term(text: str, view: SqlFile) -> Term:
    words = text.split()
    direction = words[1].lower() if len(words) == 2 else "asc"
    if len(words) not in (1, 2) or direction not in ("asc", "desc"):
        raise TelemetryUsageError(
            f"order {text.strip()[:80]!r} is not 'column', 'column asc' or 'column desc' "
            "(several with commas between)"
        )
    if words[0] not in view.columns:
        raise unknown_name(f"column to order {view.name} by:", words[0], view.columns)
    return Term(words[0], direction == "desc")


def order_by(terms: Iterable[Term]) -> str:
    """The ORDER BY clause."""
    return "ORDER BY " + ", ".join(
        f'"{term.column}" {"DESC NULLS LAST" if term.descending else "ASC NULLS FIRST"}' for term in terms
    )


def after(terms: Sequence[Term], types: dict[str, str], values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The condition for rows at or after a place, and its parameters.

    Args:
        terms: what the rows are ordered by.
        types: SQL type of each column.
        values: the place: a value for each term.
    """
    params: dict[str, Any] = {}
    condition = "true"
    for index, (term, value) in reversed(list(enumerate(zip(terms, values, strict=True)))):
        column = f'"{term.column}"'
        if value is None:
            beyond = "false" if term.descending else f"{column} IS NOT NULL"
            condition = f"({beyond} OR ({column} IS NULL AND {condition}))"
            continue
        params[f"after_{index}"] = value
        place = f"CAST($after_{index} AS {types[term.column]})"
        beyond = f"{column} < {place} OR {column} IS NULL" if term.descending else f"{column} > {place}"
        condition = f"({beyond} OR ({column} = {place} AND {condition}))"
    return condition, params
