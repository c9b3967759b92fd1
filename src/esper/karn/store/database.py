"""The store: the event files of a telemetry folder as tables and views, always up to date.

JSONL files are the truth; nothing here is written to disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from esper.karn.settings import find_event_files
from esper.karn.store.eventfile import EventFile
from esper.karn.store.guard import run_guarded
from esper.karn.store.ingest import Ingest
from esper.karn.store.rows import Rows, read_rows
from esper.karn.store.runs import AsOf, RunInfo, is_finished, run_info
from esper.karn.store.schema import create_schema
from esper.karn.store.sqlfile import SqlFile
from esper.karn.store.views import create_views, shipped_views
from esper.leyline.errors import NotFoundError, QueryError, unknown_name

Progress = Callable[[int, int], None]
"""Called with bytes read so far and bytes to read in all."""

_RUN_FACTS = """
    SELECT run_dir, any_value(policy ORDER BY attempt DESC), any_value(task ORDER BY attempt DESC)
    FROM ev.training_started
    GROUP BY run_dir"""
_MEDIAN_GAPS = """
    WITH latest AS (
        SELECT run_dir, epoch_us(timestamp) AS micros
        FROM events
        WHERE run_dir IN (SELECT unnest($1::VARCHAR[])) AND timestamp IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY run_dir ORDER BY timestamp DESC) <= 1000
    ),

    gaps AS (
        SELECT run_dir, micros - lag(micros) OVER (PARTITION BY run_dir ORDER BY micros) AS gap FROM latest
    )

    SELECT run_dir, median(gap) / 1e6 FROM gaps GROUP BY run_dir"""


class Snapshot:
    """Where SQL of ours runs."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def select(self, sql: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Rows:
        """Run SQL of ours and fetch all of it.

        Raises:
            QueryError: if DuckDB refuses it.
        """
        try:
            return read_rows(self._cursor.execute(sql, params))
        except duckdb.Error as error:
            raise QueryError(str(error)) from None


class Store:
    """Tables and views over a telemetry folder. Methods may be called from any thread, one at a time each.

    Args:
        telemetry_dir: folder of all runs; it may be missing, and appear later.
        views: more views than the shipped ones, by name.
        memory_limit: of the database, as DuckDB writes it.
        threads: of the database.
    """

    def __init__(
        self,
        telemetry_dir: Path,
        *,
        views: Mapping[str, SqlFile] | None = None,
        memory_limit: str = "2GB",
        threads: int = 2,
    ) -> None:
        self.telemetry_dir = telemetry_dir
        self.views = {**shipped_views(), **(views or {})}
        self._files: dict[str, EventFile] = {}
        self._lock = threading.Lock()
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "enable_external_access": False,
                "python_enable_replacements": False,
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
                "allow_community_extensions": False,
                "allow_persistent_secrets": False,
                "temp_directory": "",
                "memory_limit": memory_limit,
                "threads": threads,
            },
        )
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        create_schema(self._connection)
        create_views(self._connection, self.views)
        self._connection.execute("SET lock_configuration = true")
        self._ingest = Ingest(self._connection)

    def refresh(self, on_progress: Progress | None = None) -> None:
        """Take in every whole line that is on disk now, and forget files that are gone.

        Args:
            on_progress: told how far it got, for a bar over a first load.
        """
        with self._lock:
            found = find_event_files(self.telemetry_dir)
            paths = {
                f"{run_dir}/{path.name}": (path, run_dir)
                for run_dir, files in ((_as_text(name), files) for name, files in found.items())
                for path in files
            }
            for filename in self._files.keys() - paths.keys():
                self._ingest.forget(self._files.pop(filename))
            for filename, (path, run_dir) in paths.items():
                if filename not in self._files:
                    self._files[filename] = EventFile(path, run_dir)
            total = _bytes_to_read(self._files.values()) if on_progress is not None else 0
            done = 0

            def on_taken(taken: int) -> None:
                nonlocal done
                done += taken
                if on_progress is not None:
                    on_progress(done, max(done, total))

            self._ingest.read(self._files.values(), on_taken)

    def run_names(self) -> list[str]:
        """Every run folder that has an event file, in the order of their last events, the latest last."""
        return [run_dir for run_dir, _ in sorted(self._by_run().items(), key=_last_event)]

    def latest_run(self) -> str:
        """The run with the newest event.

        Raises:
            NotFoundError: if there is no run.
        """
        names = self.run_names()
        if not names:
            raise NotFoundError(f"no run in {self.telemetry_dir.name}/ yet: no <run>/events.jsonl")
        return names[-1]

    def check_run(self, run_dir: str | None) -> str:
        """``run_dir`` if there is such a run; the latest if None.

        Raises:
            NotFoundError: naming the nearest runs.
        """
        if run_dir is None:
            return self.latest_run()
        names = self.run_names()
        if run_dir not in names:
            raise unknown_name("run", run_dir, reversed(names))
        return run_dir

    def runs(self) -> list[RunInfo]:
        """Every run folder, the latest first."""
        by_run = self._by_run()
        return self._describe(dict(sorted(by_run.items(), key=_last_event, reverse=True)))

    def run(self, run_dir: str) -> RunInfo:
        """One run folder.

        Raises:
            NotFoundError: naming the nearest runs.
        """
        name = self.check_run(run_dir)
        return self._describe({name: self._by_run()[name]})[0]

    def as_of(self, run_dirs: Sequence[str] | None = None) -> AsOf:
        """How much of the files of some runs (of all if None) the tables hold."""
        files = [f for f in list(self._files.values()) if run_dirs is None or f.run_dir in run_dirs]
        return AsOf(
            at=datetime.now(UTC),
            bytes=sum(file.tail.offset for file in files),
            lines=sum(file.state.events + file.state.bad_lines for file in files),
            bad_lines=sum(file.state.bad_lines for file in files),
            lag_bytes=sum(file.unread_bytes for file in files),
        )

    def select(self, sql: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Rows:
        """Run SQL of ours and fetch all of it.

        Raises:
            QueryError: if DuckDB refuses it.
        """
        with self._cursor() as cursor:
            return Snapshot(cursor).select(sql, params)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The tables as they are now, for an answer made of several SELECTs while others refresh."""
        with self._cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            try:
                yield Snapshot(cursor)
            finally:
                cursor.rollback()

    def query(self, sql: str, *, limit: int, offset: int = 0, timeout_s: float = 10.0) -> Rows:
        """Run one SELECT that somebody else wrote; it can read the views and nothing else.

        Args:
            sql: one SELECT, DESCRIBE or SHOW.
            limit: at most this many rows; ``truncated`` says whether there were more.
            offset: rows to skip.
            timeout_s: deadline in seconds.

        Raises:
            QueryError: if it is refused or fails; the text says why.
            QueryTimeoutError: past the deadline.
        """
        with self._cursor() as cursor:
            return run_guarded(cursor, sql, limit=limit, offset=offset, timeout_s=timeout_s)

    def close(self) -> None:
        """Give the database's memory back."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _by_run(self) -> dict[str, list[EventFile]]:
        by_run: dict[str, list[EventFile]] = {}
        for file in list(self._files.values()):  # another thread's refresh may add one meanwhile
            by_run.setdefault(file.run_dir, []).append(file)
        return by_run

    def _describe(self, by_run: dict[str, list[EventFile]]) -> list[RunInfo]:
        facts = {run_dir: (policy, task) for run_dir, policy, task in self.select(_RUN_FACTS).rows}
        unfinished = [run_dir for run_dir, files in by_run.items() if not is_finished(files)]
        gaps = dict(self.select(_MEDIAN_GAPS, [unfinished]).rows) if unfinished else {}
        infos = []
        for run_dir, files in by_run.items():
            policy, task = facts.get(run_dir, (None, None))
            gap = gaps.get(run_dir)
            infos.append(run_info(run_dir, files, policy=policy, task=task, median_gap_s=gap))
        return infos


def _as_text(name: str) -> str:
    """A folder's name as the database can hold it; file systems allow bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _last_event(entry: tuple[str, list[EventFile]]) -> tuple[datetime, str]:
    run_dir, files = entry
    moments = [file.state.last_timestamp for file in files if file.state.last_timestamp is not None]
    return max(moments, default=datetime.min.replace(tzinfo=UTC)), run_dir


def _bytes_to_read(files: Sequence[EventFile] | Any) -> int:
    total = 0
    for file in files:
        try:
            total += max(0, file.path.stat().st_size - file.tail.offset)
        except OSError:
            continue
    return total
