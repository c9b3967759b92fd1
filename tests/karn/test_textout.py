"""Plain text for people: tables that align, CSV that programs read, and nothing that moves the cursor."""

from __future__ import annotations

import csv
import io

import pytest

from esper.karn.textout import MAX_CELL, cell, clean, csv_text, table


def test_columns_align_and_numbers_stand_to_the_right():
    text = table(["name", "n", "rate"], [["a", 5, 0.25], ["bcd", 12345, None]])
    assert text.splitlines() == [
        "name      n  rate",
        "a         5  0.25",
        "bcd   12345     -",
    ]


def test_a_table_without_rows_is_its_header():
    assert table(["a", "bc"], []) == "a  bc"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.123456, "0.1235"),
        (1.0, "1"),
        (True, "True"),
        ({"a": [1]}, '{"a": [1]}'),
        (["é"], '["é"]'),
        ("tab\tbell\x07", "tab�bell�"),
    ],
)
def test_a_cell_is_one_plain_text(value, text):
    assert cell(value) == text


def test_a_long_cell_is_cut():
    line = table(["a"], [["x" * 500]]).splitlines()[1]
    assert len(line) == MAX_CELL
    assert line.endswith("…")


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\rb", "\u202eevil", "\x00", "\x9b31m", "\u2028"])
def test_nothing_can_move_the_cursor_or_turn_the_text_around(text):
    assert clean(text).isprintable()
    assert "\n" not in table(["a"], [[text]]).splitlines()[1]


def test_csv_is_read_back_as_it_was_written():
    rows = [["a,b", 'say "x"', "two\nlines", None, 1.5, True, {"a": [1]}]]
    text = csv_text(list("abcdefg"), rows)
    assert list(csv.reader(io.StringIO(text))) == [
        list("abcdefg"),
        ["a,b", 'say "x"', "two\nlines", "", "1.5", "true", '{"a": [1]}'],
    ]
