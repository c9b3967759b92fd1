"""The columns of the level table: what each says of a slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.text import STYLES, TREND_STYLES, label_style, plain, slot_name

BAR_CELLS = 8
"""Longest bar; a ladder with more levels is drawn to scale."""
SLOT_CELLS = 16
"""Longest slot name that another column has to wait for."""
NAME_CELLS = 48
"""Longest slot name shown."""
BLUEPRINT_CELLS = 12
_DIM = "dim"
Cell = tuple[tuple[str, str], ...]
"""Texts with their styles, left to right."""


class Look(NamedTuple):
    """What cells are drawn with."""

    glyphs: Glyphs = UNICODE
    history_cells: int = 8
    with_env: bool = False
    """Whether the slot's cell names the environment, as there is no column for it."""
    bar_cells: int = BAR_CELLS
    no_ladder: bool = True
    """Whether there is room to say that there is no ladder; else there is a sign for it."""
    name_cells: int | None = None
    """Room for a slot's name with its pin, where that is more or less than for a usual one."""


class SlotRow(NamedTuple):
    """A slot to show."""

    key: tuple[int | None, str] | str
    state: SlotInternalState
    pinned: bool = False

    @property
    def name(self) -> str:
        """The slot, without its environment."""
        return self.key if isinstance(self.key, str) else self.key[1]


class Column(NamedTuple):
    """A column.

    Attributes:
        title: its heading.
        need: columns come into a table in this order, as long as there is room.
        justify: where its cells stand.
        cells: terminal cells that it takes at least.
        cell: what it says of a slot.
    """

    title: str
    need: int
    justify: Literal["left", "center", "right"]
    cells: int
    cell: Callable[[SlotRow, Look], Cell]


class Layout(NamedTuple):
    """Columns side by side."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    gap: int
    look: Look


def is_dim(state: SlotInternalState) -> bool:
    """Whether a row is of a seed whose level can't change any more."""
    return state.fossilized or state.outdated


NO_LADDER = "no ladder"
DRAWN = ("Bar", "History")
"""Columns whose cells are drawn in blocks."""


def column_named(title: str) -> Column:
    """The column of this heading."""
    return next(column for column in COLUMNS if column.title == title)


def _nothing(look: Look) -> Cell:
    return ((look.glyphs.nothing, _DIM),)


def _env(row: SlotRow, _: Look) -> Cell:
    return (("" if row.state.env_id is None else str(row.state.env_id), ""),)


def slot_cell(row: SlotRow, look: Look) -> Cell:
    """A slot's name, with a pin before it where it has one."""
    cells = SLOT_CELLS if look.name_cells is None else max(1, look.name_cells - 2 * row.pinned)
    name = slot_name(row.name, min(cells, NAME_CELLS), look.glyphs)
    if look.with_env and row.state.env_id is not None:
        name = f"{row.state.env_id}:{name}"
    slot = (name, "cyan")
    return ((f"{look.glyphs.pinned} ", "yellow"), slot) if row.pinned else (slot,)


def _blueprint(row: SlotRow, look: Look) -> Cell:
    blueprint = row.state.blueprint_id
    return _nothing(look) if blueprint is None else ((plain(blueprint, BLUEPRINT_CELLS, look.glyphs), _DIM),)


def _level(row: SlotRow, look: Look) -> Cell:
    state = row.state
    return ((f"{state.level}/{state.max_level}", ""),) if state.has_ladder else _nothing(look)


def _bar(row: SlotRow, look: Look) -> Cell:
    level, max_level = row.state.level, row.state.max_level
    cells = min(max_level, look.bar_cells)
    if cells == 0:
        return ((NO_LADDER, _DIM),) if look.no_ladder else _nothing(look)
    filled = min(cells, level)
    if max_level > cells:
        filled = round(min(level / max_level, 1) * cells)
        # Neither the first level nor the last but one may look like an end of the ladder.
        filled = min(max(filled, level > 0), cells - (level < max_level))
    full, empty = look.glyphs.bar_full * filled, look.glyphs.bar_empty * (cells - filled)
    return tuple(part for part in ((full, "green"), (empty, _DIM)) if part[0])


def sparkline(levels: tuple[int, ...], max_level: int, cells: int, glyphs: Glyphs) -> str:
    """The latest levels, one cell each, as high as their share of ``max_level``."""
    top = len(glyphs.sparkline) - 1
    return "".join(
        glyphs.sparkline[round(min(max(level / max_level, 0.0), 1.0) * top)] for level in levels[-cells:]
    )


def _history(row: SlotRow, look: Look) -> Cell:
    state = row.state
    if not state.has_ladder or not state.levels:
        return _nothing(look)
    return ((sparkline(state.levels, state.max_level, look.history_cells, look.glyphs), "blue"),)


def _trend(row: SlotRow, look: Look) -> Cell:
    if row.state.fossilized:
        return ((look.glyphs.trends["fossilized"], _DIM),)
    return ((look.glyphs.trends[row.state.trend], TREND_STYLES[row.state.trend]),)


def _thrash(row: SlotRow, look: Look) -> Cell:
    state = row.state
    return ((look.glyphs.bands[state.band], STYLES[state.indicator]),) if state.has_ladder else _nothing(look)


def _rate(row: SlotRow, look: Look) -> Cell:
    state = row.state
    known = state.n_pairs is None or state.n_pairs > 0
    return ((f"{state.reversal_rate:.2f}", STYLES[state.indicator]),) if known else _nothing(look)


def _pairs(row: SlotRow, look: Look) -> Cell:
    state = row.state
    if state.n_pairs is None or not state.has_ladder:
        return _nothing(look)
    return ((f"{state.n_pairs:,}", _DIM),)


def _free(row: SlotRow, look: Look) -> Cell:
    verdict = row.state.verdict
    if verdict is None or verdict.free_reversal_rate is None or verdict.free_low is None:
        return _nothing(look)
    interval = f" [{verdict.free_low:.2f}, {verdict.free_high:.2f}]"
    return (f"{verdict.free_reversal_rate:.2f}", ""), (interval, _DIM)


def _word(row: SlotRow, look: Look) -> Cell:
    state = row.state
    if not state.has_ladder:
        return _nothing(look)
    if state.verdict is None:
        return ((state.band.replace("_", " "), _DIM),)
    return ((state.verdict.label.replace("_", " "), label_style(state.verdict.label, state.indicator)),)


def _ops(row: SlotRow, look: Look) -> Cell:
    verdict = row.state.verdict
    if verdict is None:
        return _nothing(look)
    grow, shrink = look.glyphs.trends["grow"], look.glyphs.trends["shrink"]
    return ((f"{verdict.grow_count:,}{grow} {verdict.shrink_count:,}{shrink}", _DIM),)


def _undone(row: SlotRow, look: Look) -> Cell:
    share = None if row.state.verdict is None else row.state.verdict.undone_within_5
    return _nothing(look) if share is None else ((f"{share:.0%}", _DIM),)


def _changed(row: SlotRow, look: Look) -> Cell:
    state = row.state
    if state.last_change_epoch is None:
        return _nothing(look)
    episode = "" if state.episode_idx is None else f"{state.episode_idx}:"
    return ((f"{episode}{state.last_change_epoch}", _DIM),)


COLUMNS = (
    Column("Env", 3, "right", 3, _env),
    Column("Slot", 0, "left", 4, slot_cell),
    Column("Blueprint", 13, "left", 9, _blueprint),
    Column("Level", 0, "center", 5, _level),
    Column("Bar", 4, "left", 3, _bar),
    Column("History", 6, "left", 8, _history),
    Column("Trend", 2, "center", 5, _trend),
    Column("Thrash", 0, "center", 6, _thrash),
    Column("Rate", 5, "right", 4, _rate),
    Column("Pairs", 8, "right", 5, _pairs),
    Column("Verdict", 7, "left", 17, _word),
    Column("Free rate [95 %]", 9, "left", 17, _free),
    Column("Ops", 10, "right", 9, _ops),
    Column("Undone", 11, "right", 6, _undone),
    Column("Changed", 12, "right", 7, _changed),
)
"""As they stand in a table wide enough for all."""
