"""Which columns of the level table fit, and how wide each is."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich.cells import cell_len

from esper.karn.sanctum.columns import (
    BAR_CELLS,
    BLUEPRINT_CELLS,
    COLUMNS,
    NAME_CELLS,
    NO_LADDER,
    SLOT_CELLS,
    Column,
    Layout,
    Look,
    SlotRow,
    slot_cell,
)
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.text import slot_name

_SHORT_LEVEL = "Lvl"
_LEAST_SLOT = 8
"""Cells below which no slot's name is cut."""
_MORE_HISTORY = (8, 16)
"""Cells that a history gets beyond its least, where they are left over."""


def lay_out(
    rows: Collection[SlotRow], width: int, glyphs: Glyphs = UNICODE, *, least_bar: int = BAR_CELLS
) -> Layout:
    """The columns that fit, in the order in which they stand; a wider table never has fewer.

    Args:
        rows: the slots; names and numbers of environments decide how wide their columns are.
        width: terminal cells that the table may fill.
        glyphs: to draw with.
        least_bar: cells of the longest bar where the room is needed for another column.
    """
    look = Look(glyphs, bar_cells=least_bar, no_ladder=False)
    wide, env, bar, level = _needs(rows, look)
    chosen: list[Column] = []
    named = env + 1 if env else 0  # the environment stands before the slot's name until it has a column
    left = width + 1 - named
    for column in sorted(COLUMNS, key=lambda column: column.need):
        if wide[column.title] == 0:
            continue
        room = left + (named if column.title == "Env" else 0)
        taken = wide[column.title] + 1
        if taken > room and column.need > 0:
            break
        left = room - taken
        chosen.append(column)
    if env and all(column.title != "Env" for column in chosen):
        look = look._replace(with_env=True)
        wide["Slot"] += named
    titles = {column.title for column in chosen}
    if left < 0:
        left, look = _squeeze(left, wide, look, level, env)
    # What is left makes it easier to read: another column is worth more than that.
    if "Bar" in titles:
        left, look = _lengthen_bar(left, wide, look, bar)
    left, look = _lengthen_names(rows, left, wide, look, env)
    gap = 1
    if left >= len(chosen) - 1:
        left, gap = left - (len(chosen) - 1), 2
    if "History" in titles:
        more = max((cells for cells in _MORE_HISTORY if cells <= left), default=0)
        look = look._replace(history_cells=look.history_cells + more)
        wide["History"] += more
    columns = [column for column in COLUMNS if column in chosen]
    widths = tuple(wide[column.title] for column in columns)
    headed = (
        column._replace(title=_SHORT_LEVEL) if column.title == "Level" and wide["Level"] < 5 else column
        for column in columns
    )
    return Layout(tuple(headed), widths, gap, look)


def _squeeze(left: int, wide: dict[str, int], look: Look, level: int, env: int) -> tuple[int, Look]:
    """Make room in a table that is too narrow even for the columns that are always there."""
    short = max(len(_SHORT_LEVEL), level)
    if short < wide["Level"]:
        left, wide["Level"] = left + wide["Level"] - short, short
    if left < 0:
        cells = max(min(_LEAST_SLOT, wide["Slot"]), wide["Slot"] + left)
        left, wide["Slot"] = left + wide["Slot"] - cells, cells
        look = look._replace(name_cells=cells - (env + 1 if look.with_env else 0))
    return left, look


def _lengthen_bar(left: int, wide: dict[str, int], look: Look, bar: int) -> tuple[int, Look]:
    """Give the bar what it needs of what is left: ``bar`` cells, or those of the word for none."""
    more = min(max(left, 0), max(bar - wide["Bar"], 0))
    left, wide["Bar"] = left - more, wide["Bar"] + more
    fits = wide["Bar"] >= len(NO_LADDER)
    return left, look._replace(bar_cells=min(BAR_CELLS, wide["Bar"]), no_ladder=fits)


def _lengthen_names(
    rows: Iterable[SlotRow], left: int, wide: dict[str, int], look: Look, env: int
) -> tuple[int, Look]:
    """Give the names that were cut what they need of what is left."""
    named = env + 1 if look.with_env else 0
    cells = wide["Slot"] - named
    if left <= 0 or cells < SLOT_CELLS:
        return left, look
    needed = (cell_len(slot_name(row.name, NAME_CELLS)) + 2 * row.pinned for row in rows)
    more = min(left, max(max(needed, default=0) - cells, 0))
    if more == 0:
        return left, look
    wide["Slot"] += more
    return left - more, look._replace(name_cells=cells + more)


def _needs(rows: Iterable[SlotRow], look: Look) -> tuple[dict[str, int], int, int, int]:
    """What the columns need with these rows.

    Returns:
        The cells that each column takes at least, 0 for one that has nothing to say; the digits of an
        environment; the cells of a bar of full length, or of the word for none; those of the longest level.
    """
    slot = env = blueprint = bar = level = pairs = grown = shrunk = 0
    some_env = False
    for row in rows:
        state = row.state
        slot = max(slot, cell_len(slot_cell(row, look)[-1][0]) + 2 * row.pinned)
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
    level_cells = 2 * len(str(level)) + 1
    wide |= {"Slot": max(4, slot), "Bar": max(3, min(bar, look.bar_cells)), "History": look.history_cells}
    wide |= {"Level": max(5, level_cells), "Pairs": max(5, len(f"{pairs:,}"))}
    wide |= {"Ops": max(9, len(f"{grown:,}{shrunk:,}") + 3)}
    env_digits = len(str(env)) if some_env else 0
    wide["Env"] = max(3, env_digits) if some_env else 0
    wide["Blueprint"] = max(9, blueprint) if blueprint else 0
    return wide, env_digits, bar, level_cells
