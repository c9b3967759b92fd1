"""The help page: every key, every column, every sign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from esper.karn.diagnosis import LABELS
from esper.karn.sanctum.commands import GROUPS, HELP_COMMANDS, PAGE_COMMANDS, Command, bindings
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.screens.page import Page
from esper.leyline import thresholds

_ARROWS = str.maketrans({"↓": "Down", "↑": "Up"})


def help_text(glyphs: Glyphs = UNICODE) -> Group:
    """The whole page."""
    keys = [
        part
        for title, commands in GROUPS.items()
        for part in (Text(f"{title}", "bold"), _keys(commands, glyphs), Text(""))
    ]
    columns = _columns(glyphs)
    signs = "   ".join(f"{glyph} {band.replace('_', ' ')}" for band, glyph in glyphs.bands.items())
    statuses = "   ".join(f"{glyph} {status}" for status, glyph in glyphs.statuses.items())
    return Group(
        *keys,
        Text("On pages", "bold"),
        _keys((*PAGE_COMMANDS, *HELP_COMMANDS), glyphs),
        Text("\nColumns", "bold"),
        _pairs(columns[:6]),
        _pairs(((f"    {label.replace('_', ' ')}", words) for label, words in LABELS.items()), "dim"),
        _pairs(columns[6:]),
        Text("\nSigns", "bold"),
        Text(f"  {signs}"),
        Text(f"  {statuses}"),
        Text(f"  {thresholds.LEGEND}", "dim"),
    )


def _columns(glyphs: Glyphs) -> list[tuple[str, str]]:
    trend = glyphs.trends
    return [
        ("Level, Bar", "the seed's internal level, of its highest"),
        ("History", "its latest levels, one cell for each change, the newest at the right"),
        (
            "Trend",
            f"{trend['grow']} last grew, {trend['shrink']} last shrank, {trend['stable']} unchanged for "
            f"{thresholds.STABLE_EPOCHS} epochs, {trend['fossilized']} fossilized",
        ),
        ("Thrash", "shape: the band of the reversal rate; colour: its indicator"),
        (
            "Rate, Pairs",
            "share of reversals among pairs of consecutive ops, over the whole run; pairs counted",
        ),
        ("Verdict", "the judgement on the slot, as everywhere in Karn:"),
        ("Free rate", "the same where the second op could have gone either way; a coin flip gives 0.5"),
        ("Undone", f"share of ops that the next one reversed within {thresholds.UNDO_EPOCHS} epochs"),
        ("Changed", "episode and epoch of the last change"),
        ("dim row", "fossilized, or of an episode that is over"),
        (f"{glyphs.folded} rank 0: ...", "slots that need no look; Enter unfolds them"),
    ]


def _keys(commands: Iterable[Command], glyphs: Glyphs) -> Table:
    return _pairs((shown_keys(command, glyphs), command.help) for command in commands)


def shown_keys(command: Command, glyphs: Glyphs) -> str:
    """A command's keys, as this terminal can show them."""
    return command.shown_keys.translate(_ARROWS) if glyphs.only_ascii else command.shown_keys


def _pairs(rows: Iterable[tuple[str, str]], style: str = "cyan") -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=style, no_wrap=True, min_width=14)
    table.add_column()
    for left, right in rows:
        table.add_row(f"  {left}", right)
    return table


class HelpScreen(Page[None]):
    """The help page."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(HELP_COMMANDS)

    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__("Sanctum: help", glyphs)

    def compose_body(self) -> ComposeResult:
        """The page."""
        yield Static(help_text(self.glyphs))
