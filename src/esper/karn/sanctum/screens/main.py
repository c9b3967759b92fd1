"""The main screen: header, verdict, slots, latest changes, effects, keys."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widgets import Footer

from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.screens.frugal import FrugalCompositor
from esper.karn.sanctum.widgets.effects import EffectsWidget
from esper.karn.sanctum.widgets.event_log import EventLogWidget
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.lines import Lines
from esper.karn.sanctum.widgets.prompt import Prompt
from esper.karn.sanctum.widgets.verdict import VerdictWidget


class MainScreen(Screen[None]):
    """What is always there; from 20 columns and 5 rows on it shows as much as there is room for."""

    AUTO_FOCUS = ""
    """Nothing has the focus, so that every key is a command."""
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (9, "-low"), (18, "-normal"), (30, "-high"), (38, "-tall")]  # noqa: RUF012
    # From here on the table has room for all of its columns beside the others.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (224, "-wide")]  # noqa: RUF012
    DEFAULT_CSS = """
    MainScreen {
        #run { height: 2; padding: 0 1; }
        #time { height: 1; padding: 0 1; display: none; }
        #time.-shown { display: block; }
        #verdict { height: auto; max-height: 2; padding: 0 1; }
        #body { height: 1fr; layout: vertical; }
        #internal-levels, #changes, #effects {
            border: round $primary 75%;
            border-title-color: $foreground;
            border-subtitle-color: $foreground 70%;
        }
        #internal-levels {
            scrollbar-size-vertical: 1;
            scrollbar-background: $background;
            scrollbar-background-hover: $background;
            scrollbar-background-active: $background;
            scrollbar-color: $primary 75%;
        }
        #side { height: auto; }
        #changes { height: 6; }
        #effects { height: 1; border: none; padding: 0 2; }
        &.-high #changes { height: 7; }
        &.-tall #changes { height: 11; }
        &.-high #effects, &.-tall #effects, &.-wide #effects {
            height: 4;
            border: round $primary 75%;
            border-title-style: bold;
            padding: 0 1;
        }
        &.-wide #body { layout: horizontal; }
        &.-wide #internal-levels { height: 100%; }
        &.-wide #side { width: 66; height: 100%; }
        &.-wide #changes { height: 1fr; }
        &.-ascii #internal-levels { border: ascii $primary 75%; }
        &.-ascii Toast { border-left: none; border-right: none; }
        &.-ascii #changes { border: ascii $primary 75%; }
        &.-ascii.-high #effects, &.-ascii.-tall #effects, &.-ascii.-wide #effects {
            border: ascii $primary 75%;
        }
        &.-low #side, &.-tiny #side { display: none; }
        &.-tiny #run { height: 1; }
        &.-tiny #verdict { max-height: 1; }
        &.-tiny #internal-levels { border: none; padding: 0; }
        &.-tiny Footer, &.-asking Footer { display: none; }
    }
    """

    def __init__(self, glyphs: Glyphs, on_mounted: Callable[[], None]) -> None:
        super().__init__(id="_default", classes="-ascii" if glyphs.only_ascii else None)
        self._compositor = FrugalCompositor()
        self._glyphs = glyphs
        self._on_mounted = on_mounted

    def compose(self) -> ComposeResult:
        """From the top to the bottom."""
        yield Lines(id="run")
        yield Lines(id="time")
        yield VerdictWidget(id="verdict", glyphs=self._glyphs)
        with Container(id="body"):
            yield InternalLevelWidget(id="internal-levels", glyphs=self._glyphs)
            with Vertical(id="side"):
                yield EffectsWidget(id="effects", glyphs=self._glyphs)
                yield EventLogWidget(id="changes", glyphs=self._glyphs)
        yield Prompt(id="prompt")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Everything is there to be filled."""
        self._on_mounted()
