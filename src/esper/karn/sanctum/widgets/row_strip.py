"""A row of the level table as a line of styled text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from esper.karn.sanctum.columns import Cell, Layout, SlotRow
from esper.karn.sanctum.view import Row
from esper.karn.sanctum.widgets.lines import cells, padded


def places(rows: Sequence[Row]) -> list[object]:
    """What tells whether rows are of the same slots in the same order."""
    return [(row.key, row.pinned) if isinstance(row, SlotRow) else row.rank for row in rows]


def length(cell: Cell) -> int:
    """Terminal cells of a cell's texts."""
    return cells(cell[0][0]) if len(cell) == 1 else sum(cells(text) for text, _ in cell)


def row_strip(row: Sequence[Cell], layout: Layout, width: int, base: Style) -> Strip:
    """A line of a table.

    Args:
        row: one cell for each column.
        layout: the columns.
        width: of the line.
        base: the style under those of the cells.
    """
    segments: list[Segment] = []
    for cell, column, room in zip(row, layout.columns, layout.widths, strict=False):
        segments += _segments(cell, column.justify, room, layout.gap, base)
    n_cells = sum(
        max(room, length(cell)) + layout.gap for cell, room in zip(row, layout.widths, strict=False)
    )
    return padded(segments, n_cells, width, base)


@lru_cache(1 << 12)
def _segments(cell: Cell, justify: str, room: int, gap: int, base: Style) -> tuple[Segment, ...]:
    """One cell with the room around it. Most cells of a row that changes are those of before."""
    left = max(0, room - length(cell))
    before = left if justify == "right" else left // 2 if justify == "center" else 0
    segments = []
    for place, (text, style) in enumerate(cell):
        # Room around a text belongs to it: each change of style costs dozens of bytes.
        padded_text = " " * before + text if place == 0 else text
        if place == len(cell) - 1:
            padded_text += " " * (left - before + gap)
        segments.append(Segment(padded_text, base + Style.parse(style)))
    return tuple(segments)
