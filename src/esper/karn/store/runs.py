"""One entry per run folder: what it holds, and whether somebody still writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from esper.karn.jsonl.source import writer_lives
from esper.karn.store.eventfile import EventFile
from esper.karn.store.rows import Rows

SILENT_AFTER_S = 60.0
"""A run is called silent after this long without an event, or 10 times its median gap if that is more."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""Before every event."""

STATUSES = {
    "finished": "every process of the run said that it finished",
    "running": "events arrive, or its process has just begun",
    "silent": "no event for long; it may be slow, stopped or on another machine",
    "crashed": "it has not finished and no process writes it any more",
    "empty": "no event yet",
}
"""Every status of a run."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One run folder."""

    run_dir: str
    status: str
    """One of STATUSES."""
    policy: str | None
    task: str | None
    ranks: int
    """Event files, one for each rank that wrote."""
    world_size: int
    """Ranks that the run has, as far as it is known."""
    attempts: int
    """Processes that wrote it one after the other; more than 1 after a resume."""
    events: int
    bad_lines: int
    bytes: int
    unread_bytes: int
    """Written but not yet whole lines, or not yet read."""
    first_event: datetime | None
    last_event: datetime | None
    age_s: float | None
    """Seconds since the last event; None where there is none."""


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the files an answer rests on."""

    at: datetime
    bytes: int
    lines: int
    bad_lines: int
    lag_bytes: int
    """Bytes on disk that the answer does not see."""


_RUN_FACTS = """
    SELECT run_dir, any_value(policy ORDER BY attempt DESC), any_value(task ORDER BY attempt DESC)
    FROM ev.training_started
    GROUP BY run_dir"""
_MEDIAN_GAPS = """
    WITH latest AS (
        SELECT {key} AS name, epoch_us(timestamp) AS micros
        FROM events
        WHERE {key} IN (SELECT unnest($1::VARCHAR[])) AND timestamp IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY timestamp DESC) <= 1000
    ),

    gaps AS (
        SELECT name, micros - lag(micros) OVER (PARTITION BY name ORDER BY micros) AS gap FROM latest
    )

    SELECT name, median(gap) / 1e6 FROM gaps GROUP BY name"""

Select = Callable[[str, Sequence[Any] | None], Rows]


def describe_runs(by_run: Mapping[str, Sequence[EventFile]], select: Select) -> list[RunInfo]:
    """Every run in the order in which they are given.

    Args:
        by_run: the event files of each.
        select: asks the tables.
    """
    facts = {run_dir: (policy, task) for run_dir, policy, task in select(_RUN_FACTS, None).rows}
    unfinished = [run_dir for run_dir, files in by_run.items() if not is_finished(files)]
    gaps = median_gaps("run_dir", unfinished, select)
    infos = []
    for run_dir, files in by_run.items():
        policy, task = facts.get(run_dir, (None, None))
        infos.append(run_info(run_dir, files, policy=policy, task=task, median_gap_s=gaps.get(run_dir)))
    return infos


def run_info(
    run_dir: str,
    files: Sequence[EventFile],
    *,
    policy: str | None,
    task: str | None,
    median_gap_s: float | None,
) -> RunInfo:
    """Describe a run from what was read of its files."""
    states = [file.state for file in files]
    firsts = [state.first_timestamp for state in states if state.first_timestamp is not None]
    lasts = [state.last_timestamp for state in states if state.last_timestamp is not None]
    last = max(lasts, default=None)
    age = None if last is None else max(0.0, (datetime.now(UTC) - last).total_seconds())
    current = current_files(files)
    return RunInfo(
        run_dir=run_dir,
        status=_status(files, age, median_gap_s),
        policy=policy,
        task=task,
        ranks=len(files),
        world_size=current[0].state.world_size or len(current),
        attempts=max((state.attempt for state in states), default=1),
        events=sum(state.events for state in states),
        bad_lines=sum(state.bad_lines for state in states),
        bytes=sum(file.tail.size for file in files),
        unread_bytes=sum(file.unread_bytes for file in files),
        first_event=min(firsts, default=None),
        last_event=last,
        age_s=age,
    )


def median_gaps(
    key: Literal["run_dir", "filename"], names: Sequence[str], select: Select
) -> dict[str, float]:
    """Median seconds between the latest events of some runs or files, by their names."""
    return dict(select(_MEDIAN_GAPS.format(key=key), [names]).rows) if names else {}


def is_finished(files: Sequence[EventFile]) -> bool:
    """Whether every rank of the run said that it finished."""
    current = current_files(files)
    return all(map(is_done, current)) and len(current) == (current[0].state.world_size or len(current))


def is_quiet(age_s: float | None, median_gap_s: float | None) -> bool:
    """Whether who wrote the last event so long ago, None for never, counts as silent."""
    return age_s is None or age_s > max(SILENT_AFTER_S, 10 * (median_gap_s or 0.0))


def current_files(files: Sequence[EventFile]) -> list[EventFile]:
    """The files of the world that trained last: a resume may have more or fewer ranks than before."""
    known = [file for file in files if file.state.world_size is not None]
    newest = max(known, key=lambda file: file.state.last_timestamp or LONG_AGO, default=None)
    if newest is None:
        return list(files)
    return [file for file in known if file.state.world_size == newest.state.world_size]


def is_done(file: EventFile) -> bool:
    """Whether the last process that wrote it said that it finished."""
    return file.state.finished_attempt == file.state.attempt


def _status(files: Sequence[EventFile], age_s: float | None, median_gap_s: float | None) -> str:
    if not any(file.state.events for file in files):
        return "running" if any(writer_lives(file.path, None) for file in files) else "empty"
    if is_finished(files):
        return "finished"
    waiting = [file for file in current_files(files) if not is_done(file)]
    alive = [writer_lives(file.path, file.state.inode) for file in waiting]
    if alive and all(lives is False for lives in alive):
        return "crashed"
    return "silent" if is_quiet(age_s, median_gap_s) else "running"
