"""The page on which a run is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.state import RunRow
from esper.karn.sanctum.text import STATUS_STYLES, age, plain

NO_RUN = "no run here yet"


class RunChooser(Page[str]):
    """All runs of the folder, the latest first. Its answer is the chosen one.

    Args:
        title: what the run is chosen for.
        runs: to choose from.
        current: the run under the cursor at first.
        now: UTC.
        glyphs: to draw with.
    """

    DEFAULT_CSS = """
    RunChooser OptionList { height: auto; border: none; background: $background; padding: 0; }
    RunChooser OptionList > .option-list--option-highlighted { background: $primary 22%; text-style: none; }
    """

    def __init__(
        self, title: str, runs: Sequence[RunRow], current: str | None, now: datetime, glyphs: Glyphs
    ) -> None:
        super().__init__(title, glyphs)
        self._runs = runs
        self._current = current
        self._now = now

    def compose_body(self) -> ComposeResult:
        """The list."""
        width = max((len(plain(run.run_dir, 40, self.glyphs)) for run in self._runs), default=0)
        options = [Option(run_text(run, width, self._now, self.glyphs)) for run in self._runs]
        runs = OptionList(*options or [Option(Text(NO_RUN, "dim"), disabled=True)], markup=False)
        # The keys are the page's, vi's among them.
        runs.can_focus = False
        yield runs

    def on_mount(self) -> None:
        """Put the cursor on the current run."""
        names = [run.run_dir for run in self._runs]
        if names:
            self._list.highlighted = names.index(self._current) if self._current in names else 0

    def action_page(self, where: str) -> None:
        """Move the cursor."""
        here, last = self._list.highlighted, len(self._runs) - 1
        if here is not None:
            page = max(1, self.size.height - 5)
            steps = {"down": 1, "up": -1, "page_down": page, "page_up": -page, "home": -here, "end": last}
            self._list.highlighted = min(max(here + steps[where], 0), last)

    def action_choose(self) -> None:
        """Answer with the run under the cursor."""
        if self._list.highlighted is not None and self._runs:
            self.dismiss(self._runs[self._list.highlighted].run_dir)

    def on_option_list_option_selected(self, event: events.Event) -> None:
        """A run was clicked."""
        self.action_choose()

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)


def run_text(run: RunRow, width: int, now: datetime, glyphs: Glyphs) -> Text:
    """A line for one run.

    Args:
        run: the run.
        width: cells for its name.
        now: UTC, for its age.
        glyphs: to draw with.
    """
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{plain(run.run_dir, 40, glyphs):<{width}}", "cyan")
    text.append(f"  {glyphs.statuses[run.status]} {run.status:<9}", STATUS_STYLES[run.status])
    last = run.last_event_at
    when = (
        "no event yet" if last is None else f"{last:%Y-%m-%d %H:%M}, {age((now - last).total_seconds())} ago"
    )
    text.append(f" {when:<26}", "dim")
    files = "" if run.files == 1 else f"  {run.files:,} files"
    return text.append(f" {run.size_bytes / 1e6:>9,.1f} MB{files}", "dim")
