"""Keeps the tables in step with a folder: finds files, uses segments, reads what is new, seals."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from esper.karn.jsonl.source import size_of
from esper.karn.settings import cache_dir, find_event_files
from esper.karn.store.catalog import Catalog
from esper.karn.store.connection import as_text
from esper.karn.store.eventfile import EventFile
from esper.karn.store.relations import SealedFiles
from esper.karn.store.segments import SEGMENTS, Segment, find_cover
from esper.leyline.errors import SealingError

if TYPE_CHECKING:  # most fresh processes find nothing new to read
    from esper.karn.store.ingest import Ingest
    from esper.karn.store.sealing import Sealer

Progress = Callable[[int, int], None]
"""Called with bytes read so far and bytes to read in all."""

ROWS_IN_MEMORY = 80_000
"""With more rows than this over all files, the largest parts are sealed until half as many are left."""
RETRY_S = 60.0
"""Sealing that failed, as on a full disk, is tried again after this."""

_log = logging.getLogger("karn")


class Loader:
    """The event files of a telemetry folder and what of them is in the tables. One thread at a time.

    Args:
        connection: of the tables.
        catalog: of the same database.
        telemetry_dir: folder of all runs, absolute; it may be missing, and appear later.
        seal: whether to write segments; those that are there are used in any case.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, catalog: Catalog, telemetry_dir: Path, *, seal: bool
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._root = telemetry_dir
        self._cache_root = cache_root(telemetry_dir)
        self._seal = seal
        self._homes_seen: dict[str, tuple[int, ...]] = {}
        """Times of the folders in which a file's segments lie, when they were last looked through."""
        self._ingest: Ingest | None = None
        self._sealer: Sealer | None = None
        self._retry_at = 0.0
        self.files: dict[str, EventFile] = {}
        """By name relative to the telemetry folder."""
        self.sealing_error: str | None = None
        """Why segments can't be written, if the last try failed."""

    def refresh(self, on_progress: Progress | None = None) -> None:
        """Take in every whole line that is on disk now, and forget files that are gone.

        Args:
            on_progress: told how far it got, for a bar over a first load.
        """
        self._find_files()
        self.adopt()
        total = _bytes_to_read(self.files.values()) if on_progress is not None else 0
        done = 0

        def on_taken(taken: int, files: list[EventFile]) -> None:
            nonlocal done
            done += taken
            if on_progress is not None:
                on_progress(done, max(done, total))
            self._seal_some(files)

        if any(file.may_have_more() for file in self.files.values()):
            self.ingest.read(self.files.values(), on_taken)

    def adopt(self, files: Iterable[EventFile] | None = None) -> None:
        """Use the segments that are on disk now, wherever they changed since the last look.

        Args:
            files: to look at; all if None.
        """
        looked = self.files.values() if files is None else files
        covers = {file: cover for file in looked if (cover := self._changed_cover(file)) is not None}
        if not covers:
            return
        for file, cover in covers.items():
            if not cover or cover[-1].meta.end < file.sealed_bytes:
                # What they stood for is read from the JSONL.
                self.ingest.forget(file, later=True)
                file.read_anew()
        for file, cover in covers.items():
            if cover:
                with suppress(OSError):  # the file has just gone; the next look will see that
                    self._use(file, cover)
        self._tell_catalog()
        if self._ingest is not None:
            # Rows that segments now stand for take memory until then. Not while somebody reads.
            with suppress(duckdb.TransactionException):
                self._connection.execute("CHECKPOINT")

    def forget_segments_seen(self) -> None:
        """Look through all segments again at the next ``adopt``."""
        self._homes_seen.clear()

    def seal_all(self, run_dir: str | None = None) -> None:
        """Write everything that is in memory into segments, and merge small ones.

        Args:
            run_dir: of this run alone.

        Raises:
            SealingError: if that is not possible.
        """
        files = [file for file in self.files.values() if run_dir in (None, file.run_dir)]
        self._seal_files(files, everything=True)
        self.sealing_error = None

    @property
    def ingest(self) -> Ingest:
        """Reads lines; made when there are some."""
        if self._ingest is None:
            from esper.karn.store.ingest import Ingest

            self._ingest = Ingest(self._connection, self._catalog, self._sealed)
        return self._ingest

    @property
    def sealer(self) -> Sealer:
        """Writes segments; made when there is something to write."""
        if self._sealer is None:
            from esper.karn.store.sealing import Sealer

            self._sealer = Sealer(self._connection, self.homes)
        return self._sealer

    def _find_files(self) -> None:
        found = find_event_files(self._root)
        paths = {
            f"{run_dir}/{path.name}": (path, run_dir)
            for run_dir, files in ((as_text(name), files) for name, files in found.items())
            for path in files
        }
        gone = self.files.keys() - paths.keys()
        for filename in gone:
            self.ingest.forget(self.files.pop(filename), later=True)
            self._homes_seen.pop(filename, None)
        if gone:
            self._tell_catalog()
        for filename, (path, run_dir) in paths.items():
            if filename not in self.files:
                self.files[filename] = EventFile(path, run_dir)

    def homes(self, file: EventFile) -> list[Path]:
        """Where a file's segments may lie: beside it, or in the cache where its folder can't be written."""
        return [file.path.parent / SEGMENTS, self._cache_root / file.path.parent.name / SEGMENTS]

    def _can_be_sealed(self, file: EventFile) -> bool:
        # A name that is no UTF-8 can't be handed to the database.
        return as_text(str(file.path)) == str(file.path)

    def _changed_cover(self, file: EventFile) -> list[Segment] | None:
        """A file's segments if they are others than those in use; None if not."""
        homes = self.homes(file)
        seen = tuple(map(_changed_at, homes))
        if self._homes_seen.get(file.filename) == seen or not self._can_be_sealed(file):
            return None
        self._homes_seen[file.filename] = seen
        cover = find_cover(file.path, homes)
        return None if cover == file.segments else cover

    def _use(self, file: EventFile, cover: list[Segment]) -> None:
        if file.tail_rows or cover[-1].meta.resume_points:
            self.ingest.adopt(file, cover)
        else:
            file.begin_at(cover)

    def _tell_catalog(self) -> None:
        self._catalog.update(
            sealed=self._sealed(),
            in_memory=self._ingest.rows if self._ingest is not None else (),
            has_points=any(file.state.attempt > 1 for file in self.files.values()),
        )

    def _sealed(self) -> dict[str, list[SealedFiles]]:
        """The files of all segments in use, by table."""
        roots: dict[tuple[str, str], list[str]] = {}
        for file in self.files.values():
            for segment in file.segments:
                is_cached = segment.folder.is_relative_to(self._cache_root)
                root = str(self._cache_root if is_cached else self._root)
                for table in segment.meta.files:
                    roots.setdefault((table, root), []).append(str(segment.file(table)))
        sealed: dict[str, list[SealedFiles]] = {}
        for (table, root), paths in roots.items():
            sealed.setdefault(table, []).append(SealedFiles(root, paths))
        return sealed

    def _seal_some(self, files: list[EventFile]) -> None:
        """Seal whole regions of files that have just grown, and more if memory holds too much."""
        if not self._seal or time.monotonic() < self._retry_at:
            return
        from esper.karn.store.sealing import is_past_region

        try:
            self._seal_files([file for file in dict.fromkeys(files) if is_past_region(file)])
            if self.ingest.rows.total() > ROWS_IN_MEMORY:
                self._seal_files(self._largest_in_memory())
            self.sealing_error = None
        except SealingError as error:
            self._retry_at = time.monotonic() + RETRY_S
            if self.sealing_error is None:
                _log.warning("%s; everything is answered all the same", error)
            self.sealing_error = str(error)

    def _largest_in_memory(self) -> list[EventFile]:
        """Files without whose rows half of what memory may hold would be left."""
        left, chosen = self.ingest.rows.total(), []
        for file in sorted(self.files.values(), key=lambda file: file.tail_rows.total(), reverse=True):
            if left <= ROWS_IN_MEMORY // 2:
                break
            left -= file.tail_rows.total()
            chosen.append(file)
        return chosen

    def _seal_files(self, files: list[EventFile], *, everything: bool = False) -> None:
        files = [file for file in files if self._can_be_sealed(file)]
        try:
            for file in files:
                self.sealer.seal(file)
        finally:
            self.adopt(files)
        for file in files:
            while self.sealer.merge(file, everything=everything):
                self.adopt([file])
            self.sealer.clean(file)


def cache_root(telemetry_dir: Path) -> Path:
    """The folder for segments of runs that can't be written, one for each telemetry folder."""
    digest = blake2b(os.fsencode(telemetry_dir), digest_size=10).hexdigest()
    return cache_dir() / digest


def _changed_at(folder: Path) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _bytes_to_read(files: Iterable[EventFile]) -> int:
    total = 0
    for file in files:
        try:
            total += max(0, size_of(file.path) - file.tail.offset)
        except OSError:
            continue
    return total
