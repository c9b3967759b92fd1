"""The heading in a widget's frame."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from esper.karn.sanctum.widgets.lines import paint

_AROUND_CELLS = 4
"""Corner and blanks."""
FRAME_CELLS = 6
"""Of a frame's width, what no heading has room in: corner, line and blank on both sides."""


def retitle(widget: Widget, title: str) -> None:
    """Put another heading into a widget's frame, and paint it alone.

    Textual's own setter has the whole widget painted again.

    Args:
        widget: with a frame or without one.
        title: read as it is, not as markup.
    """
    before = widget._border_title
    widget._border_title = Content(title)  # as the setter leaves it
    left, top = widget.content_offset
    if widget.is_mounted and top:
        cells = max(len(title), len(before.plain) if before else 0) + _AROUND_CELLS
        paint(widget, [Region(-left, -top, min(cells, widget.outer_size.width), 1)])
