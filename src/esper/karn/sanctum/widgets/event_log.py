"""The latest level changes, begins and ends of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import LevelChange
from esper.karn.sanctum.text import change_text
from esper.karn.sanctum.widgets.lines import Lines

NO_CHANGE = "no change yet"
NO_MATCH = "none of the latest changes is of a slot that the filter leaves"


class EventLogWidget(Lines):
    """As many of the latest changes as there is room for."""

    DEFAULT_CSS = """
    EventLogWidget { border: round $primary 75%; border-title-style: bold; padding: 0 1; }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._glyphs = glyphs
        self._changes: Sequence[LevelChange] = ()
        self._none = NO_CHANGE
        self.border_title = "Latest Changes"
        self.border_subtitle = "times in UTC"

    def show_changes(self, changes: Sequence[LevelChange], none: str = NO_CHANGE) -> None:
        """Show the last of these, or say why there is none."""
        self._changes, self._none = changes, none
        self._fill()

    def on_resize(self) -> None:
        """Show as many as there is room for now."""
        self._fill()

    def _fill(self) -> None:
        if not self._changes:
            self.show(Text(self._none, "dim"))
            return
        latest = self._changes[-max(1, self.content_size.height) :]
        lines = [change_text(change, self._glyphs) for change in latest]
        self.show(Text("\n", no_wrap=True, overflow="ellipsis").join(lines))
