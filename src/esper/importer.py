"""``karn import``: a table of levels becomes a run, so that no training code need be touched."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
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
        TelemetryUsageError: on a missing column, a bad value or a row that is there twice; names column
            and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            _check_columns(path, columns)
            rows = [_level_row(path, reader.line_num, row) for row in reader]
    except OSError as error:
        raise TelemetryFileError(f"can't read {path}: {error.strerror}; give a CSV file") from None
    except UnicodeDecodeError:
        raise TelemetryFileError(f"can't read {path}: it is not UTF-8; save the CSV file as UTF-8") from None
    except csv.Error as error:
        raise TelemetryFileError(f"can't read {path}:{reader.line_num}: {error}; give a CSV file") from None
    if not rows:
        raise TelemetryUsageError(f"{path.name} has a header and no rows")
    _check_unique(path, rows)
    return rows


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise TelemetryUsageError(
            f"{path.name} has no column {', '.join(missing)}; its first line must name "
            f"{', '.join(REQUIRED)}, and may name {', '.join(OPTIONAL)}, with commas between"
        )
    for name in (*REQUIRED, *OPTIONAL):
        if columns.count(name) > 1:
            raise TelemetryUsageError(f"{path.name} has the column {name} twice")


def _level_row(path: Path, line: int, row: dict[str, Any]) -> LevelRow:
    place = f"{path.name}:{line}"
    if None in row:
        raise TelemetryUsageError(f"{place}: more values than the first line has columns")

    def whole(name: str) -> int:
        text = (row[name] or "").strip()
        try:
            value = float(text)
            number = int(value) if value.is_integer() and abs(value) < 2**53 else int(text)
        except (ValueError, OverflowError):
            raise TelemetryUsageError(f"{place}: {name} is {text[:40]!r}, not a whole number") from None
        if not 0 <= number < 2**31:
            raise TelemetryUsageError(f"{place}: {name} is {text[:40]}; it counts from 0 to {2**31 - 1}")
        return number

    def fraction(name: str) -> float | None:
        text = (row.get(name) or "").strip()
        try:
            return float(text) if text else None
        except ValueError:
            raise TelemetryUsageError(f"{place}: {name} is {text[:40]!r}, not a number") from None

    level, max_level = whole("level"), whole("max_level")
    if level > max_level:
        raise TelemetryUsageError(
            f"{place}: level {level} of max_level {max_level}: it must be 0 to max_level"
        )
    slot = (row["slot"] or "").strip()
    if not slot:
        raise TelemetryUsageError(f"{place}: slot is empty; give the slot's name, for example r0c0")
    return LevelRow(
        line=line,
        env=whole("env"),
        slot=slot,
        episode=whole("episode"),
        epoch=whole("epoch"),
        level=level,
        max_level=max_level,
        loss=fraction("loss"),
        accuracy=fraction("accuracy"),
    )


def _check_unique(path: Path, rows: Iterable[LevelRow]) -> None:
    seen: dict[tuple[int, str, int, int], int] = {}
    for row in rows:
        first = seen.setdefault((row.env, row.slot, row.episode, row.epoch), row.line)
        if first != row.line:
            raise TelemetryUsageError(
                f"{path.name}:{row.line}: env {row.env} slot {row.slot} episode {row.episode} epoch "
                f"{row.epoch} was on line {first} already; a slot has one level after an epoch"
            )


def import_levels(path: Path, telemetry_dir: Path, run_dir: str) -> Imported:
    """Write the run that a table of levels describes; it appears whole or not at all.

    Args:
        path: CSV with the columns REQUIRED; one row for each environment, slot, episode and epoch, or
            only for those in which the level changed.
        telemetry_dir: folder of all runs.
        run_dir: the new run's folder name.

    Raises:
        TelemetryUsageError: if the table is not as it must be, or the run exists; nothing is written.
        TelemetryFileError: if the table can't be read, or the run not be written.
    """
    rows = sorted(read_levels(path), key=lambda row: (row.env, row.episode, row.epoch))
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
