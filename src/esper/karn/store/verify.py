"""Compares segments with the event file that they stand for, row by row."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import duckdb
import msgspec

from esper.karn.jsonl.source import PlainFile, Source
from esper.karn.jsonl.tail import Chunk, TailReader
from esper.karn.store import relations
from esper.karn.store.catalog import Catalog
from esper.karn.store.connection import connect
from esper.karn.store.eventfile import EventFile
from esper.karn.store.ingest import Ingest
from esper.karn.store.relations import SealedFiles
from esper.karn.store.segments import ResumePoint, Segment
from esper.leyline.errors import TelemetryFileError


def verify_segments(sealed: EventFile, fd: int, root: Path) -> None:
    """Read an event file anew, without its segments, and compare every stored value both ways.

    One segment's rows are in memory at a time: what was compared stands for itself from then on.

    Args:
        sealed: the file and its segments; it is not changed.
        fd: of the file, open. Its name may lead to another one meanwhile.
        root: the telemetry folder, absolute.

    Raises:
        TelemetryFileError: naming the first segment that differs, and in what.
    """
    with connect([root], "2GB", 2) as connection:
        file = EventFile(sealed.path, sealed.run_dir)
        reader = _ReaderTo(sealed.path, PlainFile(fd))
        file.tail = reader
        catalog = Catalog(connection, {})
        ingest = Ingest(connection, catalog, lambda: _files_of(file, root))
        for index, segment in enumerate(sealed.segments):
            reader.end = segment.meta.end
            ingest.read([file], lambda taken, files: None)
            difference = _difference(connection, file, segment)
            if difference is not None:
                raise TelemetryFileError(
                    f"{sealed.run_dir}/segments/{segment.folder.name} differs from the event file in "
                    f"{difference}: delete that folder and archive again"
                )
            cover = sealed.segments[: index + 1]
            ingest.adopt(file, cover)
            catalog.update(
                sealed=_files_of(file, root), in_memory=ingest.rows, has_points=file.state.attempt > 1
            )


class _ReaderTo(TailReader):
    """Reads an open event file as far as ``end``, the start of a line."""

    def __init__(self, path: Path, source: Source) -> None:
        super().__init__(path)
        self.end = 0
        self._source = source

    def opened(self) -> AbstractContextManager[Source]:
        return nullcontext(self._source)

    def read(self, max_bytes: int = 8 << 20) -> Chunk | None:
        left = self.end - self.offset
        return super().read(min(max_bytes, left)) if left > 0 else None


def _difference(connection: duckdb.DuckDBPyConnection, file: EventFile, segment: Segment) -> str | None:
    """In what a segment differs from its bytes as they were just read; None if in nothing."""
    meta = segment.meta
    if (file.tail.offset, file.tail.lines) != (meta.end, meta.lines):
        return "its lines"
    if file.state != meta.state:
        return "what was seen in it"
    if {table for table, count in file.tail_rows.items() if count} != meta.files.keys():
        return "its event types"
    for table in meta.files:
        stored = f"SELECT * FROM read_parquet({relations.literal(str(segment.file(table)))})"
        read = f"SELECT {relations.stored_columns(table)} FROM tail.{table}"
        if _columns(connection, stored) != _columns(connection, read):
            return f"the columns of {table}"
        for one, other in ((stored, read), (read, stored)):
            if connection.execute(f"({one}) EXCEPT ALL ({other}) LIMIT 1").fetchone() is not None:
                return table
    points = connection.execute(
        "SELECT attempt, env_id, episode_idx, epoch, event_type FROM tail.resume_points"
    ).fetchall()
    if _counted([ResumePoint(*point) for point in points]) != _counted(meta.resume_points):
        return "where the training was resumed"
    return None


def _columns(connection: duckdb.DuckDBPyConnection, select: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {select}").fetchall()]


def _counted(points: list[ResumePoint]) -> list[bytes]:
    return sorted(map(msgspec.json.encode, points))


def _files_of(file: EventFile, root: Path) -> dict[str, list[SealedFiles]]:
    found: dict[str, list[str]] = {}
    for segment in file.segments:
        for table in segment.meta.files:
            found.setdefault(table, []).append(str(segment.file(table)))
    return {table: [SealedFiles(str(root), paths)] for table, paths in found.items()}
