"""Makes a line's typed fields safe for the database, and accounts for those that were not."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from esper.karn.jsonl.lines import EventLines, Problem, snippet
from esper.karn.store.tables import WIDE_MAX, EventTable
from esper.leyline.lenient import UnreadableError, null_unreadable

_FEW_BYTES = 256 << 10
"""Up to this much it pays to look for each field: a column more costs DuckDB 0.07 ms a statement."""


class ReadableLines(NamedTuple):
    """The lines of one event type with every field of a wrong type as null."""

    lines: list[str]
    problems: list[Problem]
    """One for each such field."""
    absent: frozenset[str]
    """Names of fields, or of objects with fields, that none of these lines has; as far as it was looked."""


def readable_lines(table: EventTable, events: EventLines, indices: list[int]) -> ReadableLines:
    """Make a chunk's lines of one event type safe for the database.

    Args:
        table: the type's table.
        events: a chunk's events.
        indices: which of them are of this type.
    """
    data = b"\n".join([events.probes[index].data for index in indices])
    if _all_readable(table, data):
        return ReadableLines([events.lines[index].decode() for index in indices], [], _absent(table, data))
    lines: list[str] = []
    problems: list[Problem] = []
    decode = table.reader.decode if table.fields else None
    wide = table.wide
    for index in indices:
        line = events.lines[index]
        if decode is not None:
            try:
                fields = decode(events.probes[index].data)
                fits = not wide or _fits(fields, wide)
            except msgspec.ValidationError:
                fits = False
            if not fits:
                line, bad = _without_unreadable(table, line)
                problems += [
                    Problem(
                        "field",
                        events.line_numbers[index],
                        events.offsets[index],
                        f"data{'.' if name else ''}{name} reads as null",
                        snippet(events.lines[index]),
                    )
                    for name in bad
                ]
        lines.append(line.decode())
    return ReadableLines(lines, problems, frozenset())


def _all_readable(table: EventTable, data: bytes) -> bool:
    """Whether no field of these lines has a wrong type; one call for all of them."""
    if not table.fields:
        return True
    try:
        found = table.reader.decode_lines(data)
    except msgspec.ValidationError:
        return False
    return not table.wide or all(_fits(fields, table.wide) for fields in found)


def _absent(table: EventTable, data: bytes) -> frozenset[str]:
    if b"\\u" in data:  # names may be spelled so
        return frozenset()
    names = table.top_names if len(data) < _FEW_BYTES else table.nested
    return frozenset(name for name in names if b'"%b"' % name.encode() not in data)


def _fits(fields: Any, wide: list[str]) -> bool:
    return all((getattr(fields, name, None) or 0) <= WIDE_MAX for name in wide)


def _without_unreadable(table: EventTable, line: bytes) -> tuple[bytes, list[str]]:
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    data = msgspec.json.decode(fields["data"])
    if not isinstance(data, dict):
        fields["data"] = msgspec.Raw(b"null")
        return msgspec.json.encode(fields), [""]
    try:
        bad = null_unreadable(data, table.reader_type)
    except UnreadableError:  # a nested field is no object where one belongs
        bad, data = sorted(data), {}
    for name in table.wide:
        number = msgspec.convert(data.get(name), int | None, strict=False)
        if number is not None and number > WIDE_MAX:
            data[name] = None
            bad.append(name)
    fields["data"] = msgspec.Raw(msgspec.json.encode(data))
    return msgspec.json.encode(fields), bad
