"""The table of internal levels, drawn by rich alone, so that ``--once`` needs no terminal UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from esper.karn.sanctum.columns import SlotRow, is_dim
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.view import FoldRow, Key, Row, ViewOptions, arrange_slots

NO_SEED = "no seed yet"
NO_SEED_NOW = "no slot holds a seed now"
_ALL = ViewOptions(fold_above=None)
_WIDE = 1000


class PlainTable(Table):
    """A rich Table whose ``str`` is the text that it draws, without colours."""

    def __str__(self) -> str:
        drawn = StringIO()
        Console(file=drawn, width=_WIDE, color_system=None, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def level_table(
    states: Iterable[tuple[Key, SlotInternalState]],
    width: int,
    max_rows: int | None = None,
    glyphs: Glyphs = UNICODE,
) -> PlainTable:
    """The table, the worst slot first.

    Args:
        states: each with its slot, or its environment and slot.
        width: terminal cells that it may fill; the fewer, the fewer columns.
        max_rows: rows at most; a last line then says how many more there are.
        glyphs: to draw with.
    """
    return row_table(arrange_slots(dict(states), _ALL), width, max_rows, glyphs)


def row_table(
    rows: Sequence[Row], width: int, max_rows: int | None = None, glyphs: Glyphs = UNICODE
) -> PlainTable:
    """As ``level_table``, for rows that are arranged already. What is folded is said below the table."""
    slots = [row for row in rows if isinstance(row, SlotRow)]
    folded = [fold_text(row, glyphs) for row in rows if isinstance(row, FoldRow) and not row.unfolded]
    layout = lay_out(slots, width, glyphs)
    table = PlainTable(box=None, pad_edge=False, header_style="bold", padding=(0, layout.gap, 0, 0))
    if slots:
        for column, cells in zip(layout.columns, layout.widths, strict=True):
            table.add_column(column.title, justify=column.justify, no_wrap=True, min_width=cells)
    elif not folded:
        table.show_header = False
        table.add_row(Text(NO_SEED, "dim"))
    for row in islice(slots, max_rows):
        cells_of_row = [column.cell(row, layout.look) for column in layout.columns]
        texts = [Text(*cell[0]) if len(cell) == 1 else Text.assemble(*cell) for cell in cells_of_row]
        table.add_row(*texts, style="dim" if is_dim(row.state) else None)
    if max_rows is not None and len(slots) > max_rows:
        folded.insert(0, f"and {len(slots) - max_rows:,} more slots, none of them worse")
    if folded:
        table.caption, table.caption_justify = Text("\n".join(folded), "dim"), "left"
    return table


def fold_text(row: FoldRow, glyphs: Glyphs) -> str:
    """A line for folded slots, with the mark that tells whether their rows follow."""
    return f"{glyphs.unfolded if row.unfolded else glyphs.folded} {row.text}"
