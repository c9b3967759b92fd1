"""Checks event files against the contracts, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from esper.karn.jsonl.lines import Probe, Problem, read_lines, snippet
from esper.karn.jsonl.packed import DamagedArchiveError, PackedFile
from esper.karn.jsonl.packing import digest_of
from esper.karn.jsonl.source import open_events
from esper.karn.jsonl.tail import TailReader
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.karn.settings import archive_of
from esper.leyline.codec import FieldError, LineError, decode_event
from esper.leyline.errors import TelemetryFileError
from esper.leyline.events import SCHEMA


class FileCheck(msgspec.Struct):
    """What ``validate_file`` found."""

    events: int
    problems: list[Problem]
    unfinished_bytes: int
    """Length of a last line that has no newline yet."""
    damage: str | None
    """Why an archive can't be read whole; what is behind the place was not checked."""


def validate_file(path: Path, on_progress: Callable[[int, int], None] | None = None) -> FileCheck:
    """Read every line of an event file as the store and Sanctum would.

    Args:
        path: the file, or the one that is archived beside it, or an archive.
        on_progress: told bytes checked and bytes in all.

    Raises:
        TelemetryFileError: if there is no such file, or it can't be read.
    """
    if not path.is_file() and not archive_of(path).is_file():
        raise TelemetryFileError(
            f"no file {path}; give an events.jsonl, for example telemetry/<run>/events.jsonl"
        )
    reader = TailReader(path)
    events, problems = 0, []
    while (chunk := reader.read()) is not None:
        found = read_lines(chunk)
        events += len(found.lines)
        problems += found.problems
        for index, (line, probe) in enumerate(zip(found.lines, found.probes, strict=True)):
            number, offset = found.line_numbers[index], found.offsets[index]
            problems += [
                Problem(kind, number, offset, reason, snippet(line)) for kind, reason in _doubts(line, probe)
            ]
        if on_progress is not None:
            on_progress(reader.offset, reader.size)
    damage = reader.damage or _damage(path)
    return FileCheck(
        events=events,
        problems=sorted(problems, key=lambda problem: problem.line_number),
        unfinished_bytes=0 if damage else reader.size - reader.offset,
        damage=damage,
    )


def _damage(path: Path) -> str | None:
    """What is wrong with an archive of which every part can be read.

    Raises:
        TelemetryFileError: if the file can't be read.
    """
    try:
        with open_events(path) as source:
            if isinstance(source, PackedFile) and digest_of(source) != source.index.digest:
                return f"{path.parent.name}/{path.name}: its archive does not hold what was archived"
    except DamagedArchiveError as error:
        return str(error)
    except OSError as error:
        raise TelemetryFileError(f"can't read {path}: {error.strerror or error}") from error
    return None


def _doubts(line: bytes, probe: Probe) -> list[tuple[str, str]]:
    """Kind and reason of everything in a good line that does not read as it was meant."""
    if probe.schema is not None and probe.schema > SCHEMA:
        return [("schema", f"written in format {probe.schema}, newer than {SCHEMA}: update Karn")]
    doubts = []
    if probe.timestamp is not None and parse_timestamp(probe.timestamp) is None:
        doubts.append(("field", "timestamp is no ISO-8601 time and reads as null"))
    try:
        _, fields = decode_event(line)
    except (LineError, FieldError) as error:
        return [*doubts, ("field", f"data: {error}")]
    return [*doubts, *(("field", f"{field} has the wrong type and reads as null") for field in fields)]
