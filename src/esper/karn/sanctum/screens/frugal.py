"""Writes no more to the terminal than what is different, for viewers at the other end of an ssh connection.

Textual writes a changed line from the widget's left edge on, and for each stretch of a style all of its
colours anew. Here a line begins with the first changed cell, and a style is written as the difference from
the one before: half the bytes for the same picture. ``tests/karn/test_sanctum_painting.py`` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.lines import Lines

# Textual has no public place for this; its version is bounded in pyproject.toml.

_ATTRIBUTES = (
    ("bold", "1"),
    ("dim", "2"),
    ("italic", "3"),
    ("underline", "4"),
    ("blink", "5"),
    ("reverse", "7"),
    ("strike", "9"),
)


class _Codes(NamedTuple):
    """A style as a terminal takes it."""

    attributes: str
    color: str
    background: str


_PLAIN = _Codes("", "", "")
_Stretch = tuple[int, int]
"""From a cell of a line to another, exclusive."""
_Piece = tuple[int, int, int, Sequence[Segment]]
"""Line, first cell, last cell exclusive, and what stands there."""


class FrugalCompositor(Compositor):
    """A compositor whose partial updates are frugal, on the terminal and with CPU.

    Textual asks every widget between the first and the last change for all of its lines, the screen
    behind them too. Here only the widgets that show in a changed stretch are asked, for its lines.
    """

    def render_partial_update(self) -> _FrugalUpdate | None:  # type: ignore[override]  # it is drawn alike
        """What changed since the last time, None for nothing."""
        regions = self._dirty_regions.copy()
        self._dirty_regions.clear()
        wanted: dict[int, list[_Stretch]] = {}
        for y, start, stop in self._regions_to_spans(regions):
            wanted.setdefault(y, []).append((start, stop))
        pieces: list[_Piece] = []
        # What stands in front comes first, and hides what is behind.
        for widget, (region, clip) in self.visible_widgets.items():
            if not wanted:
                break
            shown = region.intersection(clip)
            lines = [
                y
                for y in shown.line_range
                if y in wanted and any(start < shown.right and stop > shown.x for start, stop in wanted[y])
            ]
            if not lines:
                continue
            draw = _Drawer(widget, region, shown, lines).draw
            for y in lines:
                left: list[_Stretch] = []
                for start, stop in wanted[y]:
                    first, last = max(start, shown.x), min(stop, shown.right)
                    if first >= last:
                        left.append((start, stop))
                        continue
                    pieces.append((y, first, last, draw(y, first, last)))
                    left += [one for one in ((start, first), (last, stop)) if one[0] < one[1]]
                if left:
                    wanted[y] = left
                else:
                    del wanted[y]
        return _FrugalUpdate(pieces) if pieces else None


class _FrugalUpdate(CompositorUpdate):
    def __init__(self, pieces: list[_Piece]) -> None:
        self._pieces = sorted(pieces, key=itemgetter(0, 1))

    def render_segments(self, console: Console) -> str:
        """The update as the terminal gets it."""
        out: list[str] = []
        system = console._color_system
        state = _PLAIN
        at = None
        for y, start, stop, segments in self._pieces:
            if (y, start) != at:
                out.append(f"\x1b[{y + 1};{start + 1}H")
            at = (y, stop)
            for text, style, control in segments:
                if control:
                    continue
                wanted = _PLAIN if style is None else _codes(style, system)
                if wanted is not state and wanted != state:
                    out.append(_change(state, wanted))
                    state = wanted
                out.append(text)
        if state != _PLAIN:
            out.append("\x1b[0m")
        return "".join(out)


class _Drawer:
    """Draws cells of a widget.

    Args:
        widget: the widget.
        region: where it is.
        shown: the part of it that can be seen.
        lines: the lines that will be asked for, in order.
    """

    def __init__(self, widget: Widget, region: Region, shown: Region, lines: Sequence[int]) -> None:
        self._widget, self._region, self._shown, self._lines = widget, region, shown, lines
        self._strips: Sequence[Strip] | None = None
        self._content = Region()
        """Where a widget of ours stands by itself."""
        if isinstance(widget, Lines | InternalLevelWidget):
            self._ours = widget
            self._content = region.shrink(widget.styles.gutter)
            self._filters, self._background = widget.get_line_filters(), widget.background_colors[1]

    def draw(self, y: int, start: int, stop: int) -> Sequence[Segment]:
        """The cells of a line from ``start`` to ``stop``, exclusive."""
        content = self._content
        if start >= content.x and stop <= content.right and content.y <= y < content.bottom:
            # What lies within the frame needs no frame around it, which is what costs the most.
            segments = _own_cells(
                self._ours, y - content.y, start - content.x, stop - content.x, content.width
            )
            for line_filter in self._filters:
                segments = line_filter.apply(segments, self._background)
            return segments
        shown, first = self._shown, self._lines[0]
        if self._strips is None:
            crop = Region(shown.x, first, shown.width, self._lines[-1] - first + 1)
            self._strips = self._widget.render_lines(crop.translate(-self._region.offset))
        return _cut(self._strips[y - first], start - shown.x, stop - shown.x)


def _own_cells(
    widget: Lines | InternalLevelWidget, y: int, start: int, stop: int, width: int
) -> list[Segment]:
    if isinstance(widget, Lines):
        return _cut(widget.line(y, width), start, stop)
    found = widget.row_between(y, start, stop)
    return _cut(widget.render_line(y), start, stop) if found is None else found


def _cut(strip: Strip, start: int, stop: int) -> list[Segment]:
    """What stands between two cells; ``Strip.crop`` makes another strip, and that takes long."""
    segments = strip._segments
    if start == 0 and stop == strip.cell_length:
        return segments
    found: list[Segment] = []
    end = 0
    for segment in segments:
        at, text = end, segment.text
        end += len(text) if text.isascii() else cell_len(text)
        if end > start:
            part = segment if at >= start else segment.split_cells(start - at)[1]
            found.append(part if end <= stop else part.split_cells(stop - max(at, start))[0])
            if end >= stop:
                break
    return found


@lru_cache(4096)
def _codes(style: Style, system: ColorSystem | None) -> _Codes:
    attributes = ";".join(code for name, code in _ATTRIBUTES if getattr(style, name))
    if system is None:
        return _Codes(attributes, "", "")
    color = background = ""
    if style.color is not None:
        color = ";".join(style.color.downgrade(system).get_ansi_codes(foreground=True))
    if style.bgcolor is not None:
        background = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False))
    return _Codes(attributes, color, background)


@lru_cache(4096)
def _change(old: _Codes, new: _Codes) -> str:
    """The escape sequence that leads from one style to another."""
    lost = old.attributes != new.attributes or (old.color and not new.color)
    if lost or (old.background and not new.background):
        return f"\x1b[{';'.join(filter(None, ('0', *new)))}m"
    codes = [code for before, code in zip(old, new, strict=True) if code and code != before]
    return f"\x1b[{';'.join(codes)}m"
