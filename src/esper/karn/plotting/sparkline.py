"""Levels over epochs as text that suffices without a picture."""

from __future__ import annotations

from esper.karn.diagnosis import slot_name
from esper.karn.plotting.columns import Column, columns
from esper.karn.plotting.curves import RunLevels, SlotLevels
from esper.karn.textout import clean

WIDTH = 96
"""Columns at most, beside the bars between episodes."""
SEPARATED_EPISODES = 16
"""Up to so many episodes each begins after a bar; more lie side by side without one."""
BLOCKS = "▁▂▃▄▅▆▇█"
LEGEND = (
    "height: mean level of a column, ▁ 0 to █ the highest; · no seed with levels; | a new episode; "
    "below: reversals in the column (of one longer than 9 epochs: tenths of its epochs; + above 9), "
    "S since when it thrashes"
)


def sparkline_text(levels: RunLevels) -> str:
    """Three lines for each slot: its numbers, its levels, its reversals."""
    lines = [
        f"run {clean(levels.run_dir)} ({levels.status}): {levels.label.upper()}; level over epochs, "
        f"{len(levels.slots)} of {levels.n_slots} slots with an internal op, worst first"
    ]
    if levels.slots:
        lines.append(LEGEND)
    for slot in levels.slots:
        lines += _slot_lines(slot)
    return "\n".join([*lines, *[f"note: {clean(note)}" for note in levels.notes]])


def _slot_lines(slot: SlotLevels) -> list[str]:
    groups = columns(slot, WIDTH, SEPARATED_EPISODES)
    heights = "|".join("".join(_block(column, slot.max_level) for column in group) for group in groups)
    marks = " ".join("".join(_mark(column) for column in group) for group in groups).rstrip()
    since = f" since {slot.since_text}" if slot.since_text is not None else ""
    epochs = groups[0][0].length
    return [
        f"{slot_name(slot.env_id, slot.slot_id)}: {slot.label}{since}; {slot.n_ops} ops, {slot.n_reversals} "
        f"of {slot.n_pairs} pairs reversed; levels 0 to {slot.max_level}; a column is "
        f"{epochs} epoch{'' if epochs == 1 else 's'}",
        f"  {heights}",
        f"  {marks}" if marks else "  no reversal",
    ]


def _block(column: Column, max_level: int) -> str:
    if column.mean is None:
        return "·"
    share = column.mean / max_level if max_level else 0.0
    return BLOCKS[round(share * (len(BLOCKS) - 1))]


def _mark(column: Column) -> str:
    if column.since:
        return "S"
    if not column.reversals:
        return " "
    # A long column's count would tell no more than that there were many.
    count = column.reversals if column.length <= 9 else round(10 * column.reversals / column.length)
    return "+" if count > 9 else str(count)
