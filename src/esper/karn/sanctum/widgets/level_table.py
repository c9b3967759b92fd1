"""The table of internal levels, drawn by rich alone, so that ``--once`` needs no terminal UI."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from io import StringIO
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from esper.karn.sanctum.state import SlotInternalState, SlotKey
from esper.karn.sanctum.text import GLYPHS, STYLES, TREND_GLYPHS, TREND_STYLES, plain

BAR_CELLS = 8
"""Longest bar; a ladder with more levels is drawn to scale."""
SLOT_CELLS = 16
"""Longest slot name shown."""
NOTHING = "·"
"""In place of a number that there is not."""
_WIDE = 1000

_DIGITS = re.compile(r"(\d{1,18})")


class PlainTable(Table):
    """A rich Table whose ``str`` is the text that it draws, without colours."""

    def __str__(self) -> str:
        drawn = StringIO()
        Console(file=drawn, width=_WIDE, color_system=None, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


class _Column:
    """A column: its heading, the width of table from which it is shown, and its cell for a state."""

    def __init__(
        self, title: str, from_width: int, justify: str, cell: Callable[[str, SlotInternalState], Text]
    ) -> None:
        self.title = title
        self.from_width = from_width
        self.justify = justify
        self.cell = cell


def level_table(
    states: Iterable[tuple[SlotKey | str, SlotInternalState]], width: int, max_rows: int | None = None
) -> PlainTable:
    """The table, the worst slot first.

    Args:
        states: each with its slot, or its environment and slot.
        width: terminal cells that it may fill; the fewer, the fewer columns.
        max_rows: rows at most; a last line then says how many more there are.
    """
    table = PlainTable(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2 if width >= 60 else 1, 0, 0)
    )
    ordered = sorted(states, key=_worst_first)
    if not ordered:
        table.show_header = False
        table.add_row(Text("no seed yet", "dim"))
        return table
    columns = [column for column in _COLUMNS if column.from_width <= width]
    if all(state.env_id is None for _, state in ordered):
        columns = [column for column in columns if column.title != "Env"]
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True)  # type: ignore[arg-type]
    no_room_for_env = all(column.title != "Env" for column in columns)
    for key, state in islice(ordered, max_rows):
        name = key if isinstance(key, str) else key[1]
        if no_room_for_env and state.env_id is not None:
            name = f"{state.env_id}:{name}"
        dim = state.fossilized or state.outdated
        table.add_row(*(column.cell(name, state) for column in columns), style="dim" if dim else None)
    if max_rows is not None and len(ordered) > max_rows:
        table.caption = f"and {len(ordered) - max_rows:,} more slots, none of them worse"
        table.caption_justify = "left"
    return table


def _worst_first(
    item: tuple[SlotKey | str, SlotInternalState],
) -> tuple[bool, int, float, int, list[tuple[int, str]]]:
    key, state = item
    name = key if isinstance(key, str) else key[1]
    return (
        state.place is None,
        state.place or 0,
        -state.reversal_rate,
        -1 if state.env_id is None else state.env_id,
        # r0c2 comes before r0c10.
        [(int(part), "") if part.isdecimal() else (0, part) for part in _DIGITS.split(name[:200])],
    )


def _nothing() -> Text:
    return Text(NOTHING, "dim")


def _env(_: str, state: SlotInternalState) -> Text:
    return Text("" if state.env_id is None else str(state.env_id))


def _slot(name: str, state: SlotInternalState) -> Text:
    return Text(plain(name, SLOT_CELLS), "cyan")


def _level(_: str, state: SlotInternalState) -> Text:
    return Text(f"{state.level}/{state.max_level}" if state.has_ladder else NOTHING)


def _bar(_: str, state: SlotInternalState) -> Text:
    cells = min(state.max_level, BAR_CELLS)
    if cells == 0:
        return Text("no ladder", "dim")
    filled = min(cells, state.level)
    if state.max_level > cells:
        filled = round(min(state.level / state.max_level, 1) * cells)
        # Neither the first level nor the last but one may look like an end of the ladder.
        filled = min(max(filled, state.level > 0), cells - (state.level < state.max_level))
    return Text.assemble(("█" * filled, "green"), ("░" * (cells - filled), "dim"))


def _trend(_: str, state: SlotInternalState) -> Text:
    if state.fossilized:
        return Text("◇", "dim")
    return Text(TREND_GLYPHS[state.trend], TREND_STYLES[state.trend])


def _thrash(_: str, state: SlotInternalState) -> Text:
    if not state.has_ladder:
        return _nothing()
    return Text(GLYPHS[state.band], STYLES[state.indicator])


def _rate(_: str, state: SlotInternalState) -> Text:
    known = state.n_pairs is None or state.n_pairs > 0
    return Text(f"{state.reversal_rate:.2f}", STYLES[state.indicator]) if known else _nothing()


def _pairs(_: str, state: SlotInternalState) -> Text:
    return _nothing() if state.n_pairs is None or not state.has_ladder else Text(f"{state.n_pairs:,}", "dim")


def _free(_: str, state: SlotInternalState) -> Text:
    verdict = state.verdict
    if verdict is None or verdict.free_reversal_rate is None or verdict.free_low is None:
        return _nothing()
    text = Text(f"{verdict.free_reversal_rate:.2f}")
    return text.append(f" [{verdict.free_low:.2f}, {verdict.free_high:.2f}]", "dim")


def _word(_: str, state: SlotInternalState) -> Text:
    if not state.has_ladder:
        return _nothing()
    if state.verdict is None:
        return Text(state.band.replace("_", " "), "dim")
    return Text(state.verdict.label.replace("_", " "), STYLES[state.indicator])


def _ops(_: str, state: SlotInternalState) -> Text:
    verdict = state.verdict
    return _nothing() if verdict is None else Text(f"{verdict.grow_count}▲ {verdict.shrink_count}▼", "dim")


def _undone(_: str, state: SlotInternalState) -> Text:
    share = None if state.verdict is None else state.verdict.undone_within_5
    return _nothing() if share is None else Text(f"{share:.0%}", "dim")


_COLUMNS = (
    _Column("Env", 30, "right", _env),
    _Column("Slot", 0, "left", _slot),
    _Column("Level", 0, "center", _level),
    _Column("Bar", 34, "left", _bar),
    _Column("Trend", 26, "center", _trend),
    _Column("Thrash", 0, "center", _thrash),
    _Column("Rate", 46, "right", _rate),
    _Column("Pairs", 54, "right", _pairs),
    _Column("Verdict", 72, "left", _word),
    _Column("Free rate [95 %]", 96, "left", _free),
    _Column("Ops", 112, "right", _ops),
    _Column("Undone", 120, "right", _undone),
)
