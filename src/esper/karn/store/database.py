"""The store: the event files of a telemetry folder as tables and views, always up to date.

JSONL files are the truth. Large parts of them are kept as segments too (``segments``); without these
everything is only slower.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from esper.karn.store.catalog import Catalog
from esper.karn.store.connection import connect
from esper.karn.store.eventfile import EventFile
from esper.karn.store.loading import Loader, Progress, cache_root
from esper.karn.store.rows import Rows, read_rows
from esper.karn.store.runs import AsOf, RunInfo, describe_runs
from esper.karn.store.segments import is_about_a_segment, segment_folders, superseded
from esper.karn.store.sqlfile import SqlFile
from esper.karn.store.views import shipped_views
from esper.leyline.errors import NotFoundError, QueryError, unknown_name


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
        views: more views than the shipped ones, by name; each is created when something names it.
        memory_limit: of the database, as DuckDB writes it.
        threads: of the database.
        seal: whether large parts of the event files are written as segments, beside them or in the cache.
    """

    def __init__(
        self,
        telemetry_dir: Path,
        *,
        views: Mapping[str, SqlFile] | None = None,
        memory_limit: str = "2GB",
        threads: int = 2,
        seal: bool = True,
    ) -> None:
        self.telemetry_dir = telemetry_dir
        self.views = {**shipped_views(), **views} if views else shipped_views()
        self._lock = threading.RLock()
        root = Path(os.path.abspath(telemetry_dir))
        self._connection = connect([root, cache_root(root)], memory_limit, threads)
        self._catalog = Catalog(self._connection, self.views)
        self._loader = Loader(self._connection, self._catalog, root, seal=seal)
        self._files = self._loader.files

    def refresh(self, on_progress: Progress | None = None) -> None:
        """Take in every whole line that is on disk now, and forget files that are gone.

        Args:
            on_progress: told how far it got, for a bar over a first load.

        Raises:
            TelemetryFileError: if the database can't hold them.
        """
        with self._lock:
            self._loader.refresh(on_progress)

    def seal_all(self, run_dir: str | None = None) -> None:
        """Write everything that was read into segments, and merge small ones.

        Args:
            run_dir: of this run alone.

        Raises:
            SealingError: if that is not possible.
        """
        with self._lock:
            self._loader.seal_all(run_dir)

    def event_files(self) -> list[EventFile]:
        """Every event file and what is known of it; to look at, not to change."""
        return list(self._files.values())

    def unused_segments(self, file: EventFile) -> list[Path]:
        """Folders of a file's segments that are torn, stale, or of another version of Karn."""
        homes = self._loader.homes(file)
        named = {path for home in homes for path in segment_folders(file.path.name, home)}
        old = {path for home in homes for path in superseded(file.path, home, file.segments)}
        return sorted(named - old - {segment.folder for segment in file.segments})

    def damaged(self, run_dirs: Sequence[str] = ()) -> list[str]:
        """What is wrong with archives, of some runs or of all, that were needed and can't be read."""
        files = [file for file in self.event_files() if not run_dirs or file.run_dir in run_dirs]
        return [file.tail.damage for file in files if file.tail.damage is not None]

    @property
    def sealing_error(self) -> str | None:
        """Why segments can't be written, if the last try failed."""
        return self._loader.sealing_error

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
        latest_first = dict(sorted(by_run.items(), key=_last_event, reverse=True))
        return describe_runs(latest_first, self.select)

    def run(self, run_dir: str) -> RunInfo:
        """One run folder.

        Raises:
            NotFoundError: naming the nearest runs.
        """
        name = self.check_run(run_dir)
        return describe_runs({name: self._by_run()[name]}, self.select)[0]

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

    def select(
        self,
        sql: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Rows:
        """Run SQL of ours, or of a file that the user gave us, and fetch all of it.

        Args:
            sql: one SELECT.
            params: its parameters.
            timeout_s: deadline in seconds; none if None.

        Raises:
            QueryError: if DuckDB refuses it.
            QueryTimeoutError: past the deadline.
        """

        def run() -> Rows:
            self._require(sql)
            with self._cursor() as cursor:
                if timeout_s is None:
                    return Snapshot(cursor).select(sql, params)
                from esper.karn.store.guard import deadline

                with deadline(cursor, timeout_s):
                    try:
                        return read_rows(cursor.execute(sql, params))
                    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
                        raise  # the deadline's business
                    except duckdb.Error as error:
                        raise QueryError(str(error).split("\n\nLINE ")[0]) from None

        return self._with_files(run)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The tables as they are now, for an answer made of several SELECTs while others refresh."""
        self._require("SHOW TABLES")  # nothing can be created within: everything may be needed
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
        from esper.karn.store.guard import run_guarded

        def run() -> Rows:
            self._require(sql)
            with self._cursor() as cursor:
                return run_guarded(
                    cursor, sql, views=sorted(self.views), limit=limit, offset=offset, timeout_s=timeout_s
                )

        return self._with_files(run)

    def _with_files(self, run: Callable[[], Rows]) -> Rows:
        """Run a query; once more if segments that it reads were deleted or damaged meanwhile."""
        try:
            return run()
        except (QueryError, duckdb.Error) as error:
            if not is_about_a_segment(str(error)):
                raise
        with self._lock:
            self._loader.forget_segments_seen()
            self._loader.refresh()
        return run()

    def _require(self, sql: str) -> None:
        if not self._catalog.is_ready(sql):
            with self._lock:
                self._catalog.require(sql)

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


def _last_event(entry: tuple[str, list[EventFile]]) -> tuple[datetime, str]:
    run_dir, files = entry
    moments = [file.state.last_timestamp for file in files if file.state.last_timestamp is not None]
    return max(moments, default=datetime.min.replace(tzinfo=UTC)), run_dir
