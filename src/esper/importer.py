"""``karn import``: a table of levels becomes a run, so that no training code need be touched."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from esper.karn.collector import TelemetryCollector
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

REQUIRED = ("env", "slot", "episode", "epoch", "level", "max_level")
"""Columns that the table must have."""
OPTIONAL = ("loss", "accuracy")
"""Columns that are taken if they are there: validation loss, and accuracy as a fraction."""


class LevelRow(msgspec.Struct, frozen=True):
    """A slot's level after an epoch."""

    line: int
    env: int
    slot: str
    episode: int
    epoch: int
    level: int
    max_level: int
    loss: float | None
    accuracy: float | None


class Imported(msgspec.Struct, frozen=True):
    """What an import wrote."""

    run_dir: str
    rows: int
    level_changes: int
    envs: int


def read_levels(path: Path) -> list[LevelRow]:
    """Read and check the whole table before anything is written.

    Raises:
        TelemetryFileError: if it can't be read.
        TelemetryUsageError: on a missing column or a bad value; names column and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
            if missing:
                raise TelemetryUsageError(
                    f"{path.name} has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)} "
                    f"and may have {', '.join(OPTIONAL)}"
                )
            rows = [_level_row(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TelemetryFileError(f"can't read {path}: {error}; give a CSV file in UTF-8") from None
    if not rows:
        raise TelemetryUsageError(f"{path.name} has a header and no rows")
    return rows


def _level_row(path: Path, line: int, row: dict[str, Any]) -> LevelRow:
    def number(name: str, kind: type) -> Any:
        text = (row.get(name) or "").strip()
        if not text and name in OPTIONAL:
            return None
        try:
            return kind(text)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise TelemetryUsageError(f"{path.name}:{line}: {name} is {text!r}, not {wanted}") from None

    level, max_level = number("level", int), number("max_level", int)
    if not 0 <= level <= max_level:
        raise TelemetryUsageError(
            f"{path.name}:{line}: level {level} of max_level {max_level}: it must be 0 to max_level"
        )
    env = number("env", int)
    if env < 0:
        raise TelemetryUsageError(f"{path.name}:{line}: env is {env}; environments count from 0")
    return LevelRow(
        line=line,
        env=env,
        slot=(row["slot"] or "").strip(),
        episode=number("episode", int),
        epoch=number("epoch", int),
        level=level,
        max_level=max_level,
        loss=number("loss", float),
        accuracy=number("accuracy", float),
    )


def import_levels(path: Path, telemetry_dir: Path, run_dir: str) -> Imported:
    """Write the run that a table of levels describes.

    Args:
        path: CSV with the columns REQUIRED; one row for each environment, slot, episode and epoch, or
            only for those in which the level changed.
        telemetry_dir: folder of all runs.
        run_dir: the new run's folder name.

    Raises:
        TelemetryUsageError: if the table is not as it must be, or the run exists; nothing is written.
    """
    rows = sorted(read_levels(path), key=lambda row: (row.env, row.episode, row.epoch))
    if (telemetry_dir / run_dir).exists():
        raise TelemetryUsageError(f"run {run_dir!r} exists already; choose another name with --run-dir")
    envs = max(row.env for row in rows) + 1
    with TelemetryCollector(telemetry_dir, run_dir, envs_per_rank=envs) as collector:
        started = TrainingStartedPayload(task=path.name, policy="imported", n_envs=envs)
        collector.emit(TelemetryEventType.TRAINING_STARTED, started)
        changes = sum(
            _Environment(collector, env).write([row for row in rows if row.env == env])
            for env in sorted({row.env for row in rows})
        )
        collector.emit(TelemetryEventType.TRAINING_FINISHED, TrainingFinishedPayload())
    return Imported(
        run_dir=run_dir, rows=len(rows), level_changes=changes, envs=len({row.env for row in rows})
    )


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
