"""Lines of text of which only the cells that differ are painted again, since a terminal may be far away."""

from __future__ import annotations

import math
from typing import Any

from rich._wrap import divide_line
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

_JUMP_CELLS = 12
"""Fewer unchanged cells between two changed ones are painted too: to jump over them would cost as much."""


_Pieces = tuple[tuple[str, str | Style], ...]
"""The texts of one line with their styles."""


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Where two strips differ, stretch by stretch: first cell, and last cell exclusive."""
    before, after = old._segments, new._segments
    if len(before) != len(after):
        return [(0, max(old.cell_length, new.cell_length))]
    spans: list[tuple[int, int]] = []
    x = 0
    for one, other in zip(before, after, strict=True):
        if one is other:
            x += cells(one.text)
            continue
        end = x + cells(other.text)
        if x + cells(one.text) != end:
            return [(0, max(old.cell_length, new.cell_length))]
        if one != other:
            joined(spans, x, end)
        x = end
    return spans


def joined(spans: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a stretch behind others, or lengthen the last of them where little is between."""
    if spans and start - spans[-1][1] < _JUMP_CELLS:
        spans[-1] = (spans[-1][0], end)
    else:
        spans.append((start, end))


def paint(widget: Widget, regions: list[Region]) -> None:
    """Paint stretches of a widget's content with the screen's next picture.

    ``refresh`` does the same by three messages to and fro, and forgets the styles that the widget knows.
    """
    if not regions:
        return
    screen = widget.screen
    if not screen.is_current:
        widget.refresh(*regions)
    elif widget.display:
        widget._set_dirty(*regions)
        screen._dirty_widgets.add(widget)
        screen.check_idle()


def cells(text: str) -> int:
    """Terminal cells of a text."""
    # Most are ASCII, and short: one call less for each of thousands a second.
    return len(text) if text.isascii() else cell_len(text)


def padded(segments: list[Segment], n_cells: int, width: int, base: Style) -> Strip:
    """A line that is as wide as it has to be, so that whatever a longer one leaves behind is painted over.

    Args:
        segments: of the line.
        n_cells: cells that they take.
        width: cells that the line may take.
        base: the style of the rest.
    """
    if n_cells < width:
        segments.append(Segment(" " * (width - n_cells), base))
    strip = Strip(segments, max(n_cells, width))
    return strip if n_cells <= width else strip.adjust_cell_length(width, base)


def in_pieces(text: Text) -> list[_Pieces] | None:
    """A text line by line; None where styles lie one over another."""
    lines: list[_Pieces] = []
    line: list[tuple[str, str | Style]] = []
    plain, at = text.plain, 0
    ends: list[tuple[int, int, str | Style]] = [(span.start, span.end, span.style) for span in text.spans]
    for start, end, style in [*ends, (len(plain), len(plain), "")]:
        if start < at:
            return None
        for part, look in ((plain[at:start], ""), (plain[start:end], style)):
            first, *others = part.split("\n")
            if first:
                line.append((first, look))
            for other in others:
                lines.append(tuple(line))
                line = [(other, look)] if other else []
        at = end
    return [*lines, tuple(line)]


def wrapped(line: _Pieces, width: int) -> list[_Pieces]:
    """A line in as many as it needs, broken between words; ``Text.wrap`` takes five times as long."""
    ends = [*divide_line("".join(part for part, _ in line), width), None]
    lines: list[_Pieces] = []
    left = list(line)
    at = 0
    for end in ends:
        room = math.inf if end is None else end - at
        taken: list[tuple[str, str | Style]] = []
        while left and room > 0:
            text, style = left.pop(0)
            if len(text) > room:
                left.insert(0, (text[int(room) :], style))
                text = text[: int(room)]
            taken.append((text, style))
            room -= len(text)
        lines.append(tuple(taken))
        at = end or at
    return lines


def broken(text: str, width: int, height: int, ellipsis: str) -> list[str]:
    """A text in at most ``height`` lines of ``width`` cells; an ellipsis tells that it is longer."""
    lines = ["".join(part for part, _ in line) for line in wrapped(((text, ""),), max(2, width))]
    if len(lines) > max(1, height):
        last = set_cell_size(lines[height - 1].rstrip(), max(0, width - 1)).rstrip()
        lines[max(0, height - 1) :] = [last + ellipsis]
    return lines


def _all_wrapped(lines: list[_Pieces], width: int) -> list[_Pieces]:
    """Lines, those that are too long in as many as each needs."""
    found: list[_Pieces] = []
    for line in lines:
        fits = sum([cells(part) for part, _ in line]) <= width
        found += [line] if fits else wrapped(line, width)
    return found


class Lines(Static):
    """A text, shown line by line.

    Its ``show`` paints only what is different. Nothing in the text is markup. Long lines are wrapped, or
    end with an ellipsis where the text says no_wrap.

    Args:
        keeps_room: whether a text with fewer lines leaves the others blank, so that what stands below does
            not jump up and down with each word.
    """

    def __init__(self, *, keeps_room: bool = False, **kwargs: Any) -> None:
        super().__init__(markup=False, **kwargs)
        self._text = Text()
        self._width = 0
        self._strips: list[Strip] = []
        self._drawn: dict[_Pieces, Strip] = {}
        """The lines that are shown, by what they say."""
        self._styles: dict[str | Style, Style] = {}
        """Those of the text over the widget's own."""
        self._keeps_room = keeps_room
        self._room = (0, 0)
        """Lines that were needed at most, and at which width."""
        self._is_fresh = False
        """Whether they are in the theme's colours."""
        self._base = Style.null()

    def notify_style_update(self) -> None:
        """Draw in the new theme's colours."""
        super().notify_style_update()
        self._width, self._is_fresh = 0, False

    def render(self) -> Text:
        """The whole text."""
        return self._text

    def show(self, text: Text) -> None:
        """Show this text instead."""
        if text == self._text and text.spans == self._text.spans:
            return
        old = self._strips
        self._text, self._width = text, 0
        if not self.is_mounted:
            return
        self._draw(self.content_size.width)
        if len(self._strips) != len(old):
            # Without a height of its own it needs more or less room now.
            self.refresh(layout=self.styles.is_auto_height)
            return
        changed = [
            Region(start, y, end - start, 1)
            for y, (before, after) in enumerate(zip(old, self._strips, strict=True))
            if before is not after
            for start, end in changed_spans(before, after)
        ]
        paint(self, changed)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines of the text at this width."""
        self._draw(width)
        return len(self._strips)

    def render_line(self, y: int) -> Strip:
        """One line."""
        return self.line(y, self.content_size.width)

    def line(self, y: int, width: int) -> Strip:
        """As ``render_line``, for who knows the width already."""
        self._draw(width)
        if y >= len(self._strips):
            return Strip.blank(width, self._base)
        hidden = [] if self._text.no_wrap else self._strips[self.content_size.height :]
        if y == self.content_size.height - 1 and any(strip.text.strip() for strip in hidden):
            return self._cut_off(self._strips[y], width)
        return self._strips[y]

    def _cut_off(self, strip: Strip, width: int) -> Strip:
        """A line that tells that there is more than fits."""
        end = min(cells(strip.text.rstrip()), max(0, width - 1))
        more = Segment("\N{HORIZONTAL ELLIPSIS}", self._base)
        return Strip([*strip.crop(0, end), more], end + 1).adjust_cell_length(width, self._base)

    def _draw(self, width: int) -> None:
        if width == self._width:
            return
        self._width = width
        self._strips = self._lines(width)
        if self._keeps_room:
            most, at_width = self._room
            blank = max(0, most - len(self._strips)) if at_width == width else 0
            self._strips += [Strip.blank(width, self._base)] * blank
            self._room = (len(self._strips), width)

    def _lines(self, width: int) -> list[Strip]:
        if not self._is_fresh:
            # Asking for it means a walk up to the screen: once for all lines.
            self._base, self._drawn, self._is_fresh = self.rich_style, {}, True
            self._styles.clear()
        text = self._text
        if width <= 0:
            return []
        lines = None if text.style else in_pieces(text)
        if lines is not None and any(sum([cells(part) for part, _ in line]) > width for line in lines):
            plain = text.no_wrap or text.overflow or text.justify or "\t" in text.plain
            lines = None if plain else _all_wrapped(lines, width)
        if lines is None:
            return self._fit(text, width)
        # Few lines change at a time, and those of a log only move up.
        known = self._drawn
        self._drawn = {
            line: known[line]
            if line in known and known[line].cell_length == width
            else self._strip(line, width)
            for line in lines
        }
        return [self._drawn[line] for line in lines]

    def _strip(self, line: _Pieces, width: int) -> Strip:
        segments, styles = [], self._styles
        for part, style in line:
            if style not in styles:
                styles[style] = self._base + (Style.parse(style) if isinstance(style, str) else style)
            segments.append(Segment(part, styles[style]))
        return padded(segments, sum([cells(part) for part, _ in line]), width, self._base)

    def _fit(self, text: Text, width: int) -> list[Strip]:
        """The lines of a text that has to be wrapped or cut."""
        if text.no_wrap:
            lines = text.split("\n", allow_blank=True)
            for line in lines:
                line.truncate(width, overflow="ellipsis")
        else:
            lines = text.wrap(self.app.console, width)
        strips = []
        for line in lines:
            line.pad_right(max(0, width - line.cell_len))
            line.end = ""
            strips.append(Strip(line.render(self.app.console), width).apply_style(self._base))
        return strips
