"""Lines of text of which only the cells that differ are painted again, since a terminal may be far away."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widgets import Static

_JUMP_CELLS = 12
"""Fewer unchanged cells between two changed ones are painted too: to jump over them would cost as much."""


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Where two strips differ, stretch by stretch: first cell, and last cell exclusive."""
    before, after = list(old), list(new)
    if [cell_len(one.text) for one in before] != [cell_len(one.text) for one in after]:
        return [(0, max(old.cell_length, new.cell_length))]
    spans: list[tuple[int, int]] = []
    x = 0
    for one, other in zip(before, after, strict=True):
        end = x + cell_len(other.text)
        if one != other:
            joined = spans and x - spans[-1][1] < _JUMP_CELLS
            spans[-1:] = [(spans[-1][0], end)] if joined else [*spans[-1:], (x, end)]
        x = end
    return spans


class Lines(Static):
    """A text, shown line by line.

    Its ``show`` paints only what is different. Nothing in the text is markup. Long lines are wrapped, or
    end with an ellipsis where the text says no_wrap.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(markup=False, **kwargs)
        self._text = Text()
        self._width = 0
        self._strips: list[Strip] = []
        self._base = Style.null()

    def notify_style_update(self) -> None:
        """Draw in the new theme's colours."""
        super().notify_style_update()
        self._width = 0

    def render(self) -> Text:
        """The whole text."""
        return self._text

    def show(self, text: Text) -> None:
        """Show this text instead."""
        if text == self._text and text.spans == self._text.spans:
            return
        old, height = self._strips, len(self._strips)
        self._text, self._width = text, 0
        if not self.is_mounted:
            return
        self._draw(self.content_size.width)
        if len(self._strips) != height:
            self.refresh(layout=True)
            return
        for y, (before, after) in enumerate(zip(old, self._strips, strict=True)):
            for start, end in changed_spans(before, after):
                self.refresh(Region(start, y, end - start, 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines of the text at this width."""
        self._draw(width)
        return len(self._strips)

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.content_size.width
        self._draw(width)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self._base)

    def _draw(self, width: int) -> None:
        if width == self._width:
            return
        self._width = width
        # Asking for it means a walk up to the screen: once for all lines.
        self._base = self.rich_style
        console, text = self.app.console, self._text
        self._strips = []
        if width <= 0:
            return
        if text.no_wrap:
            lines = text.split("\n", allow_blank=True)
            for line in lines:
                line.truncate(width, overflow="ellipsis")
        else:
            lines = text.wrap(console, width)
        for line in lines:
            # Padded, so that whatever a longer line leaves behind is painted over.
            line.pad_right(max(0, width - line.cell_len))
            line.end = ""
            self._strips.append(Strip(line.render(console), width).apply_style(self._base))
