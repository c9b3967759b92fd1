"""The seed's widget: internal level, trend and thrash of every slot, drawn line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SlotInternalState, SlotKey
from esper.karn.sanctum.text import legend, legend_short
from esper.karn.sanctum.view import FoldRow, Key, Row, ViewOptions, arrange_slots
from esper.karn.sanctum.widgets.level_table import NO_SEED, PlainTable, fold_text, row_table
from esper.karn.sanctum.widgets.lines import broken, paint
from esper.karn.sanctum.widgets.row_strip import RowStrip, TableDrawer, places
from esper.karn.sanctum.widgets.scrolled import fit_bar, set_lines

TITLE = "Internal Levels"
MAX_ROWS = 200
"""Rows of the plain table at most, the worst first; the screen scrolls through all of them."""
_UNMOUNTED_WIDTH = 100
_HEADER = 1
_BAR = 1
"""Cells of the scrollbar, whether it shows or not."""
_DIM = Style.parse("dim")


class InternalLevelWidget(ScrollView, Static, can_focus=False):
    """Widget displaying internal level state for all slots.

    Shows:
    - Current level / max level per slot
    - Visual bar representation
    - Recent op direction (▲ grow, ▼ shrink, ─ stable)
    - Anti-thrash status: shape by band, colour (green/yellow/red) by indicator
    - With room for them: the level's history, the rate, its evidence and the verdict

    It is refreshed explicitly, by ``update_slot`` and ``show``, and has no reactive attributes. Only rows
    within sight are drawn, and of those only the cells that differ are painted again.
    """

    DEFAULT_CSS = """
    InternalLevelWidget {
        height: 1fr;
        border: round $primary 75%;
        border-title-style: bold;
        padding: 0 1;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
    }
    InternalLevelWidget > .internal-level--cursor { background: $primary 22%; }
    InternalLevelWidget:ansi > .internal-level--cursor { background: ansi_default; text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"internal-level--cursor"}

    class Chosen(Message):
        """A row was clicked that the cursor was on already."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slot_states: dict[Key, SlotInternalState] = {}
        self._glyphs = glyphs
        self._rows: Sequence[Row] | None = None
        self._none = NO_SEED
        self._fitted: TableDrawer | None = None
        self._drawn: dict[int, tuple[Row, RowStrip]] = {}
        self._header = Strip([])
        self._base = self._cursor_style = Style.null()
        self._inner = Size(0, 0)
        self.cursor: int | None = None
        """The row that commands are about; None shows none."""
        self.border_title = TITLE

    def render(self) -> PlainTable:
        """The table as text, in as many columns as there is room for."""
        width = self.size.width - _BAR if self.size.width else _UNMOUNTED_WIDTH
        return row_table(self.rows, width, MAX_ROWS, self._glyphs)

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, from the top."""
        if self._rows is None:
            return arrange_slots(self._slot_states, ViewOptions(fold_above=None))
        return self._rows

    def update_slot(
        self,
        slot_id: str,
        level: int,
        max_level: int,
        trend: str,
        reversal_rate: float,
        env_id: int | None = None,
    ) -> None:
        """Update state for a slot and trigger refresh.

        Args:
            slot_id: the slot; with ``env_id`` the row is that of (env_id, slot_id).
            level: current level.
            max_level: highest level, 0 for a seed without a ladder.
            trend: grow, shrink or stable.
            reversal_rate: 0 to 1; coloured as it is, whatever evidence is behind it.
            env_id: the environment, where slot names repeat.
        """
        key: Key = slot_id if env_id is None else (env_id, slot_id)
        self._slot_states[key] = SlotInternalState(
            level=level,
            max_level=max_level,
            trend=trend,
            reversal_rate=reversal_rate,
            env_id=env_id,
            slot_id=slot_id,
        )
        self._set_rows(arrange_slots(self._slot_states, ViewOptions(fold_above=None)))

    def show(
        self,
        slots: Mapping[SlotKey, SlotInternalState],
        rows: Sequence[Row] | None = None,
        none: str = NO_SEED,
    ) -> None:
        """Show these slots, and paint what is different.

        Args:
            slots: by environment and slot.
            rows: which of them, in which order; None shows all, the worst first.
            none: what to say where there is no row.
        """
        self._slot_states = dict(slots.items())
        if rows is None:
            rows = arrange_slots(slots, ViewOptions(fold_above=None))
        if none != self._none and not rows:
            self._none = none
            self.refresh()
        self._set_rows(rows)

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, and the row within sight."""
        before, self.cursor = self.cursor, min(max(row, 0), max(len(self.rows) - 1, 0))
        moved = {self.cursor if before is None else before, self.cursor}
        paint(self, [region for row in moved for region in self._changes(row, whole=True)])
        room = max(1, self.content_size.height - _HEADER)
        top = min(max(round(self.scroll_y), self.cursor - room + 1), self.cursor)
        self.scroll_to(y=top, animate=False)

    def on_mount(self) -> None:
        """Tell how many more rows there are."""
        fit_bar(self, self._glyphs)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns to the new width, and show as much of the legend as fits."""
        width = self.size.width
        words, short = legend(self._glyphs), legend_short(self._glyphs)
        self.border_subtitle = words if width > len(words) else short if width > 44 else ""
        self._forget()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the mouse."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y < _HEADER:
            return
        row = offset.y - _HEADER + round(self.scroll_y)
        if row >= len(self.rows):
            return
        if row == self.cursor:
            self.post_message(self.Chosen())
        self.move_to(row)

    def notify_style_update(self) -> None:
        """Draw in the new theme's colours."""
        super().notify_style_update()
        self._fitted = None

    def render_line(self, y: int) -> Strip:
        """One line: the headings, or a row within sight."""
        width = self._inner.width
        self._fit()
        if not self.rows:
            lines = broken(self._none, width, self._inner.height, self._glyphs.ellipsis)
            none = lines[y] if y < len(lines) else ""
            return Strip([Segment(set_cell_size(none, width), self._base + _DIM)], width)
        if y < _HEADER:
            return self._header
        index = y - _HEADER + round(self.scroll_y)
        if index >= len(self.rows):
            return Strip.blank(width, self._base)
        row = self._strip(index)
        return row.strip if index != self.cursor else self._fit().under(row, self._cursor_style)

    def row_between(self, y: int, start: int, stop: int) -> list[Segment] | None:
        """What stands between two cells of a line; None where only ``render_line`` can tell."""
        index = y - _HEADER + round(self.scroll_y)
        if y < _HEADER or index >= len(self.rows) or index == self.cursor:
            return None
        self._fit()
        return self._strip(index).between(start, stop)

    def _set_rows(self, rows: Sequence[Row]) -> None:
        before, self._rows = self._rows or (), rows
        if not self.is_mounted:
            return
        self._inner = self.content_size
        if places(before) != places(rows):
            # A new name may be longer than the others.
            layout = lay_out(self._slots(), self._inner.width - _BAR, self._glyphs)
            if self._fitted is None or layout != self._fitted.layout or not before or not rows:
                self._fitted = None
        set_lines(self, len(rows) + _HEADER, self._inner)
        self._fit()
        if self._drawn:
            self._repaint_changes()

    def _repaint_changes(self) -> None:
        top = round(self.scroll_y)
        sight = range(top, top + self._inner.height)
        changed: list[Region] = []
        for index in sight:
            row = self.rows[index] if index < len(self.rows) else None
            shown = self._drawn[index][0] if index in self._drawn else None
            if shown != row:
                changed += self._changes(index)
        paint(self, changed)
        self._drawn = {index: drawn for index, drawn in self._drawn.items() if index in sight}

    def _changes(self, index: int, *, whole: bool = False) -> list[Region]:
        """Where a row differs from what is on the screen, or where it stands at all."""
        y = index + _HEADER - round(self.scroll_y)
        old = self._drawn.pop(index)[1] if index in self._drawn else None
        spans = [(0, self._inner.width)]
        if old is not None and index < len(self.rows) and not whole:
            spans = self._strip(index).changes(old)
        within = _HEADER <= y < self._inner.height
        return [Region(start, y, end - start, 1) for start, end in spans] if within else []

    def _strip(self, index: int) -> RowStrip:
        row = self.rows[index]
        if index in self._drawn and self._drawn[index][0] == row:
            return self._drawn[index][1]
        width = self._inner.width
        if isinstance(row, FoldRow):
            text = set_cell_size(fold_text(row, self._glyphs), width)
            strip = RowStrip([Segment(text, self._base + _DIM)], width)
        else:
            strip = self._slot_strip(row, width)
        self._drawn[index] = (row, strip)
        return strip

    def _slot_strip(self, row: SlotRow, width: int) -> RowStrip:
        drawer = self._fit()
        strip = drawer.row(row)
        if strip is not None:
            return strip
        # A number has grown longer than its column.
        if lay_out(self._slots(), width - _BAR, self._glyphs) != drawer.layout:
            self._fitted = None
        return self._fit().row(row, cut=True) or RowStrip([Segment(" " * width, self._base)], width)

    def _slots(self) -> list[SlotRow]:
        return [row for row in self.rows if isinstance(row, SlotRow)]

    def _fit(self) -> TableDrawer:
        if self._fitted is None:
            width = self._inner.width
            slots = self._slots()
            # Asking for these means a walk up to the screen: once for all rows.
            self._base = self.rich_style
            cursor = self.get_component_rich_style("internal-level--cursor")
            self._cursor_style = Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse)
            layout = lay_out(slots, width - _BAR, self._glyphs)
            self._fitted = TableDrawer(layout, width, self._base, self._base + _DIM)
            self._header = self._fitted.header() if slots else Strip.blank(width, self._base)
            self._drawn.clear()
            self.refresh()
        return self._fitted

    def _forget(self) -> None:
        self._inner = self.content_size
        self._fitted = None
        self._drawn.clear()
        self.virtual_size = Size(self._inner.width, len(self.rows) + _HEADER)
