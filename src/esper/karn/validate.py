"""Checks event files against the contracts, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from esper.karn.jsonl.lines import Probe, Problem, read_lines, snippet
from esper.karn.jsonl.source import is_archived
from esper.karn.jsonl.tail import TailReader
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.leyline.codec import FieldError, LineError, decode_event
from esper.leyline.errors import TelemetryFileError
from esper.leyline.events import SCHEMA


class FileCheck(msgspec.Struct):
    """What ``validate_file`` found."""

    events: int
    problems: list[Problem]
    unfinished_bytes: int
    """Length of a last line that has no newline yet."""


def validate_file(path: Path, on_progress: Callable[[int, int], None] | None = None) -> FileCheck:
    """Read every line of an event file as the store and Sanctum would.

    Args:
        path: the file.
        on_progress: told bytes checked and bytes in all.

    Raises:
        TelemetryFileError: if there is no such file.
    """
    if not path.is_file() and not is_archived(path):
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
    return FileCheck(
        events=events,
        problems=sorted(problems, key=lambda problem: problem.line_number),
        unfinished_bytes=reader.size - reader.offset,
    )


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
