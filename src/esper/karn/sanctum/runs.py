"""Which runs there are, which is the latest, and which files a run has."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

from esper.karn.jsonl.ends import NEVER, EndsReader, last_event_of
from esper.karn.jsonl.source import writer_lives
from esper.karn.sanctum.state import RunRow
from esper.karn.sanctum.status import run_status
from esper.karn.settings import ARCHIVE_SUFFIX, find_event_files, rank_of_event_file

_SETTLED_NS = 2_000_000_000
"""A folder's time may be this coarse: one that changed later than that is listed again."""


def event_files(run: Path) -> list[Path]:
    """A run's event files in rank order; none where the folder can't be read."""
    try:
        names = {name.removesuffix(ARCHIVE_SUFFIX) for name in os.listdir(run)}
    except OSError:
        return []
    ranked = [(rank, name) for name in names if (rank := rank_of_event_file(name)) is not None]
    return [run / name for _, name in sorted(ranked)]


class RunFolder:
    """A run's folder, listed only when something was added to it or taken away.

    Args:
        run: the folder; it need not exist yet.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._files: list[Path] = []
        self._settled_at: int | None = None
        """The folder's time when it was listed, where it was old enough to tell of a change."""

    def event_files(self) -> list[Path]:
        """As the function of this name."""
        try:
            changed_at = os.stat(self.run).st_mtime_ns
        except OSError:
            self._files, self._settled_at = [], None
            return []
        if changed_at != self._settled_at:
            self._files = event_files(self.run)
            settled = abs(time.time_ns() - changed_at) > _SETTLED_NS
            self._settled_at = changed_at if settled else None
        return self._files


def newest_run(telemetry_dir: Path, ends: EndsReader | None = None) -> str | None:
    """The run with the newest event, None without a run; one without any event comes last.

    Args:
        telemetry_dir: folder of all runs.
        ends: what is known of their files from before; those that have not changed are not opened.
    """
    reader = EndsReader() if ends is None else ends
    latest = {run: last_event_of(paths, reader) for run, paths in find_event_files(telemetry_dir).items()}
    return max(latest, key=lambda run: (latest[run], run), default=None)


def run_rows(telemetry_dir: Path, now: datetime, ends: EndsReader | None = None) -> list[RunRow]:
    """All runs to choose from, the newest first; only the ends of their files are read.

    Args:
        telemetry_dir: folder of all runs.
        now: UTC, by which a run is running or silent.
        ends: what is known of their files from before.
    """
    reader = EndsReader() if ends is None else ends
    rows = [_row(run, paths, reader, now) for run, paths in find_event_files(telemetry_dir).items()]
    return sorted(rows, key=lambda row: (row.last_event_at or NEVER, row.run_dir), reverse=True)


def _row(run: str, paths: list[Path], reader: EndsReader, now: datetime) -> RunRow:
    known = [
        (rank, path, found) for rank, path in enumerate(paths) if (found := reader.read(path)) is not None
    ]
    files = [found for _, _, found in known]
    last = max((found.last_event_at for found in files if found.last_event_at is not None), default=None)
    status = run_status(
        files={rank for rank, _, _ in known},
        finished_ranks={rank for rank, _, found in known if found.finished},
        world_size=max([len(files), *(found.world_size for found in files)]),
        writers_gone={rank for rank, path, found in known if writer_lives(path, found.inode) is False},
        age_s=(now - last).total_seconds() if last else 0.0 if any(found.size for found in files) else None,
        recent=lambda: sorted(moment for found in files for moment in found.recent),
    )
    return RunRow(run, status, last, sum(found.size for found in files), len(paths))
