"""A row of the level table as a line of styled text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from esper.karn.sanctum.columns import Cell, Layout, SlotRow
from esper.karn.sanctum.view import Row


def places(rows: Sequence[Row]) -> list[object]:
    """What tells whether rows are of the same slots in the same order."""
    return [(row.key, row.pinned) if isinstance(row, SlotRow) else row.rank for row in rows]


def length(cell: Cell) -> int:
    """Terminal cells of a cell's texts."""
    # Most are ASCII, and short: one call less for each of thousands a second.
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in cell)


def row_strip(cells: Sequence[Cell], layout: Layout, width: int, base: Style) -> Strip:
    """A line of a table.

    Args:
        cells: one for each column.
        layout: the columns.
        width: of the line.
        base: the style under those of the cells.
    """
    segments: list[Segment] = []
    for cell, column, room in zip(cells, layout.columns, layout.widths, strict=False):
        left = max(0, room - length(cell))
        before = left if column.justify == "right" else left // 2 if column.justify == "center" else 0
        for place, (text, style) in enumerate(cell):
            # Room around a text belongs to it: each change of style costs dozens of bytes.
            padded = " " * before + text if place == 0 else text
            if place == len(cell) - 1:
                padded += " " * (left - before + layout.gap)
            segments.append(Segment(padded, base + Style.parse(style)))
    return Strip(segments).adjust_cell_length(width, base)
