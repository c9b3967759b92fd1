"""Whether a run is still going on. Pure: what is known in, one word out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median

SILENT_AFTER_S = 60.0
"""Seconds without an event before a run can be called silent."""
SILENT_AFTER_GAPS = 10
"""A run with rare events is silent after this many of its median gaps."""


def run_status(
    *,
    files: set[int],
    finished_ranks: set[int],
    world_size: int,
    writers_gone: set[int],
    age_s: float | None,
    recent: Callable[[], Sequence[datetime]],
) -> str:
    """waiting (no file), empty (no event), finished, crashed, running or silent.

    Args:
        files: ranks that have a file.
        finished_ranks: those that wrote TRAINING_FINISHED.
        world_size: ranks that the run should have.
        writers_gone: those whose writing process is known to have ended.
        age_s: seconds since the last event, None without one.
        recent: gives the times of the latest events, in order. Asked for only when it matters, since
            it means reading them again.
    """
    if not files:
        return "waiting"
    if age_s is None:
        return "empty"
    unfinished = files - finished_ranks
    if not unfinished and len(files) == world_size:
        return "finished"
    if unfinished and unfinished <= writers_gone:
        return "crashed"
    if age_s <= SILENT_AFTER_S:
        return "running"
    return "silent" if age_s > SILENT_AFTER_GAPS * (median_gap_s(recent()) or 0.0) else "running"


def median_gap_s(moments: Sequence[datetime]) -> float | None:
    """Median of the seconds between moments, None with fewer than two; a clock set back counts as 0."""
    gaps = [max(0.0, (after - before).total_seconds()) for before, after in pairwise(moments)]
    return median(gaps) if gaps else None
