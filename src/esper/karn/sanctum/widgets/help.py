"""The help page: every key, every column, every sign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from esper.karn.diagnosis import LABELS
from esper.karn.sanctum.commands import COMMANDS
from esper.karn.sanctum.text import GLYPHS
from esper.leyline import thresholds

_COLUMNS = (
    ("Level, Bar", "the seed's internal level, of its highest"),
    ("Trend", f"▲ last grew, ▼ last shrank, ─ unchanged for {thresholds.STABLE_EPOCHS} epochs, ◇ fossilized"),
    ("Thrash", "shape: the band of the reversal rate; colour: its indicator"),
    ("Rate, Pairs", "share of reversals among pairs of consecutive ops, over the whole run; pairs counted"),
    ("Verdict", "the judgement on the slot, as everywhere in Karn:"),
    ("Free rate", "the same where the second op could have gone either way; a coin flip gives 0.5"),
    ("Undone", f"share of ops that the next one reversed within {thresholds.UNDO_EPOCHS} epochs"),
    ("dim row", "fossilized, or of an episode that is over"),
)


def help_text() -> Group:
    """The whole page."""
    return Group(
        Text("Keys", "bold"),
        _pairs((command.shown_keys, command.help) for command in COMMANDS),
        Text("\nColumns", "bold"),
        _pairs(_COLUMNS[:5]),
        _pairs(((f"    {label.replace('_', ' ')}", words) for label, words in LABELS.items()), "dim"),
        _pairs(_COLUMNS[5:]),
        Text("\nSigns", "bold"),
        Text("  " + "   ".join(f"{glyph} {band.replace('_', ' ')}" for band, glyph in GLYPHS.items())),
        Text("  " + thresholds.LEGEND, "dim"),
    )


def _pairs(rows: Iterable[tuple[str, str]], style: str = "cyan") -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=style, no_wrap=True, min_width=14)
    table.add_column()
    for left, right in rows:
        table.add_row(f"  {left}", right)
    return table


class HelpScreen(ModalScreen[None]):
    """The help page over the screen."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
    }
    HelpScreen > VerticalScroll {
        width: 100;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        border: round $primary;
        border-title-style: bold;
        background: $surface;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
        scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface;
        scrollbar-color: $primary 40%;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """The page, scrolling where it is higher than the screen."""
        with VerticalScroll() as page:
            page.border_title = "Sanctum: help"
            page.border_subtitle = "Escape closes"
            yield Static(help_text())
