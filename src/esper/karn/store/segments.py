"""Sealed segments: a stretch of an event file as typed Parquet, found and checked before it is trusted.

A segment is one folder, ``<run>/segments/<event file>@<start>-<end>/``, with a Parquet file for each event
type that occurs in those bytes and a ``segment.json`` about them. It is written under another name and
renamed as a whole, so that it is there or not. The JSONL stays the truth: a segment that does not fit it is
passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import msgspec

from esper.karn.jsonl.source import Source, open_events
from esper.karn.store.filestate import FileState
from esper.karn.store.tables import PROBLEMS, TABLES

SEGMENTS = "segments"
META = "segment.json"
TEMPORARY = ".tmp-"
"""Begins the name of a segment that is being written."""
_LAYOUT = 2
"""Raised when the meaning of what is stored changes although no column does."""
_EDGE_BYTES = 4096
_NAME = re.compile(r"(?P<source>events[^/@]*\.jsonl)@(?P<start>\d+)-(?P<end>\d+)\Z")


class ResumePoint(msgspec.Struct, frozen=True, array_like=True):
    """A row of ``tail.resume_points``, without its file."""

    attempt: int
    env_id: int | None
    episode_idx: int | None
    epoch: int | None
    event_type: str | None


class SegmentMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What ``segment.json`` says."""

    layout: str
    """``layout_id()`` of the program that wrote it; another one's columns may differ."""
    source: str
    start: int
    end: int
    lines: int
    """Lines of the event file before ``end``, all of them from its start."""
    edges: str
    """``edges_of`` the bytes that it stands for."""
    files: dict[str, int]
    """Size of each Parquet file by the table's name [bytes]."""
    state: FileState
    """Of the event file after ``end``."""
    resume_points: list[ResumePoint]
    """Of the event file as far as ``end``."""


class Segment(msgspec.Struct, frozen=True):
    """A segment that was checked."""

    folder: Path
    meta: SegmentMeta

    def file(self, table: str) -> Path:
        """Its Parquet file of an event type."""
        return self.folder / f"{table}.parquet"


_meta = msgspec.json.Decoder(SegmentMeta)


@cache
def layout_id() -> str:
    """Names the columns of all tables: segments of another program version may have others."""
    columns = [
        (name, kinds) for name, kinds in [*((t.name, t.columns) for t in TABLES), ("problems", PROBLEMS)]
    ]
    return f"{_LAYOUT}-{blake2b(repr(columns).encode(), digest_size=8).hexdigest()}"


def segment_name(source: str, start: int, end: int) -> str:
    """Name of a segment's folder.

    Args:
        source: name of the event file.
        start: its first byte in it.
        end: the byte after its last.
    """
    return f"{source}@{start}-{end}"


def edges_of(source: Source, start: int, end: int) -> str:
    """A hash of the head and tail of a stretch of an event file, by which a rewritten file is known."""
    known = source.known_edges(start, end)
    if known is not None:
        return known
    digest = blake2b(digest_size=16)
    for first in (start, max(start, end - _EDGE_BYTES)):
        digest.update(source.read_at(min(_EDGE_BYTES, end - first), first))
    return digest.hexdigest()


def find_cover(path: Path, homes: Sequence[Path]) -> list[Segment]:
    """The segments that stand for an event file from its first byte on, without a gap or an overlap.

    Where several begin at the same byte, the longest whole one counts. Torn, foreign and stale ones are
    passed over.

    Args:
        path: the event file.
        homes: folders in which its segments may lie.
    """
    by_start: dict[int, list[tuple[int, Path]]] = {}
    for folder, start, end in _named(path.name, homes):
        by_start.setdefault(start, []).append((end, folder))
    if 0 not in by_start:
        return []
    try:
        with open_events(path) as source:
            return _cover(source, path.name, by_start)
    except OSError:
        return []


def _cover(source: Source, name: str, by_start: dict[int, list[tuple[int, Path]]]) -> list[Segment]:
    cover: list[Segment] = []
    position, size = 0, source.size
    while position in by_start:
        for end, folder in sorted(by_start[position], reverse=True):
            if end <= size and (segment := _read_segment(folder, source, name, position, end)):
                cover.append(segment)
                position = end
                break
        else:
            break
    return cover


def is_sound(folder: Path, path: Path, start: int, end: int) -> bool:
    """Whether a folder holds a whole segment that stands for these bytes of an event file."""
    try:
        with open_events(path) as source:
            return _read_segment(folder, source, path.name, start, end) is not None
    except OSError:
        return False


def is_about_a_segment(error: str) -> bool:
    """Whether DuckDB's words name a segment's file: it may be gone, or torn, since it was looked at."""
    return f"/{SEGMENTS}/" in error and ".parquet" in error


def segment_folders(source: str, home: Path) -> list[Path]:
    """Every folder that is called like a segment of an event file, sound or not."""
    return [folder for folder, _, _ in _named(source, [home])]


def superseded(path: Path, home: Path, cover: Sequence[Segment]) -> dict[Path, Segment]:
    """Folders of segments in ``home`` for which a longer one of the cover stands too, and that one."""
    used = {segment.folder for segment in cover}
    found = {}
    for folder, start, end in _named(path.name, [home]):
        longer = [s for s in cover if s.meta.start <= start and end <= s.meta.end]
        if folder not in used and longer:
            found[folder] = longer[0]
    return found


def _named(source: str, homes: Sequence[Path]) -> Iterator[tuple[Path, int, int]]:
    for home in homes:
        try:
            names = os.listdir(home)
        except OSError:
            continue
        for name in names:
            found = _NAME.match(name)
            if found is not None and found["source"] == source:
                yield home / name, int(found["start"]), int(found["end"])


def _read_segment(folder: Path, source: Source, name: str, start: int, end: int) -> Segment | None:
    """The segment in a folder if it is whole and stands for these bytes of the open event file."""
    try:
        meta = _meta.decode((folder / META).read_bytes())
        if (meta.layout, meta.source, meta.start, meta.end) != (layout_id(), name, start, end):
            return None
        for table, size in meta.files.items():
            if not _is_whole(folder / f"{table}.parquet", size):
                return None
        if edges_of(source, start, end) != meta.edges:
            return None
    except (OSError, msgspec.DecodeError):
        return None
    return Segment(folder, meta)


def _is_whole(path: Path, size: int) -> bool:
    """Whether a Parquet file has its size and its end; a write that was torn lacks one or the other."""
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            return False
        return os.pread(file.fileno(), 4, size - 4) == b"PAR1"
