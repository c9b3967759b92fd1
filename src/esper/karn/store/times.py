"""When events were written: the one reading of timestamps, so that Python and SQL know the same moments."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import msgspec

from esper.karn.jsonl.lines import EventLines, Problem, snippet
from esper.karn.jsonl.timestamps import parse_timestamp

_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII).fullmatch
"""Texts that DuckDB reads as Python does."""
_KARNS_OWN = re.compile(
    r"(?:\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}\+00:00\n)*",
    re.ASCII,
).fullmatch
"""Times as Karn writes them, a line each; their order is that of their texts. The last days of a month, which
not every month has, are looked at one by one."""


class Times(NamedTuple):
    """When a chunk's events were written."""

    known: list[datetime]
    """The first and the last moment, or all; enough to know both."""
    problems: list[Problem]
    """One for each time that can't be read."""


def read_times(events: EventLines) -> Times:
    """Read the times of events.

    A line whose text DuckDB could read otherwise is replaced by one that says the same plainly.
    """
    texts = [probe.timestamp for probe in events.probes]
    given = [text for text in texts if text is not None]
    if given and _KARNS_OWN("\n".join(given) + "\n"):
        return Times([_moment(min(given)), _moment(max(given))], [])
    known: list[datetime] = []
    problems: list[Problem] = []
    for index, text in enumerate(texts):
        moment = parse_timestamp(text)
        if moment is not None:
            known.append(moment)
        if text is None or (moment is not None and _PLAIN(text)):
            continue
        line = events.lines[index]
        if moment is None:
            number, offset = events.line_numbers[index], events.offsets[index]
            problems.append(Problem("field", number, offset, "timestamp reads as null", snippet(line)))
        events.lines[index] = _with_timestamp(line, moment)
    return Times(known, problems)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _with_timestamp(line: bytes, moment: datetime | None) -> bytes:
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    fields["timestamp"] = msgspec.Raw(msgspec.json.encode(None if moment is None else moment.isoformat()))
    return msgspec.json.encode(fields)
