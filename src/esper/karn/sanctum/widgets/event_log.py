"""The latest level changes, one line each, the newest at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual.widgets import Static

from esper.karn.sanctum.state import LevelChange
from esper.karn.sanctum.text import change_text


class EventLogWidget(Static):
    """As many of the latest level changes as there is room for."""

    DEFAULT_CSS = """
    EventLogWidget {
        border: round $primary 60%;
        border-title-style: bold;
        padding: 0 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._changes: Sequence[LevelChange] = ()
        self.border_title = "Latest Changes"
        self.border_subtitle = "times in UTC"

    def render(self) -> Text:
        """The lines, or a word on why there are none."""
        if not self._changes:
            return Text("no level change yet", "dim")
        latest = self._changes[-max(1, self.size.height) :]
        return Text("\n", no_wrap=True, overflow="ellipsis").join(change_text(change) for change in latest)

    def show(self, changes: Sequence[LevelChange]) -> None:
        """Show these changes, and refresh if anything is different."""
        if changes != self._changes:
            self._changes = changes
            self.refresh()
