"""What the commands take away: the rows and the screen as files, the queries behind them as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.notifications import SeverityLevel
from textual.widgets._toast import Toast

from esper.karn.sanctum.copying import View, copy_text, mcp_call_for, sql_for
from esper.karn.sanctum.export import export_screen_svg, export_view
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.keys import KeysInOrder
from esper.karn.sanctum.screens.compare import ComparePage
from esper.karn.sanctum.screens.slot import SlotPage
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.view import FoldRow, Row, parse_query
from esper.karn.sanctum.viewing import Viewing
from esper.karn.textout import clean
from esper.leyline.errors import KarnError


class TakingAway(KeysInOrder):
    """An app whose screen can be taken away."""

    viewing: Viewing
    snapshot: SanctumSnapshot
    rows: Sequence[Row]
    glyphs: Glyphs

    async def action_export(self, kind: str) -> None:
        """Write the rows or the screen into a file of the current folder."""
        if self.snapshot.run.status == "waiting":
            self._say("there is no run to export yet")
        elif kind == "svg":
            # What was said last lies over the screen, and is no part of it.
            self.clear_notifications()
            await self.screen.query(Toast).remove()
            self.screen.call_after_refresh(self._export, kind)
        else:
            self._export(kind)

    def _export(self, kind: str) -> None:
        try:
            folder = Path.cwd()
        except FileNotFoundError:
            self._say("the current folder is gone: nothing is written", "error")
            return
        try:
            if kind == "svg":
                path = export_screen_svg(self, folder, self.snapshot.run.run_dir)
            else:
                states = [row.state for row in self.rows if not isinstance(row, FoldRow)]
                path = export_view("csv" if kind == "csv" else "json", states, self.snapshot, folder)
        except KarnError as error:
            self._say(str(error), "error")
        else:
            self._say(f"written: {clean(str(path))}")

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

    def _say(self, words: str, severity: SeverityLevel = "information") -> None:
        self.notify(words, markup=False, severity=severity, timeout=4)

    def on_notify(self) -> None:
        """Something is about to be said: what was said before is no answer to the last key."""
        self.clear_notifications()
