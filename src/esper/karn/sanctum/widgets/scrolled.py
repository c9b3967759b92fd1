"""How many lines a view scrolls through, and where in them it is."""

from __future__ import annotations

from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.widget import Widget

from esper.karn.sanctum.glyphs import Glyphs


class AsciiBar(ScrollBarRender):
    """A vertical scrollbar of characters that every terminal has; Textual's is made of colours and blocks."""

    @classmethod
    def render_bar(
        cls,
        size: int = 25,
        virtual_size: float = 50,
        window_size: float = 20,
        position: float = 0,
        thickness: int = 1,
        vertical: bool = True,
        back_color: Color = Color.parse("black"),  # noqa: B008  # as in the class above
        bar_color: Color = Color.parse("white"),  # noqa: B008
    ) -> Segments:
        """A line for each cell of it."""
        thumb, start = size, 0
        hidden = virtual_size - window_size
        if hidden > 0:
            thumb = max(1, round(size * window_size / virtual_size))
            start = round((size - thumb) * position / hidden)
        style = Style(color=bar_color, bgcolor=back_color)
        cells = ("#" if start <= place < start + thumb else "|" for place in range(size))
        return Segments([Segment(cell * thickness, style) for cell in cells], new_lines=True)


def fit_bar(view: Widget, glyphs: Glyphs) -> None:
    """Give a view the vertical scrollbar that its terminal can show."""
    if glyphs.only_ascii:
        view.vertical_scrollbar.renderer = AsciiBar  # type: ignore[misc]  # Textual allows it by instance


def set_lines(view: ScrollView, lines: int, inner: Size) -> None:
    """Let a view scroll through so many lines, without a new layout for each that comes or goes.

    Args:
        view: the view.
        lines: all of its lines.
        inner: room for them.
    """
    size, before, room = Size(inner.width, lines), view.virtual_size, inner.height
    if (lines > room) != (before.height > room):
        view.virtual_size = size
        view.refresh()
    elif size != before:
        # The scrollbar neither comes nor goes: no need to lay out the whole screen anew.
        view.set_reactive(Widget.virtual_size, size)
        if view.show_vertical_scrollbar:
            bar = view.vertical_scrollbar
            bar.set_reactive(ScrollBar.window_virtual_size, lines)
            # To paint it for less than a cell of its length would cost as much as all the lines.
            if room * room // lines != room * room // max(1, before.height):
                bar.refresh()
        view.scroll_y = min(view.scroll_y, view.max_scroll_y)
