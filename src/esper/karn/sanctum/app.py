"""Sanctum, the terminal viewer: it polls, and shows what the aggregators made of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from esper.karn.sanctum import theme
from esper.karn.sanctum.commands import bindings
from esper.karn.sanctum.feed import utc_now
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.text import header_text, verdict_text
from esper.karn.sanctum.widgets.event_log import EventLogWidget
from esper.karn.sanctum.widgets.help import HelpScreen
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget, LevelsPane

BYTES_PER_TICK = 2 << 20
"""Read in one go; the screen answers to keys between two of them."""
_HEIGHTS = [(0, "-tiny"), (9, "-low"), (18, "-normal"), (30, "-high")]


class SanctumApp(App[None]):
    """The viewer of one run.

    Args:
        telemetry_dir: folder of all runs; it need not exist yet.
        run_dir: the run to show, None for the latest.
        refresh_s: seconds between two looks at the files.
        now: gives the time in UTC.
    """

    TITLE = "Sanctum"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = bindings()
    VERTICAL_BREAKPOINTS = _HEIGHTS
    CSS = """
    #run { height: 2; padding: 0 1; text-overflow: ellipsis; text-wrap: nowrap; }
    #verdict { height: auto; max-height: 2; padding: 0 1; }
    #slots {
        height: 1fr;
        border: round $primary 60%;
        border-title-style: bold;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $primary 40%;
    }
    #internal-levels { border: none; padding: 0 1 0 0; }
    #changes {
        height: 7;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 60%;
    }
    .-high #changes { height: 11; }
    .-low #changes, .-tiny #changes { display: none; }
    .-tiny #run, .-tiny #verdict { height: 1; }
    .-tiny #slots { border: none; padding: 0; }
    .-tiny #internal-levels { padding: 0; }
    .-tiny Footer { display: none; }
    """

    def __init__(
        self,
        telemetry_dir: Path,
        run_dir: str | None = None,
        *,
        refresh_s: float = 0.25,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__()
        self._telemetry_dir = telemetry_dir
        self._follower = RunFollower(telemetry_dir, run_dir)
        self._refresh_s = refresh_s
        self._now = now
        self._paused = False
        self._catching_up = False
        self._shown_header: Text | None = None
        self.snapshot = SanctumSnapshot()
        """What the screen shows."""
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.ansi_theme_dark = theme.DARK_TERMINAL
        self.ansi_theme_light = theme.LIGHT_TERMINAL
        self.theme = theme.DARK.name

    @property
    def behind(self) -> bool:
        """Whether the files hold more than the screen shows yet."""
        return self._follower.behind

    def compose(self) -> ComposeResult:
        """Header, verdict, slots, latest changes, keys."""
        yield Static(id="run", markup=False)
        yield Static(id="verdict", markup=False)
        with LevelsPane(id="slots"):
            yield InternalLevelWidget(id="internal-levels")
        yield EventLogWidget(id="changes")
        yield Footer()

    def on_mount(self) -> None:
        """Show what is there at once, then look again and again."""
        self._poll_and_refresh()
        self.set_interval(self._refresh_s, self._poll_and_refresh)

    def _poll_and_refresh(self) -> None:
        if self._paused:
            return
        now = self._now()
        if self._follower.poll(BYTES_PER_TICK, now) or self._shown_header is None:
            self._show(self._follower.snapshot(now))
        self._show_header(now)
        if self._follower.behind and not self._catching_up:
            # Not at once: keys and drawing come first.
            self._catching_up = True
            self.set_timer(0.01, self._catch_up)

    def _catch_up(self) -> None:
        self._catching_up = False
        self._poll_and_refresh()

    def _show(self, snapshot: SanctumSnapshot) -> None:
        self.snapshot = snapshot
        main = self.screen_stack[0]
        main.query_one("#internal-levels", InternalLevelWidget).show(snapshot.slots)
        main.query_one("#changes", EventLogWidget).show(snapshot.changes)
        main.query_one("#verdict", Static).update(verdict_text(snapshot))

    def _show_header(self, now: datetime) -> None:
        text = header_text(self._follower.position(now), str(self._telemetry_dir), now)
        if self._paused:
            text.append("  paused", "bold yellow")
        if text != self._shown_header:
            self._shown_header = text
            self.screen_stack[0].query_one("#run", Static).update(text, layout=False)

    def action_pause(self) -> None:
        """Stop reading, or read on."""
        self._paused = not self._paused
        self._show_header(self._now())
        self._poll_and_refresh()

    def action_light(self) -> None:
        """Change between the dark and the light look."""
        self.theme = theme.LIGHT.name if self.theme == theme.DARK.name else theme.DARK.name

    def action_help(self) -> None:
        """Open the help page."""
        self.push_screen(HelpScreen())

    def action_scroll(self, where: str) -> None:
        """Scroll the slots."""
        slots = self.query_one("#slots", VerticalScroll)
        match where:
            case "down":
                slots.scroll_down(animate=False)
            case "up":
                slots.scroll_up(animate=False)
            case "page_down":
                slots.scroll_page_down(animate=False)
            case "page_up":
                slots.scroll_page_up(animate=False)
            case "home":
                slots.scroll_home(animate=False)
            case "end":
                slots.scroll_end(animate=False)
