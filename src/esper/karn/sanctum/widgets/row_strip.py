"""A row of the level table as a line of styled text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from esper.karn.sanctum.columns import DRAWN, Cell, Layout, SlotRow, is_dim
from esper.karn.sanctum.view import Row
from esper.karn.sanctum.widgets.lines import cells, changed_spans, joined, padded

_BOLD = "bold"
_KEPT = 1 << 12
"""Cells of a column that are remembered."""

Pieces = tuple[Segment, ...]


class RowStrip:
    """A row as it is drawn.

    Args:
        segments: all of it.
        width: terminal cells that they take.
        pieces: what stands in each column, the same object for the same cell; none if it has no columns.
        ends: where the columns end.
    """

    __slots__ = ("_ends", "_segments", "_strip", "_width", "pieces")

    def __init__(
        self, segments: list[Segment], width: int, pieces: Sequence[Pieces] = (), ends: Sequence[int] = ()
    ) -> None:
        self.pieces = pieces
        self._segments, self._width, self._ends = segments, width, ends
        self._strip: Strip | None = None

    @property
    def strip(self) -> Strip:
        """The whole line; few are asked for, and to make one takes long."""
        if self._strip is None:
            self._strip = Strip(self._segments, self._width)
        return self._strip

    def between(self, start: int, stop: int) -> list[Segment] | None:
        """What stands between two cells; None where that is not whole columns."""
        found: list[Segment] = []
        at = 0
        for piece, end in zip(self.pieces, self._ends, strict=True):
            if at >= start:
                if end > stop:
                    return None
                found += piece
                if end == stop:
                    return found
            elif end > start:
                return None
            at = end
        return None

    def changes(self, old: RowStrip) -> list[tuple[int, int]]:
        """Where it differs from another one, as ``changed_spans``."""
        if len(old.pieces) != len(self.pieces) or not self.pieces:
            return changed_spans(old.strip, self.strip)
        spans: list[tuple[int, int]] = []
        start = 0
        for before, after, end in zip(old.pieces, self.pieces, self._ends, strict=True):
            if before is not after and before != after:
                joined(spans, start, end)
            start = end
        return spans


def places(rows: Sequence[Row]) -> list[object]:
    """What tells whether rows are of the same slots in the same order."""
    return [(row.key, row.pinned) if isinstance(row, SlotRow) else row.rank for row in rows]


def length(cell: Cell) -> int:
    """Terminal cells of a cell's texts."""
    return cells(cell[0][0]) if len(cell) == 1 else sum(cells(text) for text, _ in cell)


class RowDrawer:
    """Draws rows of one layout in one style. Most cells of a row that changes are those of before.

    Args:
        layout: the columns.
        width: of a line.
        base: the style under those of the cells.
    """

    def __init__(self, layout: Layout, width: int, base: Style) -> None:
        self._layout, self._width, self._base = layout, width, base
        gap = layout.gap
        takes = [room + gap for room in layout.widths]
        # The gap after the last column may have no room.
        over = max(0, sum(takes) - width)
        self._fits = over <= gap
        self._gaps = [*([gap] * (len(takes) - 1)), gap - over]
        self._known: list[dict[Cell, Pieces]] = [{} for _ in takes]
        self._ends = [min(width, sum(takes[: place + 1])) for place in range(len(takes))]
        rest = width - (self._ends[-1] if takes else 0)
        self._rest: Pieces = (Segment(" " * rest, base),) if rest > 0 else ()

    def draw(self, row: Sequence[Cell]) -> RowStrip | None:
        """A line; None where a cell is longer than its column.

        Args:
            row: one cell for each column.
        """
        pieces: list[Pieces] = []
        segments: list[Segment] = []
        for place, (cell, known) in enumerate(zip(row, self._known, strict=True)):
            try:
                piece = known[cell]  # to ask first whether it is there would take twice as long
            except KeyError:
                piece = self._piece(place, cell)
            if not piece:
                return None
            pieces.append(piece)
            segments += piece
        segments += self._rest
        return RowStrip(segments, self._width, pieces, self._ends) if self._fits else None

    def cut(self, row: Sequence[Cell]) -> RowStrip:
        """A line, cut where it does not fit."""
        return RowStrip(list(row_strip(row, self._layout, self._width, self._base)), self._width)

    def _piece(self, place: int, cell: Cell) -> Pieces:
        """A cell with the room around it, nothing if it is too long."""
        layout, known = self._layout, self._known[place]
        room = layout.widths[place]
        piece: Pieces = ()
        if length(cell) <= room:
            piece = _segments(cell, layout.columns[place].justify, room, self._gaps[place], self._base)
        if len(known) >= _KEPT:
            known.clear()
        known[cell] = piece
        return piece


class TableDrawer:
    """Draws the lines of a table.

    Args:
        layout: the columns.
        width: of a line.
        base: the style under those of the cells.
        dim: the same for rows that can't change any more.
    """

    def __init__(self, layout: Layout, width: int, base: Style, dim: Style) -> None:
        self.layout = layout
        self._width, self._base = width, base
        self._bright, self._dim = RowDrawer(layout, width, base), RowDrawer(layout, width, dim)

    def header(self) -> Strip:
        """The headings."""
        titles: list[Cell] = [((column.title, _BOLD),) for column in self.layout.columns]
        return row_strip(titles, self.layout, self._width, self._base)

    def under(self, row: RowStrip, cursor: Style) -> Strip:
        """A line under the cursor, whose style lies over the row's own."""
        segments = list(row.strip)
        kept: set[int] = set()
        if cursor.reverse and row.pieces:
            # What is drawn in blocks would say the opposite: a full bar would look empty.
            place = 0
            for column, piece in zip(self.layout.columns, row.pieces, strict=True):
                if column.title in DRAWN:
                    kept.update(range(place, place + len(piece)))
                place += len(piece)
        return Strip(
            [
                Segment(text, (style or self._base) + (Style.null() if place in kept else cursor))
                for place, (text, style, _) in enumerate(segments)
            ],
            row.strip.cell_length,
        )

    def row(self, row: SlotRow, *, cut: bool = False) -> RowStrip | None:
        """A line; None where a cell is longer than its column.

        Args:
            row: the slot.
            cut: whether a line that does not fit is rather cut.
        """
        look = self.layout.look
        row_cells = [column.cell(row, look) for column in self.layout.columns]
        drawer = self._dim if is_dim(row.state) else self._bright
        strip = drawer.draw(row_cells)
        return drawer.cut(row_cells) if strip is None and cut else strip


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


def _segments(cell: Cell, justify: str, room: int, gap: int, base: Style) -> Pieces:
    """One cell with the room around it."""
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
