"""The page on which a run is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from esper.karn.sanctum.commands import CHOOSE_COMMANDS, bindings
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.header import STATUS_STYLES
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.state import RunRow, SanctumSnapshot
from esper.karn.sanctum.text import age, plain, size_text
from esper.karn.sanctum.widgets.scrolled import fit_bar

NO_RUN = "no run here yet"
LOOK_AFTER_S = 1.0
"""Seconds after which the runs are looked at anew."""


class RunChooser(Page[str]):
    """All runs of the folder, the latest first, as they come and go. Its answer is the chosen one.

    Args:
        title: what the run is chosen for.
        look: gives the runs to choose from at a time (UTC).
        start: the run under the cursor at first.
        now: UTC.
        glyphs: to draw with.
    """

    DEFAULT_CSS = """
    RunChooser OptionList {
        height: auto;
        border: none;
        background: $background;
        padding: 0;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $primary 75%;
    }
    RunChooser OptionList > .option-list--option-highlighted { background: $primary 22%; text-style: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(CHOOSE_COMMANDS)

    def __init__(
        self,
        title: str,
        look: Callable[[datetime], Sequence[RunRow]],
        start: str | None,
        now: datetime,
        glyphs: Glyphs,
    ) -> None:
        super().__init__(title, glyphs)
        self._look = look
        self._start = start
        self._looked_at = now
        self._runs: Sequence[RunRow] = ()
        self._texts: list[Text] = []

    def compose_body(self) -> ComposeResult:
        """The list."""
        runs = OptionList(markup=False)
        # The keys are the page's, vi's among them.
        runs.can_focus = False
        yield runs

    def on_mount(self) -> None:
        """Fill it, with the cursor on the run to start with."""
        fit_bar(self._list, self.glyphs)
        self._show(self._looked_at, self._start)

    def tick(self, snapshot: SanctumSnapshot, now: datetime) -> None:
        """Look at the folder now and then."""
        if abs((now - self._looked_at).total_seconds()) >= LOOK_AFTER_S:
            here = self._list.highlighted
            self._show(now, self._runs[here].run_dir if here is not None and self._runs else self._start)

    def _show(self, now: datetime, chosen: str | None) -> None:
        before = [run.run_dir for run in self._runs]
        self._looked_at, self._runs = now, self._look(now)
        names = [run.run_dir for run in self._runs]
        width = max((len(plain(name, 40, self.glyphs)) for name in names), default=0)
        texts = [run_text(run, width, now, self.glyphs) for run in self._runs]
        if self._texts and names == before:
            for place, (old, new) in enumerate(zip(self._texts, texts, strict=True)):
                if (old, old.spans) != (new, new.spans):
                    self._list.replace_option_prompt_at_index(place, new)
        else:
            here = self._list.highlighted or 0  # the run under the cursor may be gone
            self._list.clear_options()
            self._list.add_options(map(Option, texts))
            if not texts:
                self._list.add_option(Option(Text(NO_RUN, "dim"), disabled=True))
            else:
                place = names.index(chosen) if chosen in names else min(here, len(names) - 1)
                self._list.highlighted = place
        self._texts = texts

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
    return text.append(f" {size_text(run.size_bytes):>12}{files}", "dim")
