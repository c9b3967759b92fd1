"""Where telemetry lives: the one place that knows the environment variable and the file names."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from esper.leyline.errors import TelemetryUsageError

TELEMETRY_DIR_VARIABLE = "KARN_TELEMETRY_DIR"
DEFAULT_TELEMETRY_DIR = "telemetry"

ARCHIVE_SUFFIX = ".gz"
"""What is added to an event file's name where it is archived."""
_EVENT_FILE = re.compile(r"events(?:\.rank(\d{5,}))?\.jsonl\Z")
_RUN_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}\Z")


def telemetry_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """The telemetry folder: as given, else from KARN_TELEMETRY_DIR, else ``telemetry``."""
    return Path(given or os.environ.get(TELEMETRY_DIR_VARIABLE) or DEFAULT_TELEMETRY_DIR)


def cache_dir() -> Path:
    """Karn's folder for what can be made again: below XDG_CACHE_HOME, else ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()).absolute() / "karn"


def new_run_dir() -> str:
    """A run folder's name that no other process can come upon: UTC time and a random suffix."""
    from secrets import token_hex  # 4 ms, and readers need none

    return f"{datetime.now(UTC):%Y-%m-%d_%H%M%S}_{token_hex(4)}"


def check_run_dir(name: str) -> str:
    """The name itself, if it can be a run folder.

    Raises:
        TelemetryUsageError: if it is not one plain folder name.
    """
    if not _RUN_NAME.match(name) or name in (".", ".."):
        raise TelemetryUsageError(
            f"run_dir {name[:80]!r} is not a folder name: give one name without slashes, 1 to 200 characters"
        )
    return name


def event_file_name(rank: int, world_size: int) -> str:
    """``events.jsonl`` for a single rank, ``events.rank00001.jsonl`` and so on with more."""
    return "events.jsonl" if world_size == 1 else f"events.rank{rank:05d}.jsonl"


def rank_of_event_file(name: str) -> int | None:
    """The rank that an event file's name tells, 0 for ``events.jsonl``, None for other files."""
    found = _EVENT_FILE.match(name)
    return None if found is None else int(found[1] or 0)


def archive_of(path: Path) -> Path:
    """Where an event file's archive lies."""
    return path.with_name(path.name + ARCHIVE_SUFFIX)


def find_event_files(folder: Path) -> dict[str, list[Path]]:
    """Every run of a telemetry folder with its event files in rank order, runs by name.

    A file that is archived is found under its own name. A folder that can't be read, or vanishes meanwhile,
    holds no runs.
    """
    runs: dict[str, list[Path]] = {}
    for run in _entries(folder):
        ranked = {
            (rank, name)
            for entry in _entries(Path(run.path))
            if (rank := rank_of_event_file(name := entry.name.removesuffix(ARCHIVE_SUFFIX))) is not None
            and _is_file(entry)
        }
        if ranked:
            runs[run.name] = [Path(run.path, name) for _, name in sorted(ranked)]
    return dict(sorted(runs.items()))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False
