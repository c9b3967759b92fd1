"""A table of levels, read and checked as a whole before anything is written of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from esper.karn.textout import clean, counted
from esper.leyline.errors import TelemetryFileError, TelemetryUsageError

__all__ = ["OPTIONAL", "REQUIRED", "LevelRow", "LevelTable", "read_levels"]

REQUIRED = ("env", "slot", "episode", "epoch", "level", "max_level")
"""Columns that the table must have."""
OPTIONAL = ("loss", "accuracy")
"""Columns that are taken if they are there: validation loss, and accuracy as a fraction."""
MAX_NAMED = 10
"""Ignored columns that are named."""
DUST = 1e-6
"""How far beyond 0 or 1 rounding may carry an accuracy."""


class LevelRow(msgspec.Struct, frozen=True):
    """A slot's level after an epoch; ``loss`` and ``accuracy`` are the epoch's, from any of its rows."""

    line: int
    env: int
    slot: str
    episode: int
    epoch: int
    level: int
    max_level: int
    loss: float | None
    accuracy: float | None


class LevelTable(msgspec.Struct, frozen=True):
    """A checked table."""

    rows: list[LevelRow]
    """In order of environment, episode and epoch."""
    notes: list[str]
    """What its owner should know: one line each."""


def read_levels(path: Path) -> LevelTable:
    """Read and check the whole table.

    Raises:
        TelemetryFileError: if it can't be read.
        TelemetryUsageError: on a missing column, a bad value, a row that is there twice or one that
            contradicts another; names column and line.
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
    _check_max_level(path, rows)
    rows = sorted(_with_measured(path, rows), key=lambda row: (row.env, row.episode, row.epoch))
    return LevelTable(rows, [*_ignored(columns), *_gaps(rows)])


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise TelemetryUsageError(
            f"{path.name} has no column {', '.join(missing)}; its first line must name "
            f"{', '.join(REQUIRED)}, and may name {', '.join(OPTIONAL)}, with commas between"
            + "".join(f"; {_named(name)}" for name in columns if _meant(name) in missing)
        )
    for name in (*REQUIRED, *OPTIONAL):
        if columns.count(name) > 1:
            raise TelemetryUsageError(f"{path.name} has the column {name} twice")


def _meant(name: str) -> str | None:
    """The known column that a name differs from only by case or spaces around it."""
    known = name.strip().lower()
    return known if known != name and known in (*REQUIRED, *OPTIONAL) else None


def _named(name: str) -> str:
    meant = _meant(name)
    return (clean(name) or "one without a name") + (f" (write it {meant!r})" if meant else "")


def _ignored(columns: Sequence[str]) -> list[str]:
    names = [_named(name) for name in columns if name not in REQUIRED and name not in OPTIONAL]
    more = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return ["ignored columns: " + ", ".join([*names[:MAX_NAMED], *more])] if names else []


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

    def measured(name: str) -> float | None:
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
    accuracy = measured("accuracy")
    if accuracy is not None and (accuracy < -DUST or accuracy > 1 + DUST):
        percent = accuracy if 1 < accuracy <= 100 else 95
        raise TelemetryUsageError(
            f"{place}: accuracy is {accuracy:g}; a fraction from 0 to 1 is wanted "
            f"({percent:g} % -> {percent / 100:g})"
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
        loss=measured("loss"),
        accuracy=accuracy,
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


def _check_max_level(path: Path, rows: Iterable[LevelRow]) -> None:
    first: dict[tuple[int, str, int], LevelRow] = {}
    for row in rows:
        before = first.setdefault((row.env, row.slot, row.episode), row)
        if before.max_level != row.max_level:
            raise TelemetryUsageError(
                f"{path.name}:{row.line}: max_level is {row.max_level} and was {before.max_level} on line "
                f"{before.line}; the seed of env {row.env} slot {row.slot} episode {row.episode} has one "
                "max_level: give another seed another slot name"
            )


def _with_measured(path: Path, rows: Sequence[LevelRow]) -> list[LevelRow]:
    """The rows with the loss and the accuracy of their epoch, which may stand on another slot's row."""
    found: dict[tuple[str, int, int, int], LevelRow] = {}
    for row in rows:
        for name in OPTIONAL:
            value = getattr(row, name)
            if value is None:
                continue
            first = found.setdefault((name, row.env, row.episode, row.epoch), row)
            before = getattr(first, name)
            if before != value and not (math.isnan(before) and math.isnan(value)):
                raise TelemetryUsageError(
                    f"{path.name}:{row.line}: {name} is {value} and was {before} on line {first.line}; "
                    f"env {row.env} episode {row.episode} epoch {row.epoch} has one {name} for all its slots"
                )

    def of_epoch(name: str, row: LevelRow) -> float | None:
        first = found.get((name, row.env, row.episode, row.epoch))
        return None if first is None else getattr(first, name)

    return [
        msgspec.structs.replace(row, loss=of_epoch("loss", row), accuracy=of_epoch("accuracy", row))
        for row in rows
    ]


def _gaps(rows: Iterable[LevelRow]) -> list[str]:
    """One line if an environment has epochs, from an episode's first to its last, without any row."""
    epochs: dict[tuple[int, int], set[int]] = {}
    for row in rows:
        epochs.setdefault((row.env, row.episode), set()).add(row.epoch)
    there = sum(len(some) for some in epochs.values())
    spanned = sum(max(some) - min(some) + 1 for some in epochs.values())
    if there == spanned:
        return []
    return [
        f"rows for {there} of {counted(spanned, 'epoch')}: how long levels were left alone is not known; "
        "give each epoch its row"
    ]
