"""When events were written: the one reading of timestamps, so that Python and SQL know the same moments."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from esper.karn.jsonl.lines import EventLines, Problem, snippet
from esper.karn.jsonl.timestamps import parse_timestamp

_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII).fullmatch
"""Texts that DuckDB reads as Python does."""


def read_times(events: EventLines) -> tuple[list[datetime | None], list[Problem]]:
    """The moment of each event, None where it has none, and a problem for each that can't be read.

    A line whose text DuckDB could read otherwise is replaced by one that says the same plainly.
    """
    moments: list[datetime | None] = []
    problems: list[Problem] = []
    for index, probe in enumerate(events.probes):
        text = probe.timestamp
        moment = parse_timestamp(text)
        moments.append(moment)
        if text is None or (moment is not None and _PLAIN(text)):
            continue
        line = events.lines[index]
        if moment is None:
            number, offset = events.line_numbers[index], events.offsets[index]
            problems.append(Problem("field", number, offset, "timestamp reads as null", snippet(line)))
        events.lines[index] = _with_timestamp(line, moment)
    return moments, problems


def _with_timestamp(line: bytes, moment: datetime | None) -> bytes:
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    fields["timestamp"] = msgspec.Raw(msgspec.json.encode(None if moment is None else moment.isoformat()))
    return msgspec.json.encode(fields)
