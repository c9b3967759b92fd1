"""Which run is the latest, and which files a run has."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from esper.karn.jsonl.source import open_events
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.karn.settings import ARCHIVE_SUFFIX, find_event_files, rank_of_event_file

_BLOCK_BYTES = 1 << 16
_GIVE_UP_BYTES = 1 << 26


class _Line(msgspec.Struct):
    timestamp: str | None = None


_line = msgspec.json.Decoder(_Line)


def _timestamp_of(line: bytes) -> datetime | None:
    try:
        return parse_timestamp(_line.decode(line).timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def event_files(run: Path) -> list[Path]:
    """A run's event files in rank order; none where the folder can't be read."""
    try:
        names = {name.removesuffix(ARCHIVE_SUFFIX) for name in os.listdir(run)}
    except OSError:
        return []
    ranked = [(rank, name) for name in names if (rank := rank_of_event_file(name)) is not None]
    return [run / name for _, name in sorted(ranked)]


def newest_run(telemetry_dir: Path) -> str | None:
    """The run with the newest event, None without a run.

    The event's own timestamp decides, not the file's: copying or compacting an old run does not make
    it the latest. A run without any event comes last.
    """
    never = datetime.min.replace(tzinfo=UTC)
    latest = {
        run: max(last_event_at(path) or never for path in paths)
        for run, paths in find_event_files(telemetry_dir).items()
    }
    return max(latest, key=lambda run: (latest[run], run), default=None)


def last_event_at(path: Path) -> datetime | None:
    """The timestamp of a file's last whole line that has one."""
    try:
        with open_events(path) as source:
            end = source.size
            block = b""
            while end > 0 and len(block) < _GIVE_UP_BYTES:
                start = max(0, end - max(_BLOCK_BYTES, len(block)))
                block = source.read_at(end - start, start) + block
                # The first line of the block may be the rest of one that began before it.
                whole = block.split(b"\n")[0 if start == 0 else 1 : -1]
                for line in reversed(whole):
                    if (moment := _timestamp_of(line)) is not None:
                        return moment
                end = start
    except OSError:
        return None
    return None
