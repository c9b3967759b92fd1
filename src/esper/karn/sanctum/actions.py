"""What the commands do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from esper.karn.jsonl.ends import EndsReader
from esper.karn.sanctum import theme
from esper.karn.sanctum.columns import NAME_CELLS
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.leaving import has_job_control
from esper.karn.sanctum.runs import run_rows
from esper.karn.sanctum.screens.compare import ComparePage
from esper.karn.sanctum.screens.help import HelpScreen
from esper.karn.sanctum.screens.runs import RunChooser
from esper.karn.sanctum.screens.slot import SlotPage
from esper.karn.sanctum.state import SlotKey
from esper.karn.sanctum.taking_away import TakingAway
from esper.karn.sanctum.text import where
from esper.karn.sanctum.view import FoldRow, Row, find, why_no_match
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.prompt import Prompt

OPS_SHOWN = 1000
"""Events on a slot's page at most."""
NO_OTHER = "there is no other run in this folder to put beside this one"


class Commanded(TakingAway):
    """An app that obeys the table of commands; what it shows is up to the app that is made of it."""

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

    async def on_internal_level_widget_chosen(self) -> None:
        """A row was clicked twice."""
        await self.run_action("open")

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
        known = self.viewing.follower.snapshot(self.now())
        first, slot = known.first_thrash, known.first_thrash_slot
        if first is None or slot is None:
            self._say("no slot is named as thrashing")
            return
        self.viewing.go_to(first)
        self.show_now()
        place = where(*slot, width=NAME_CELLS, glyphs=self.glyphs)
        self._move_to_slot(slot)
        self._say(f"here {place}, the first of the thrashing slots, began to, as judged at the run's end")

    def _move_to_slot(self, slot: SlotKey) -> None:
        folded = frozenset(row.rank for row in self.rows if isinstance(row, FoldRow) and not row.unfolded)
        if folded and all(row.key != slot for row in self.rows):
            self.viewing.unfold(folded)
            self.show_rows()
        place = next((place for place, row in enumerate(self.rows) if row.key == slot), None)
        if place is not None:
            self.table.move_to(place)

    # Runs.

    def action_runs(self) -> None:
        """Choose another run."""
        here = self.snapshot.run.run_dir
        self.push_screen(self._chooser("Runs: choose one to look at", here), self._open_run)

    def action_compare(self) -> None:
        """Choose a run, and put it beside this one."""
        here = self.snapshot.run.run_dir
        runs = [run.run_dir for run in run_rows(self.telemetry_dir, self.now())]
        others = [run for run in runs if run != here]
        if here is None or not others:
            self._say("there is no run to put beside another yet" if here is None else NO_OTHER)
            return
        # The next in the list is the one before it; the oldest is put beside the latest.
        after = runs[runs.index(here) + 1 :] if here in runs else []
        start = (after or others)[0]
        self.push_screen(self._chooser("Runs: choose one to put beside this one", start), self._compare_with)

    def _chooser(self, title: str, start: str | None) -> RunChooser:
        ends = EndsReader()
        folder = self.telemetry_dir
        return RunChooser(title, lambda now: run_rows(folder, now, ends), start, self.now(), self.glyphs)

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

    # Sanctum.

    def action_light(self) -> None:
        """Change between the dark and the light look."""
        self.theme = theme.other(self.theme)

    def action_help(self) -> None:
        """Open the help page."""
        self.push_screen(HelpScreen(self.glyphs))

    def action_stop(self) -> None:
        """Hand the terminal to the shell, until that brings the viewer back."""
        if has_job_control():
            self.action_suspend_process()
            self.refresh(layout=True)  # it is back, on an empty screen
        else:  # stopped, it would hold the terminal for good
            self._say("no shell is here that could bring the viewer back: q leaves it")

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
            self._say(why_no_match(self.viewing.search))
        else:
            self.table.move_to(found)
