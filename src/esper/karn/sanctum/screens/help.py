"""The help page: every key, every column, every sign."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import Static

from esper.karn.diagnosis import LABELS
from esper.karn.sanctum.commands import (
    CHOOSE_COMMANDS,
    COPY_COMMANDS,
    GROUPS,
    PAGE_COMMANDS,
    Command,
)
from esper.karn.sanctum.effects import LEGEND as EFFECTS_LEGEND
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.text import FREE_RATE, RATE, trend_legend
from esper.leyline import thresholds

_WIDE = 50
_ARROWS = str.maketrans({"↓": "Down", "↑": "Up"})


def help_text(glyphs: Glyphs = UNICODE, width: int = _WIDE) -> Group:
    """The whole page.

    Args:
        glyphs: to draw with.
        width: terminal cells of a line; with few the words stand below the keys.
    """
    narrow = width < _WIDE
    keys = [
        part
        for title, commands in GROUPS.items()
        for part in (Text(f"{title}", "bold"), _keys(commands, glyphs, narrow), Text(""))
    ]
    columns = _columns(glyphs)
    signs = "   ".join(f"{glyph} {band.replace('_', ' ')}" for band, glyph in glyphs.bands.items())
    statuses = "   ".join(f"{glyph} {status}" for status, glyph in glyphs.statuses.items())
    return Group(
        *keys,
        Text("On pages", "bold"),
        _keys((*PAGE_COMMANDS, *CHOOSE_COMMANDS, *COPY_COMMANDS), glyphs, narrow),
        Text("\nColumns", "bold"),
        _pairs(columns[:6], narrow),
        _pairs(((f"    {label.replace('_', ' ')}", words) for label, words in LABELS.items()), narrow, "dim"),
        _pairs(columns[6:], narrow),
        Text("\nBeyond NOOP", "bold"),
        Padding(Text(EFFECTS_LEGEND), (0, 0, 0, 2)),
        Text("\nSigns", "bold"),
        Text(f"  {signs}"),
        Text(f"  {statuses}"),
        Text(f"  {thresholds.LEGEND}", "dim"),
    )


def _columns(glyphs: Glyphs) -> list[tuple[str, str]]:
    return [
        ("Level, Bar", "the seed's internal level, of its highest"),
        ("History", "its latest levels, one cell for each change, the newest at the right"),
        ("Trend", trend_legend(glyphs)),
        ("Thrash", "shape: the band of the reversal rate; colour: its indicator"),
        ("Rate, Pairs", f"{RATE}; pairs counted"),
        ("Verdict", "the judgement, as everywhere in Karn; colour: the indicator, but sweeping is yellow:"),
        ("Free rate", FREE_RATE),
        ("Undone", f"share of ops that the next one reversed within {thresholds.UNDO_EPOCHS} epochs"),
        ("Changed", "episode and epoch of the last change"),
        ("dim row", "fossilized, or of an episode that is over"),
        (f"{glyphs.folded} rank 0: ...", "slots that need no look; Enter unfolds them"),
    ]


def _keys(commands: Iterable[Command], glyphs: Glyphs, narrow: bool) -> RenderableType:
    return _pairs(((shown_keys(command, glyphs), command.help) for command in commands), narrow)


def shown_keys(command: Command, glyphs: Glyphs) -> str:
    """A command's keys, as this terminal can show them."""
    return command.shown_keys.translate(_ARROWS) if glyphs.only_ascii else command.shown_keys


def _pairs(rows: Iterable[tuple[str, str]], narrow: bool, style: str = "cyan") -> RenderableType:
    if narrow:
        return Group(
            *(
                part
                for left, right in rows
                for part in (Text(left.strip(), style), Padding(Text(right), (0, 0, 0, 2)))
            )
        )
    table = Table.grid(padding=(0, 2))
    table.add_column(style=style, no_wrap=True, min_width=14)
    table.add_column()
    for left, right in rows:
        table.add_row(f"  {left}", right)
    return table


class HelpScreen(Page[None]):
    """The help page."""

    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Sanctum: help", glyphs)

    def compose_body(self) -> ComposeResult:
        """The page."""
        yield Static(id="help")

    async def action_help(self) -> None:
        """Close it."""
        self.action_close()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the words to the width."""
        self.query_one("#help", Static).update(help_text(self.glyphs, event.size.width))
