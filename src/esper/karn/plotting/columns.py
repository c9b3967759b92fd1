"""Levels over stretches of epochs, for where single epochs are too many to show."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from esper.karn.plotting.curves import Episode, SlotLevels


class Column(msgspec.Struct, kw_only=True):
    """One stretch of epochs of one slot."""

    start: int
    length: int
    """In epochs."""
    mean: float | None = None
    """Of the level over time; None where no seed with levels was there."""
    lowest: int | None = None
    highest: int | None = None
    reversals: int = 0
    since: bool = False
    """Whether the thrashing begins here."""


def columns(slot: SlotLevels, width: int, separated: int) -> list[list[Column]]:
    """Stretches of equal length, shorter only where a group ends.

    Args:
        slot: the slot.
        width: columns at most, or as many as there are groups.
        separated: each episode is a group of its own up to this many; more of them are one group.

    Returns:
        The groups in order.
    """
    end = slot.end
    whole = slot.episodes if len(slot.episodes) <= separated else [Episode(0, end)]
    length = max(1, -(-end // width))
    while length < end and sum(-(-episode.length // length) for episode in whole) > width:
        length += 1
    groups = [
        [
            Column(start=episode.start + offset, length=min(length, episode.length - offset))
            for offset in range(0, episode.length, length)
        ]
        for episode in whole
    ]
    flat = [column for group in groups for column in group]
    starts = [column.start for column in flat]
    _take_levels(slot, flat, starts)
    for reversal in slot.reversals:
        flat[_place(starts, reversal.x)].reversals += 1
    if slot.since is not None:
        flat[_place(starts, slot.since)].since = True
    return groups


def _place(starts: Sequence[int], x: int) -> int:
    """Which column holds the epoch that begins at ``x``."""
    return max(0, bisect_right(starts, x) - 1)


def _take_levels(slot: SlotLevels, flat: Sequence[Column], starts: Sequence[int]) -> None:
    weights, sums = [0] * len(flat), [0] * len(flat)
    for start, end, level in slot.spans():
        for place in range(_place(starts, start), len(flat)):
            column = flat[place]
            if column.start >= end:
                break
            overlap = min(end, column.start + column.length) - max(start, column.start)
            sums[place] += level * overlap
            weights[place] += overlap
            column.lowest = level if column.lowest is None else min(column.lowest, level)
            column.highest = level if column.highest is None else max(column.highest, level)
    for column, total, weight in zip(flat, sums, weights, strict=True):
        column.mean = total / weight if weight else None
