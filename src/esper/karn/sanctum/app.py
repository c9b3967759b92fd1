"""Sanctum, the terminal viewer: it polls, and shows what the aggregators made of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from esper.karn.sanctum import theme
from esper.karn.sanctum.actions import Commanded
from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.commands import COMMANDS, bindings
from esper.karn.sanctum.feed import utc_now
from esper.karn.sanctum.glyphs import ColorMode, Glyphs, color_mode, glyphs_for
from esper.karn.sanctum.header import header_text
from esper.karn.sanctum.memory import give_back
from esper.karn.sanctum.screens.main import MainScreen
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.text import table_title, time_text
from esper.karn.sanctum.view import Row, why_no_match
from esper.karn.sanctum.viewing import Viewing
from esper.karn.sanctum.widgets.effects import EffectsWidget
from esper.karn.sanctum.widgets.event_log import NO_CHANGE, NO_MATCH, EventLogWidget
from esper.karn.sanctum.widgets.heading import FRAME_CELLS, retitle
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.level_table import NO_SEED, NO_SEED_NOW
from esper.karn.sanctum.widgets.lines import Lines
from esper.karn.sanctum.widgets.verdict import VerdictWidget

BYTES_PER_TICK = 2 << 20
"""Read in one go; the screen answers to keys between two of them."""


ROOM_FOR_TIME = 50
"""Cells from which on a moment of the past is said in words."""


class SanctumApp(Commanded):
    """The viewer of one run at a time.

    Args:
        telemetry_dir: folder of all runs; it need not exist yet.
        run_dir: the run to show, None for the latest.
        refresh_s: seconds between two looks at the files.
        now: gives the time in UTC.
        glyphs: what the terminal can show; None asks the environment.
        colors: how many colours it can show, and may; None asks the environment.
    """

    TITLE = "Sanctum"
    # Textual can't lay out the palette's list in no columns at all.
    CSS = """
    CommandPalette SearchIcon { display: none; }
    CommandPalette #--container, CommandPalette CommandList, RunChooser OptionList { min-width: 20; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings()

    def __init__(
        self,
        telemetry_dir: Path,
        run_dir: str | None = None,
        *,
        refresh_s: float = 0.25,
        now: Callable[[], datetime] = utc_now,
        glyphs: Glyphs | None = None,
        colors: ColorMode | None = None,
    ) -> None:
        self._color_mode = color_mode(os.environ) if colors is None else colors
        super().__init__()
        self.telemetry_dir = telemetry_dir
        self.glyphs = glyphs_for(os.environ, _encoding()) if glyphs is None else glyphs
        self.viewing = Viewing(telemetry_dir, run_dir)
        self.snapshot = SanctumSnapshot()
        """What the screen shows."""
        self.rows: Sequence[Row] = ()
        """The rows of the table, from the top."""
        self.now = now
        self._refresh_s = refresh_s
        self._catching_up = False
        self._shown = False
        self._table_title = ""
        for look in theme.THEMES:
            self.register_theme(look)
        self.ansi_theme_dark = theme.DARK_TERMINAL
        self.ansi_theme_light = theme.LIGHT_TERMINAL
        self.theme = theme.DARK.name if self._color_mode == "full" else theme.DARK_FEW.name

    @property
    def behind(self) -> bool:
        """Whether the files hold more than the screen shows yet."""
        return self.viewing.follower.behind

    @property
    def table(self) -> InternalLevelWidget:
        """The level table."""
        return self._main.query_one("#internal-levels", InternalLevelWidget)

    @property
    def _main(self) -> Screen[object]:
        return self.screen_stack[0]

    def get_default_screen(self) -> Screen[None]:
        """The main screen."""
        return MainScreen(self.glyphs, self._begin)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and none of their colours where there may be none."""
        if self._color_mode == "none":
            filters: list[LineFilter] = [theme.COLORLESS]
        else:
            filters = list(super().get_line_filters())
        if self._color_mode == "full":
            filters.insert(0, theme.DIM_DARK if self.current_theme.dark else theme.DIM_LIGHT)
        return [*filters, theme.ASCII_ONLY] if self.glyphs.only_ascii else filters

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette offers the table of commands, and nothing else."""
        for command in COMMANDS:
            name = f"{command.label} ({command.shown_keys.split()[0]})"
            yield SystemCommand(name, command.help, lambda action=command.action: self.run_action(action))

    def on_resize(self) -> None:
        """Say as much as there is room for now, paused or not."""
        if self._shown:
            self.call_after_refresh(self._fit_words)

    def _fit_words(self) -> None:
        if not self._exit:
            self._show_header(self.now())
            self._show_title()

    def _begin(self) -> None:
        """Show what is there at once, then look again and again."""
        if self._exit:  # told to end while it starts: the rest of the screen is never put in
            return
        self.table.move_to(0)
        self._poll_and_refresh()
        self.set_interval(self._refresh_s, self._poll_and_refresh)

    def _poll_and_refresh(self) -> None:
        if self._exit:
            return
        now = self.now()
        if not self.viewing.paused:
            was_behind = self.behind
            # Whoever looks at the past of a run, or at a page about it, is not taken to another one.
            stay = self.viewing.moment is not None or len(self.screen_stack) > 1
            changed = self.viewing.poll(BYTES_PER_TICK, now, stay=stay)
            at_the_end = self.viewing.moment is None
            if not self._shown or (at_the_end and (changed or self.viewing.rows_due(now))):
                self.show_now()
            else:
                self._show_header(now)
            if was_behind and not self.behind:
                give_back()
        for screen in self.screen_stack[1:]:
            if isinstance(screen, Page):
                screen.tick(self.snapshot, now)
        if self.behind and not self.viewing.paused and not self._catching_up:
            # Not at once: keys and drawing come first.
            self._catching_up = True
            self.set_timer(0.01, self._catch_up)

    def _catch_up(self) -> None:
        self._catching_up = False
        self._poll_and_refresh()

    def show_now(self) -> None:
        """Show what is known at the moment that is looked at."""
        if self._exit:
            return
        now = self.now()
        self._shown = True
        self.snapshot = snapshot = self.viewing.snapshot(now)
        main = self._main
        self.show_rows()
        main.query_one("#effects", EffectsWidget).show_effects(snapshot.effects)
        main.query_one("#verdict", VerdictWidget).show_verdict(snapshot)
        self._show_header(now)

    def show_rows(self) -> None:
        """Show the slots as the view's options say."""
        if self._exit:
            return
        table, before, cursor = self.table, self.rows, self.table.cursor or 0
        self.rows = self.viewing.rows(self.snapshot, self.now())
        table.show(self.snapshot.slots, self.rows, self._why_none())
        log = self._main.query_one("#changes", EventLogWidget)
        none = NO_MATCH if self.snapshot.changes else NO_CHANGE
        log.show_changes(self.viewing.changes(self.snapshot), none)
        self._show_title()
        # The cursor stays on its slot, but on top it stays on top.
        kept = _place_of(before[cursor], self.rows) if 0 < cursor < len(before) else None
        if kept is None:
            kept = min(cursor, max(len(self.rows) - 1, 0))
        if kept != cursor:
            table.move_to(kept)

    def _show_title(self) -> None:
        options = self.viewing.options
        title = table_title(
            options.sort,
            options.filter,
            _slots_in(self.rows),
            len(self.snapshot.slots),
            self.glyphs,
            without_seed=len(self.viewing.without_seed(self.snapshot)),
            cells=self.size.width - FRAME_CELLS,
        )
        if title != self._table_title:
            self._table_title = title
            retitle(self.table, title)

    def _why_none(self) -> str:
        if self.snapshot.slots:
            return f"{why_no_match(self.viewing.options.filter)} (Esc clears the filter)"
        return NO_SEED_NOW if self.snapshot.without_seed else NO_SEED

    def _show_header(self, now: datetime) -> None:
        run = self.viewing.follower.position(now)
        paused = self.viewing.paused
        text = header_text(run, str(self.telemetry_dir), now, self.glyphs, paused=paused)
        main = self._main
        main.query_one("#run", Lines).show(text)
        time = main.query_one("#time", Lines)
        time.set_class(self.viewing.moment is not None, "-shown")
        if self.viewing.moment is not None:
            narrow, progress = self.size.width < ROOM_FOR_TIME, self.viewing.progress()
            time.show(time_text(self.viewing.moment, progress, self.glyphs, narrow=narrow))


def _place_of(row: Row, rows: Sequence[Row]) -> int | None:
    return next((place for place, other in enumerate(rows) if other.key == row.key), None)


def _slots_in(rows: Sequence[Row]) -> int:
    return sum(1 if isinstance(row, SlotRow) else 0 if row.unfolded else row.slots for row in rows)


def _encoding() -> str | None:
    """Of the terminal; standard output may stand for something else meanwhile."""
    return None if sys.__stdout__ is None else sys.__stdout__.encoding
