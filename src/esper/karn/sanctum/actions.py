"""What the commands do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from textual.app import App
from textual.notifications import SeverityLevel

from esper.karn.sanctum import theme
from esper.karn.sanctum.copying import View, copy_text, mcp_call_for, sql_for
from esper.karn.sanctum.export import export_screen_svg, export_view
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.runs import run_rows
from esper.karn.sanctum.screens.compare import ComparePage
from esper.karn.sanctum.screens.help import HelpScreen
from esper.karn.sanctum.screens.runs import RunChooser
from esper.karn.sanctum.screens.slot import SlotPage
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.view import FoldRow, Row, find, parse_query
from esper.karn.sanctum.viewing import Viewing
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.prompt import Prompt
from esper.leyline.errors import KarnError

OPS_SHOWN = 1000
"""Ops on a slot's page at most."""


class Commanded(App[None]):
    """An app that obeys the table of commands; what it shows is up to the app that is made of it."""

    viewing: Viewing
    snapshot: SanctumSnapshot
    rows: Sequence[Row]
    glyphs: Glyphs
    telemetry_dir: Path
    now: Callable[[], datetime]

    @property
    def table(self) -> InternalLevelWidget:
        """The level table."""
        raise NotImplementedError

    def show_now(self) -> None:
        """Show what is known at the moment that is looked at."""
        raise NotImplementedError

    def show_rows(self) -> None:
        """Show the slots as the view's options say."""
        raise NotImplementedError

    def _poll_and_refresh(self) -> None:
        """Read on, and show what is new."""
        raise NotImplementedError

    # Move.

    def action_move(self, where: str) -> None:
        """Move the cursor, and the table with it."""
        table, here = self.table, self.table.cursor or 0
        page = max(1, table.content_size.height - 2)
        steps = {
            "down": 1,
            "up": -1,
            "page_down": page,
            "page_up": -page,
            "home": -here,
            "end": len(self.rows),
        }
        table.move_to(here + steps[where])

    def action_open(self) -> None:
        """Open the slot under the cursor; unfold or fold a rank's healthy slots."""
        row = self._row()
        if isinstance(row, FoldRow):
            self.viewing.unfold(frozenset({row.rank}))
            self.show_rows()
        elif row is not None and not isinstance(row.key, str):
            key = row.key
            history = self.viewing.history
            self.push_screen(SlotPage(key, self.snapshot, lambda: history(key, OPS_SHOWN), self.glyphs))

    def on_internal_level_widget_chosen(self) -> None:
        """A row was clicked twice."""
        self.action_open()

    # Choose.

    def action_search(self) -> None:
        """Ask for what to search."""
        self.screen.query_one(Prompt).ask("search", "")

    def action_filter(self) -> None:
        """Ask for the filter."""
        self.screen.query_one(Prompt).ask("filter", self.viewing.options.filter)

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        """Filter while the person types."""
        if event.purpose == "filter":
            self._filter(event.text)

    def on_prompt_answered(self, event: Prompt.Answered) -> None:
        """Filter, or go to the first match."""
        if event.purpose == "filter":
            self._filter(event.text)
        else:
            self.viewing.search = event.text
            self._find(1, (self.table.cursor or 0) - 1)

    def on_prompt_cancelled(self, event: Prompt.Cancelled) -> None:
        """Filter as before."""
        if event.purpose == "filter":
            self._filter(event.before)

    def action_next(self, step: int) -> None:
        """Go to the next match, or to the one before."""
        self._find(step, self.table.cursor or 0)

    def action_clear(self) -> None:
        """Leave the filter; without one, the history."""
        if self.viewing.options.filter:
            self._filter("")
        elif self.viewing.moment is not None:
            self.action_live()

    def action_sort(self) -> None:
        """Sort in the next way."""
        self.viewing.next_sort()
        self.show_rows()
        self.table.move_to(0)

    def action_pin(self) -> None:
        """Keep the slot under the cursor at the top, or let it go."""
        row = self._row()
        if row is not None and not isinstance(row, FoldRow):
            self.viewing.pin(row.key)
            self.show_rows()

    def action_fold(self) -> None:
        """Unfold every rank, or fold all."""
        self.viewing.fold_all(frozenset(row.rank for row in self.rows if isinstance(row, FoldRow)))
        self.show_rows()

    # Time.

    def action_pause(self) -> None:
        """Stop reading, or read on."""
        self.viewing.paused = not self.viewing.paused
        self.show_now()
        self._poll_and_refresh()

    def action_step(self, by: int) -> None:
        """Look at an earlier or a later epoch."""
        self.viewing.step(by)
        self.show_now()

    def action_leap(self, by: int) -> None:
        """As a step, by a twentieth of the run."""
        self.viewing.leap(by)
        self.show_now()

    def action_begin(self) -> None:
        """Look at the first epoch."""
        self.viewing.begin()
        self.show_now()

    def action_live(self) -> None:
        """Look at the end of the run, as far as it was read."""
        self.viewing.go_to(None)
        self.show_now()

    def action_first_thrash(self) -> None:
        """Look at where the earliest thrashing slot began to thrash."""
        # At a moment of the past nobody knew yet.
        first = self.viewing.follower.snapshot(self.now()).first_thrash
        if first is None:
            self._say("no slot is named as thrashing")
            return
        self.viewing.go_to(first)
        self.show_now()
        self._say("here the first of the thrashing slots began to, as judged at the run's end")

    # Runs.

    def action_runs(self) -> None:
        """Choose another run."""
        self.push_screen(self._chooser("Runs: choose one to look at"), self._open_run)

    def action_compare(self) -> None:
        """Choose a run, and put it beside this one."""
        self.push_screen(self._chooser("Runs: choose one to put beside this one"), self._compare_with)

    def _chooser(self, title: str) -> RunChooser:
        now = self.now()
        runs = run_rows(self.telemetry_dir, now)
        return RunChooser(title, runs, self.snapshot.run.run_dir, now, self.glyphs)

    def _open_run(self, run_dir: str | None) -> None:
        if run_dir is not None:
            self.viewing.open_run(run_dir)
            self.viewing.paused = False
            self._poll_and_refresh()
            self.show_now()
            self.table.move_to(0)

    def _compare_with(self, run_dir: str | None) -> None:
        if run_dir is not None:
            other = RunFollower(self.telemetry_dir, run_dir)
            self.viewing.go_to(None)  # the other run is shown at its end, too
            self.show_now()
            self.push_screen(ComparePage(self.snapshot, other, self.now(), self.glyphs))

    # Take away.

    def action_export(self, kind: str) -> None:
        """Write the rows or the screen into a file of the current folder."""
        states = [row.state for row in self.rows if not isinstance(row, FoldRow)]
        run_dir = self.snapshot.run.run_dir
        try:
            if kind == "svg":
                path = export_screen_svg(self, Path(), run_dir)
            else:
                path = export_view("csv" if kind == "csv" else "json", states, self.snapshot, Path())
        except KarnError as error:
            self._say(str(error), "error")
        else:
            self._say(f"written: {path}")

    def action_copy(self, what: str) -> None:
        """Copy the query, or the MCP call, behind what is shown."""
        view = self._view()
        if view is None:
            self._say("there is no run to ask about yet")
            return
        text = sql_for(view) if what == "sql" else str(mcp_call_for(view))
        try:
            copy_text(self, text)
        except KarnError as error:
            self._say(str(error), "error")
        else:
            self._say(f"copied: {text if len(text) < 200 else text[:199] + self.glyphs.ellipsis}")

    def _view(self) -> View | None:
        run_dir = self.snapshot.run.run_dir
        if run_dir is None:
            return None
        if isinstance(self.screen, SlotPage):
            return View("slot", run_dir, slot=self.screen.key, moment=self.viewing.moment)
        if isinstance(self.screen, ComparePage):
            return View("comparison", run_dir, treatment=self.screen.other_run)
        query = parse_query(self.viewing.options.filter)
        return View("levels", run_dir, query=query, moment=self.viewing.moment)

    # Sanctum.

    def action_light(self) -> None:
        """Change between the dark and the light look."""
        self.theme = theme.other(self.theme)

    def action_help(self) -> None:
        """Open the help page."""
        self.push_screen(HelpScreen(self.glyphs))

    def _row(self) -> Row | None:
        cursor = self.table.cursor or 0
        return self.rows[cursor] if cursor < len(self.rows) else None

    def _filter(self, query: str) -> None:
        self.viewing.filter_by(query)
        self.show_rows()

    def _find(self, step: int, start: int) -> None:
        if not self.viewing.search.strip():
            self._say("nothing is searched for yet: / asks")
            return
        found = find(self.rows, self.viewing.search, start, step)
        folded = frozenset(row.rank for row in self.rows if isinstance(row, FoldRow) and not row.unfolded)
        if found is None and folded:  # what is hidden can be looked for all the same
            self.viewing.unfold(folded)
            self.show_rows()
            found = find(self.rows, self.viewing.search, start, step)
            if found is None:
                self.viewing.unfold(folded)
                self.show_rows()
        if found is None:
            self._say(f"no slot here matches {self.viewing.search.strip()!r}")
        else:
            self.table.move_to(found)

    def _say(self, words: str, severity: SeverityLevel = "information") -> None:
        self.notify(words, markup=False, severity=severity, timeout=4)
