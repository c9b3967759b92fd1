"""The verdict line of the main screen."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.geometry import Size

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.verdict_line import fitting_verdict
from esper.karn.sanctum.widgets.lines import Lines

MOST_LINES = 2
LOW = 9
"""Rows of a terminal below which there is one line for it."""


class VerdictWidget(Lines):
    """As much of the verdict as fits."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, **kwargs: Any) -> None:
        super().__init__(keeps_room=True, **kwargs)
        self._glyphs = glyphs
        self._snapshot: SanctumSnapshot | None = None

    def show_verdict(self, snapshot: SanctumSnapshot) -> None:
        """Show this one's."""
        self._snapshot = snapshot
        self.show(self._fitting(self.content_size.width, self.screen.size.height))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines of the words that fit in this width."""
        text = self._fitting(width, viewport.height)
        if (text, text.spans) != (self._text, self._text.spans):
            self._text, self._width = text, 0
        return super().get_content_height(container, viewport, width)

    def on_resize(self) -> None:
        """Use the room that there is now, where the height alone is another one."""
        self.show(self._fitting(self.content_size.width, self.screen.size.height))

    def _fitting(self, width: int, rows: int) -> Text:
        if self._snapshot is None:
            return Text()
        lines = 1 if rows < LOW else MOST_LINES
        return fitting_verdict(self._snapshot, width, lines, self._glyphs)
