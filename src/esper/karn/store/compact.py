"""Seals a whole telemetry folder by hand, as a server does by itself past a threshold."""

from __future__ import annotations

from pathlib import Path

import msgspec

from esper.karn.store.database import Store
from esper.karn.store.loading import Progress


class Compacted(msgspec.Struct, frozen=True):
    """What a folder's segments stand for now."""

    runs: int
    segments: int
    event_bytes: int
    """Of the event files, as far as segments stand for them."""
    segment_bytes: int
    """Of the segments' Parquet files."""


def compact(telemetry_dir: Path, on_progress: Progress | None = None) -> Compacted:
    """Seal every whole line of a folder into segments; what is sealed already is left as it is.

    Args:
        telemetry_dir: folder of all runs.
        on_progress: told how far it got.

    Raises:
        TelemetryFileError: if segments can be written neither beside the runs nor into the cache.
    """
    with Store(telemetry_dir) as store:
        store.refresh(on_progress)
        store.seal_all()
        files = store.event_files()
    segments = [segment for file in files for segment in file.segments]
    return Compacted(
        runs=len({file.run_dir for file in files}),
        segments=len(segments),
        event_bytes=sum(file.sealed_bytes for file in files),
        segment_bytes=sum(size for segment in segments for size in segment.meta.files.values()),
    )
