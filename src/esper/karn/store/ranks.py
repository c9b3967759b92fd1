"""The processes of a run that have not finished: which went silent, when, and how far behind the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from esper.karn.jsonl.source import writer_lives
from esper.karn.store.eventfile import EventFile
from esper.karn.store.runs import LONG_AGO, Select, current_files, is_done, is_quiet, median_gaps
from esper.karn.textout import clean, counted

MOST_NAMED = 8
"""Ranks that are named one by one; of a thousand, the first to fall silent tell the most."""

_PROGRESS = """
    SELECT filename, count(DISTINCT (episode_idx, epoch)), max({'episode': episode_idx, 'epoch': epoch})
    FROM ev.epoch_completed
    WHERE run_dir = $1 AND epoch IS NOT NULL
    GROUP BY filename"""
_FAILURES = """
    SELECT filename, attempt, max_by(reason, file_offset)
    FROM ev.training_failed
    WHERE run_dir = $1
    GROUP BY filename, attempt"""


class QuietRank(msgspec.Struct, frozen=True, kw_only=True):
    """One event file of a run that has not finished, which one process after another has written."""

    rank: int
    filename: str
    failed: str | None
    """The error for which its last process gave up; None where it said nothing, as one that was killed."""
    writer_lives: bool | None
    """Whether some process holds it to write; None where that can't be known."""
    last_event: datetime | None
    age_s: float | None
    episode_idx: int | None
    """Of the last epoch that it recorded."""
    epoch: int | None
    behind_epochs: int
    """Epochs, over all episodes, that the rank furthest ahead has recorded more."""
    behind_s: float | None
    """Seconds from its last event to the run's last; None where it has none."""


def quiet_ranks(files: Sequence[EventFile], select: Select) -> list[QuietRank]:
    """The ranks of a run that have not finished and write no more, or not for long.

    Those that said nothing come before those that said why they end, the first to fall silent first.

    Args:
        files: the run's.
        select: asks the tables.
    """
    world = _world(files)
    waiting = [file for file in world if not is_done(file)]
    if not waiting:
        return []
    run_dir = waiting[0].run_dir
    progress = {name: (count, last) for name, count, last in select(_PROGRESS, [run_dir]).rows}
    failures = {(name, attempt): reason for name, attempt, reason in select(_FAILURES, [run_dir]).rows}
    gaps = median_gaps("filename", [file.filename for file in waiting], select)
    furthest = max((count for count, _ in progress.values()), default=0)
    newest = max((file.state.last_timestamp or LONG_AGO for file in world), default=LONG_AGO)
    ranks = []
    for file in waiting:
        count, moment = progress.get(file.filename, (0, None))
        last = file.state.last_timestamp
        age = None if last is None else max(0.0, (datetime.now(UTC) - last).total_seconds())
        lives = writer_lives(file.path, file.state.inode)
        begins = lives is True and last is None
        if lives is False or (is_quiet(age, gaps.get(file.filename)) and not begins):
            ranks.append(
                QuietRank(
                    rank=file.rank,
                    filename=file.filename,
                    failed=failures.get((file.filename, file.state.attempt)),
                    writer_lives=lives,
                    last_event=last,
                    age_s=age,
                    episode_idx=None if moment is None else moment["episode"],
                    epoch=None if moment is None else moment["epoch"],
                    behind_epochs=furthest - count,
                    behind_s=None if last is None else (newest - last).total_seconds(),
                )
            )
    return sorted(ranks, key=lambda rank: (rank.failed is not None, rank.last_event or LONG_AGO, rank.rank))


def ranks_text(ranks: Sequence[QuietRank], files: Sequence[EventFile]) -> list[str]:
    """A line for each quiet rank, and one for those without a file.

    Args:
        ranks: the quiet ones, in their order.
        files: the run's.
    """
    lines = [_rank_text(rank) for rank in ranks[:MOST_NAMED]]
    if len(ranks) > MOST_NAMED:
        lines.append(f"so have {len(ranks) - MOST_NAMED} more ranks")
    there = {file.rank for file in _world(files)}
    size = max((file.state.world_size or 0 for file in current_files(files)), default=0)
    absent = [str(rank) for rank in range(size) if rank not in there]
    if absent:
        shown = ", ".join(absent[:MOST_NAMED]) + (", ..." if len(absent) > MOST_NAMED else "")
        lines.append(
            f"{len(absent)} of {size} ranks have written no file: rank{'s' * (len(absent) > 1)} {shown}"
        )
    return lines


def _world(files: Sequence[EventFile]) -> list[EventFile]:
    """The files of the world that trained last, and those that don't say which world was theirs."""
    current = current_files(files)
    return [file for file in files if file in current or file.state.world_size is None]


def _rank_text(rank: QuietRank) -> str:
    where = "" if rank.epoch is None else f", after {_moment(rank)}"
    when = "with no event yet" if rank.last_event is None else f"at {rank.last_event:%Y-%m-%d %H:%M:%S} UTC"
    if rank.failed is not None:
        return f"rank {rank.rank}: gave up {when}{where}: {clean(rank.failed)}"
    silent = f"rank {rank.rank}: not finished, fell silent {when}{where}"
    if rank.writer_lives is False:
        silent += "; its writer is gone"
    elif rank.last_event is not None:
        silent += "; its last event is old"
    return silent + _behind(rank)


def _moment(rank: QuietRank) -> str:
    if rank.episode_idx is None:
        return f"epoch {rank.epoch}"
    return f"episode {rank.episode_idx} epoch {rank.epoch}"


def _behind(rank: QuietRank) -> str:
    parts = []
    if rank.behind_epochs > 0:
        parts.append(counted(rank.behind_epochs, "epoch"))
    if rank.behind_s is not None and rank.behind_s >= 1:
        parts.append(_span(rank.behind_s))
    return f", {' and '.join(parts)} behind the others" if parts else ""


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
