"""``karn import``: a table of levels becomes a run, so that no training code need be touched."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from esper.karn.collector import TelemetryCollector
from esper.karn.textout import counted
from esper.level_table import LevelRow, read_levels
from esper.leyline.actions import LifecycleOp, SeedInternalKind
from esper.leyline.errors import TelemetryFileError, TelemetryUsageError
from esper.leyline.events import TelemetryEventType
from esper.leyline.payloads import (
    EpochCompletedPayload,
    InternalOpMetricsPayload,
    SeedGerminatedPayload,
    SeedInternalLevelChangedPayload,
    TrainingFinishedPayload,
    TrainingStartedPayload,
)
from esper.simic.training.internal_op_tracker import InternalOpTracker

_log = logging.getLogger("karn")


class Imported(msgspec.Struct, frozen=True):
    """What an import wrote."""

    run_dir: str
    rows: int
    level_changes: int
    envs: int

    def summary(self) -> str:
        """The line for its user."""
        return (
            f"{counted(self.rows, 'row')}, {counted(self.envs, 'environment')}, "
            f"{counted(self.level_changes, 'level change')}: run {self.run_dir}"
        )


def import_levels(path: Path, telemetry_dir: Path, run_dir: str) -> Imported:
    """Write the run that a table of levels describes; it appears whole or not at all.

    What the table's owner should know (columns that were ignored, epochs without rows) is logged.

    Args:
        path: CSV with the columns REQUIRED; one row for each environment, slot, episode and epoch. Rows
            only for epochs in which a level changed make a run too, but nothing tells then how long
            levels were left alone, and its verdict is another one.
        telemetry_dir: folder of all runs.
        run_dir: the new run's folder name.

    Raises:
        TelemetryUsageError: if the table is not as it must be, or the run exists; nothing is written.
        TelemetryFileError: if the table can't be read, or the run not be written.
    """
    table = read_levels(path)
    rows = table.rows
    target = telemetry_dir / run_dir
    if os.path.lexists(target):
        raise TelemetryUsageError(f"run {run_dir!r} exists already; choose another name with --run-dir")
    try:
        telemetry_dir.mkdir(parents=True, exist_ok=True)
        # A folder deeper than a run's is no run to any reader.
        with TemporaryDirectory(prefix=".import-", dir=telemetry_dir) as staging:
            changes = _write_run(rows, Path(staging), run_dir, task=path.name)
            os.rename(Path(staging) / run_dir, target)
    except OSError as error:
        raise TelemetryFileError(f"can't write {target}: {error.strerror}") from None
    for note in table.notes:
        _log.warning("%s: %s", path.name, note)
    return Imported(
        run_dir=run_dir, rows=len(rows), level_changes=changes, envs=len({row.env for row in rows})
    )


def _write_run(rows: Sequence[LevelRow], folder: Path, run_dir: str, *, task: str) -> int:
    """Write the run and return how many levels changed.

    Raises:
        TelemetryFileError: if not every event could be written.
    """
    envs = max(row.env for row in rows) + 1
    with TelemetryCollector(folder, run_dir, envs_per_rank=envs) as collector:
        n_envs = len({row.env for row in rows})
        started = TrainingStartedPayload(task=task, policy="imported", n_envs=n_envs)
        collector.emit(TelemetryEventType.TRAINING_STARTED, started)
        changes = sum(
            _Environment(collector, env).write(list(own))
            for env, own in groupby(rows, key=lambda row: row.env)
        )
        collector.emit(TelemetryEventType.TRAINING_FINISHED, TrainingFinishedPayload())
        if collector.dropped:
            raise TelemetryFileError(f"{collector.dropped} events could not be written; is the disk full?")
    return changes


class _Environment:
    """Writes the events of one environment, in order of episode and epoch."""

    def __init__(self, collector: TelemetryCollector, env: int) -> None:
        self._sink = collector.for_env(env)
        self._tracker = InternalOpTracker()
        self._levels: dict[str, int] = {}
        self._episode: int | None = None

    def write(self, rows: Iterable[LevelRow]) -> int:
        """Write all rows and return how many levels changed."""
        changes = 0
        last: LevelRow | None = None
        for row in rows:
            if last is not None and (last.episode, last.epoch) != (row.episode, row.epoch):
                self._epoch_end(last)
            if row.episode != self._episode:
                self._tracker.reset()
                self._levels.clear()
                self._episode = row.episode
            changes += self._row(row)
            last = row
        if last is not None:
            self._epoch_end(last)
        return changes

    def _row(self, row: LevelRow) -> bool:
        seed_id = f"ep{row.episode}-{row.slot}"
        before = self._levels.get(row.slot)
        self._levels[row.slot] = row.level
        if before is None:
            germinated = SeedGerminatedPayload(
                slot_id=row.slot,
                episode_idx=row.episode,
                internal_kind=SeedInternalKind.CONV_LADDER,
                level=row.level,
                max_level=row.max_level,
            )
            self._emit(TelemetryEventType.SEED_GERMINATED, germinated, row, seed_id)
            return False
        if before == row.level:
            return False
        changed = SeedInternalLevelChangedPayload(
            slot_id=row.slot,
            from_level=before,
            to_level=row.level,
            max_level=row.max_level,
            episode_idx=row.episode,
            internal_kind=SeedInternalKind.CONV_LADDER,
        )
        op = LifecycleOp.from_levels(before, row.level)
        metrics = self._tracker.record_internal_op(row.slot, op, before, row.level, epoch=row.epoch)
        self._emit(TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED, changed, row, seed_id)
        self._emit(
            TelemetryEventType.INTERNAL_OP_METRICS,
            InternalOpMetricsPayload(slot_id=row.slot, episode_idx=row.episode, **metrics),  # type: ignore[arg-type]
            row,
            seed_id,
        )
        return True

    def _epoch_end(self, row: LevelRow) -> None:
        payload = EpochCompletedPayload(
            episode_idx=row.episode, inner_epoch=row.epoch, loss=row.loss, accuracy=row.accuracy
        )
        self._sink.emit(TelemetryEventType.EPOCH_COMPLETED, payload, epoch=row.epoch)

    def _emit(self, event_type: TelemetryEventType, payload: Any, row: LevelRow, seed_id: str) -> None:
        self._sink.emit(event_type, payload, slot_id=row.slot, seed_id=seed_id, epoch=row.epoch)
