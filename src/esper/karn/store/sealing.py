"""Writes segments: rows in memory become Parquet, small segments become larger ones.

Everything is written under a temporary name and synced, then renamed as a whole. Two processes may seal the
same bytes at once: the one that comes second finds the other's segment and takes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex

import duckdb
import msgspec

from esper.karn.jsonl.packing import sync
from esper.karn.jsonl.source import open_events
from esper.karn.store import relations, segments
from esper.karn.store.eventfile import EventFile
from esper.karn.store.segments import ResumePoint, Segment, SegmentMeta
from esper.leyline.errors import SealingError

REGION_BYTES = 32 << 20
"""A file is sealed as soon as it has grown past a multiple of this; segments end there if they can."""
LEAST_BYTES = 1 << 20
"""Less than this past a multiple waits for more."""
MERGE_BYTES = 256 << 20
"""Segments between two multiples of this are merged into one: opening a file costs 0.1 ms a query."""
MERGE_COUNT = 16
"""Small segments of a file that are merged before their stretch is complete."""
KEPT_S = 600.0
"""Segments that a larger one stands for are deleted after this, when nobody's query reads them any more."""

_OPTIONS = "(FORMAT parquet, COMPRESSION zstd)"


class Sealer:
    """Writes the segments of event files. One thread at a time.

    Args:
        connection: holds the rows; may write to the homes.
        homes: gives the folders in which a file's segments may lie, the best first.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, homes: Callable[[EventFile], Sequence[Path]]
    ) -> None:
        self._connection = connection
        self._homes = homes

    def seal(self, file: EventFile) -> None:
        """Write what is in memory of a file into a segment, as far as it was read.

        Raises:
            SealingError: if no home can take it.
        """
        start, end = file.sealed_bytes, file.tail.offset
        if end <= start:
            return
        selects = {
            table: (
                f"SELECT {relations.stored_columns(table)} FROM tail.{table} "
                f"WHERE filename = {relations.literal(file.filename)}"
            )
            for table, count in file.tail_rows.items()
            if count
        }
        points = self._connection.execute(
            "SELECT attempt, env_id, episode_idx, epoch, event_type FROM tail.resume_points "
            "WHERE filename = ?",
            [file.filename],
        ).fetchall()
        meta = SegmentMeta(
            layout=segments.layout_id(),
            source=file.path.name,
            start=start,
            end=end,
            lines=file.tail.lines,
            edges=_edges(file, start, end),
            files={},
            state=file.state,
            resume_points=[ResumePoint(*point) for point in points],
        )
        self._publish(file, meta, selects)

    def merge(self, file: EventFile, *, everything: bool = False) -> bool:
        """Make one of the first small segments of a file that belong together; False if there are none.

        Args:
            file: whose segments.
            everything: also in a stretch that is not complete yet.

        Raises:
            SealingError: if no home can take it.
        """
        parts = _mergeable(file.segments, everything=everything)
        if len(parts) < 2:
            return False
        tables = sorted({table for part in parts for table in part.meta.files})
        selects = {}
        for table in tables:
            paths = [str(part.file(table)) for part in parts if table in part.meta.files]
            listed = ", ".join(relations.literal(path) for path in paths)
            selects[table] = f"SELECT * FROM read_parquet([{listed}])"
        first, last = parts[0].meta, parts[-1].meta
        edges = _edges(file, first.start, last.end)
        self._publish(file, msgspec.structs.replace(last, start=first.start, edges=edges, files={}), selects)
        return True

    def clean(self, file: EventFile) -> None:
        """Delete segments that a larger one has stood for long enough, and what killed writers left."""
        newest = time.time() - KEPT_S
        for home in self._homes(file):
            # A query may read a segment until some time after the longer one was there.
            superseded = segments.superseded(file.path, home, file.segments)
            old = [(folder, longer.folder) for folder, longer in superseded.items()]
            with contextlib.suppress(OSError):
                left = [Path(entry.path) for entry in os.scandir(home) if _is_temporary(entry.name)]
                old += [(folder, folder) for folder in left]
            for folder, dated in old:
                with contextlib.suppress(OSError):
                    if dated.stat().st_mtime < newest:
                        shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, file: EventFile, meta: SegmentMeta, selects: dict[str, str]) -> None:
        failure: Exception | None = None
        for home in self._homes(file):
            temporary = home / f"{segments.TEMPORARY}{os.getpid()}-{token_hex(4)}"
            try:
                home.mkdir(parents=True, exist_ok=True)
                temporary.mkdir(_folder_mode(file.path))
                self._write(temporary, meta, selects)
                _put_in_place(temporary, home, file, meta)
                sync(home)
            except (OSError, duckdb.Error) as error:
                failure = error
                shutil.rmtree(temporary, ignore_errors=True)
                continue
            return
        raise SealingError(f"can't seal {file.filename}: {_reason(failure)}") from failure

    def _write(self, folder: Path, meta: SegmentMeta, selects: dict[str, str]) -> None:
        files = {}
        for table, select in selects.items():
            path = folder / f"{table}.parquet"
            self._connection.execute(f"COPY ({select}) TO {relations.literal(str(path))} {_OPTIONS}")
            files[table] = path.stat().st_size
            sync(path)
        about = folder / segments.META
        about.write_bytes(msgspec.json.encode(msgspec.structs.replace(meta, files=files)))
        sync(about)
        sync(folder)


def _folder_mode(path: Path) -> int:
    """For a segment's folder: who can't read the event file can't read what stands for it either."""
    with open_events(path) as source:
        readers = os.fstat(source.fd).st_mode & 0o444
    return 0o700 | readers | readers >> 2


def _edges(file: EventFile, start: int, end: int) -> str:
    with open_events(file.path) as source:
        return segments.edges_of(source, start, end)


def _reason(failure: Exception | None) -> str:
    if isinstance(failure, OSError):
        return failure.strerror or type(failure).__name__
    # DuckDB adds the path, and details as JSON.
    return "there is no place for it" if failure is None else str(failure).split(" {")[0].splitlines()[0]


def region_left(offset: int) -> int:
    """Bytes from an offset to the next multiple of REGION_BYTES."""
    return REGION_BYTES - offset % REGION_BYTES


def is_past_region(file: EventFile) -> bool:
    """Whether the rest of a region of a file is in memory, and is not a mere line or two."""
    unsealed = file.tail.offset - file.sealed_bytes
    return unsealed > LEAST_BYTES and file.tail.offset // REGION_BYTES > file.sealed_bytes // REGION_BYTES


def _mergeable(cover: Sequence[Segment], *, everything: bool) -> list[Segment]:
    """The first segments in a row that lie in the same stretch, if it is time to merge them."""
    stretches: dict[int, list[Segment]] = {}
    for segment in cover:
        stretches.setdefault(segment.meta.start // MERGE_BYTES, []).append(segment)
    complete = cover[-1].meta.end // MERGE_BYTES if cover else 0
    for stretch, parts in stretches.items():
        if len(parts) > 1 and (everything or stretch < complete or len(parts) >= MERGE_COUNT):
            return parts
    return []


def _is_temporary(name: str) -> bool:
    return name.startswith(segments.TEMPORARY)


def _put_in_place(temporary: Path, home: Path, file: EventFile, meta: SegmentMeta) -> None:
    target = home / segments.segment_name(meta.source, meta.start, meta.end)
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        if segments.is_sound(target, file.path, meta.start, meta.end):  # somebody has sealed the same bytes
            shutil.rmtree(temporary)
            return
        spoiled = target.with_name(f"{temporary.name}-spoiled")
        target.rename(spoiled)
        temporary.rename(target)
        shutil.rmtree(spoiled, ignore_errors=True)
