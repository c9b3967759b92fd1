"""Checks event files against the contracts, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from esper.karn.jsonl.lines import Problem, read_lines, snippet
from esper.karn.jsonl.tail import TailReader
from esper.leyline.codec import FieldError, LineError, decode_event
from esper.leyline.errors import TelemetryFileError


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
    if not path.is_file():
        raise TelemetryFileError(
            f"no file {path}; give an events.jsonl, for example telemetry/<run>/events.jsonl"
        )
    reader = TailReader(path)
    events, problems = 0, []
    while (chunk := reader.read()) is not None:
        found = read_lines(chunk)
        events += len(found.lines)
        problems += found.problems
        for line, offset, number in zip(found.lines, found.offsets, found.line_numbers, strict=True):
            problems += [
                Problem("field", number, offset, reason, snippet(line)) for reason in _unreadable(line)
            ]
        if on_progress is not None:
            on_progress(reader.offset, reader.size)
    return FileCheck(
        events=events,
        problems=sorted(problems, key=lambda problem: problem.line_number),
        unfinished_bytes=reader.size - reader.offset,
    )


def _unreadable(line: bytes) -> list[str]:
    try:
        _, fields = decode_event(line)
    except (LineError, FieldError) as error:
        return [f"data: {error}"]
    return [f"{field} has the wrong type and reads as null" for field in fields]
