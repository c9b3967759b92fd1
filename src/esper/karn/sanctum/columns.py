"""The columns of the level table: what each says of a slot, how wide it is, and which of them fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from rich.cells import cell_len

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.text import STYLES, TREND_STYLES, plain

BAR_CELLS = 8
"""Longest bar; a ladder with more levels is drawn to scale."""
SLOT_CELLS = 16
"""Longest slot name shown."""
BLUEPRINT_CELLS = 12
_DIM = "dim"
_NARROW, _WIDE = 100, 150
"""Table widths up to which, and from which, there is little or much room for a history."""

Cell = tuple[tuple[str, str], ...]
"""Texts with their styles, left to right."""


class Look(NamedTuple):
    """What cells are drawn with."""

    glyphs: Glyphs = UNICODE
    history_cells: int = 8
    with_env: bool = False
    """Whether the slot's cell names the environment, as there is no column for it."""


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


def lay_out(rows: Iterable[SlotRow], width: int, glyphs: Glyphs = UNICODE) -> Layout:
    """The columns that fit, in the order in which they stand.

    Args:
        rows: the slots; names and numbers of environments decide how wide their columns are.
        width: terminal cells that the table may fill.
        glyphs: to draw with.
    """
    history = 8 if width < _NARROW else 16 if width < _WIDE else 24
    look = Look(glyphs, history)
    gap = 1 if width < _NARROW else 2
    wide, env = _needs(rows, look)
    chosen: list[Column] = []
    left = width + gap
    for column in sorted(COLUMNS, key=lambda column: column.need):
        if wide[column.title] == 0:
            continue
        taken = wide[column.title] + gap
        if taken > left and column.need > 0:
            break
        left -= taken
        chosen.append(column)
    if env and all(column.title != "Env" for column in chosen):
        look = look._replace(with_env=True)
        wide["Slot"] = max(4, wide["Slot"] + env + 1)
    columns = tuple(column for column in COLUMNS if column in chosen)
    widths = tuple(wide[column.title] for column in columns)
    return Layout(columns, widths, gap, look)


def _needs(rows: Iterable[SlotRow], look: Look) -> tuple[dict[str, int], int]:
    """Cells that each column takes with these rows, 0 for one that has nothing to say; digits of an env."""
    slot = env = blueprint = bar = level = pairs = grown = shrunk = 0
    some_env = False
    for row in rows:
        state = row.state
        slot = max(slot, cell_len(_slot(row, look)[-1][0]) + 2 * row.pinned)
        if state.env_id is not None:
            env = max(env, state.env_id)
        if state.blueprint_id is not None:
            blueprint = max(blueprint, min(len(state.blueprint_id), BLUEPRINT_CELLS))
        bar = max(bar, min(state.max_level, BAR_CELLS) if state.has_ladder else len(NO_LADDER))
        level = max(level, state.level, state.max_level)
        pairs = max(pairs, state.n_pairs or 0)
        if state.verdict is not None:
            grown = max(grown, state.verdict.grow_count)
            shrunk = max(shrunk, state.verdict.shrink_count)
        some_env = some_env or state.env_id is not None
    wide = {column.title: column.cells for column in COLUMNS}
    wide |= {"Slot": max(4, slot), "Bar": max(3, bar), "History": look.history_cells}
    wide |= {"Level": max(5, 2 * len(str(level)) + 1), "Pairs": max(5, len(f"{pairs:,}"))}
    wide |= {"Ops": max(9, len(f"{grown:,}{shrunk:,}") + 3)}
    env_digits = len(str(env)) if some_env else 0
    wide["Env"] = max(3, env_digits) if some_env else 0
    wide["Blueprint"] = max(9, blueprint) if blueprint else 0
    return wide, env_digits


def is_dim(state: SlotInternalState) -> bool:
    """Whether a row is of a seed whose level can't change any more."""
    return state.fossilized or state.outdated


NO_LADDER = "no ladder"


def column_named(title: str) -> Column:
    """The column of this heading."""
    return next(column for column in COLUMNS if column.title == title)


def _nothing(look: Look) -> Cell:
    return ((look.glyphs.nothing, _DIM),)


def _env(row: SlotRow, _: Look) -> Cell:
    return (("" if row.state.env_id is None else str(row.state.env_id), ""),)


def _slot(row: SlotRow, look: Look) -> Cell:
    name = plain(row.name, SLOT_CELLS, look.glyphs)
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
    cells = min(max_level, BAR_CELLS)
    if cells == 0:
        return ((NO_LADDER, _DIM),)
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
    return ((state.verdict.label.replace("_", " "), STYLES[state.indicator]),)


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
    Column("Slot", 0, "left", 4, _slot),
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
