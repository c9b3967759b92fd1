"""Rows as text: RFC 4180, one line each, within the budget for any content."""

from __future__ import annotations

import csv
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.karn.mcp.table import BUDGET_BYTES, MAX_CELL, csv_line, cut_cell, fit

CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_any_row_is_one_line_that_reads_back(row: list[Any]) -> None:
    line = csv_line(row)
    assert line.isprintable()
    cells = next(csv.reader([line])) if line else [""]
    assert len(cells) == len(row)
    for cell, value in zip(cells, row, strict=True):
        if isinstance(value, str) and value.isprintable():
            assert cell == value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert type(value)(cell) == value


@given(st.lists(st.lists(CELLS | st.text(min_size=200), min_size=3, max_size=3), max_size=30))
def test_rows_keep_to_any_budget(rows: list[list[Any]]) -> None:
    fitted = fit(["a", "b", "c"], rows, budget_bytes=500)
    assert len(msgspec.json.encode(fitted.rows)) <= 600
    assert len("\n".join(csv_line(row) for row in fitted.rows).encode()) <= 600
    assert bool(fitted.rows) == bool(rows)
    assert bool(fitted.warnings) == (len(fitted.rows) < len(rows))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("", '""'),
        ("r0c0", "r0c0"),
        ("2026-01-02T03:04:05.000000+00:00", "2026-01-02T03:04:05.000000+00:00"),
        ("two words", '"two words"'),
        ("#note", '"#note"'),
        ('say "x"', '"say ""x"""'),
        ("=1+1", '"=1+1"'),
        ("a\nb", '"a\N{REPLACEMENT CHARACTER}b"'),
        (False, "false"),
        (0.1, "0.1"),
        ({"a": [1, "x"]}, '"{""a"":[1,""x""]}"'),
    ],
)
def test_cells(value: Any, cell: str) -> None:
    assert csv_line([value, 1]) == f"{cell},1"


def test_a_row_of_one_null_is_a_line_that_readers_take_for_a_row() -> None:
    assert csv_line([None]) == '""'


def test_long_cells_tell_their_length() -> None:
    assert cut_cell("x" * MAX_CELL) == "x" * MAX_CELL
    assert cut_cell("x" * (MAX_CELL + 1)) == "x" * MAX_CELL + f"... [cut: {MAX_CELL + 1} characters]"
    assert cut_cell(["y"] * MAX_CELL).endswith(f"... [cut: {4 * MAX_CELL + 1} characters]")
    assert cut_cell(10**400) == "[an integer of 1329 bits]"


def test_a_page_is_cut_at_whole_rows() -> None:
    rows = [[n, "x" * 990] for n in range(100)]
    fitted = fit(["n", "text"], rows)
    assert 25 < len(fitted.rows) < 33
    assert fitted.rows == rows[: len(fitted.rows)]
    assert fitted.warnings == [f"cut after {len(fitted.rows)} of 100 rows at {BUDGET_BYTES // 1000} kB"]


def test_a_cell_nested_deeper_than_clients_can_read_is_text() -> None:
    nested: list[Any] = []
    for _ in range(400):
        nested = [nested]
    fitted = fit(["deep", "flat"], [[nested, [[1]]]])
    assert fitted.rows == [["[" * 401 + "]" * 401, [[1]]]]
