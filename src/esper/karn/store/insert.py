"""Brings lines of one event type into the table for their rows in memory."""

from __future__ import annotations

from functools import lru_cache
from secrets import token_hex
from typing import Any

from esper.karn.jsonl.lines import EventLines, Problem
from esper.karn.store.eventfile import EventFile
from esper.karn.store.fields import readable_lines
from esper.karn.store.tables import ENVELOPE, TABLE_OF, EventTable, Field

_PLACE = f"place-{token_hex(8)}"
"""Key under which a line carries its place to the database; no event can have it."""
_PART_SHIFT = 44
"""A place is the number of a part, from 1, above this many bits of offset in its file."""


class TypedLines:
    """The lines of one event type, of one or several files."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._originals: list[str | None] = []
        self._absent: frozenset[str] | None = None
        self._parts: list[tuple[EventFile, int]] = []
        """Files and their attempts that lines are of."""
        self.files: list[tuple[int, EventFile]] = []
        """How many lines came from each file, in order."""

    def add(
        self, table: EventTable, file: EventFile, events: EventLines, indices: list[int], attempts: list[int]
    ) -> list[Problem]:
        """Take up a file's lines of this type; returns the problems of their fields."""
        lines, problems, absent = readable_lines(table, events, indices)
        self._absent = absent if self._absent is None else self._absent & absent
        if problems or self._originals:
            # Where a field was made null, ``data`` still says what was written.
            self._originals += [None] * (len(self._lines) - len(self._originals))
            self._originals += [events.lines[i].decode() for i in indices]
        # In the line itself: DuckDB unnests several lists beside each other in more than linear time.
        offsets = events.offsets
        begins = [f'{{"{_PLACE}":{place},' for place in self._places(file, offsets, indices, attempts)]
        self._lines += [begin + line.lstrip()[1:] for begin, line in zip(begins, lines, strict=True)]
        self.files.append((len(indices), file))
        return problems

    def _places(
        self, file: EventFile, offsets: list[int], indices: list[int], attempts: list[int]
    ) -> list[int]:
        part_of: dict[int, int] = {}
        for attempt in sorted({attempts[i] for i in indices}):
            self._parts.append((file, attempt))
            part_of[attempt] = len(self._parts) << _PART_SHIFT
        return [part_of[attempts[i]] | offsets[i] for i in indices]

    def insert(self, table: EventTable) -> tuple[str, list[Any]]:
        """The statement that inserts them, and its parameters."""
        absent = self._absent or frozenset()
        where = [
            [file.filename for file, _ in self._parts],
            [file.run_dir for file, _ in self._parts],
            [attempt for _, attempt in self._parts],
        ]
        if not self._originals:
            return _insert_sql(table.event_type, absent, with_originals=False), [self._lines, *where]
        sql = _insert_sql(table.event_type, absent, with_originals=True)
        return sql, [self._lines, *where, self._originals]


def _value_of(table: EventTable, field: Field) -> str:
    value = "t.data." + ".".join(f'"{step}"' for step in field.path)
    return f"coalesce(t.slot_id, {value})" if field.column == table.slot_column else value


@lru_cache(256)
def _insert_sql(event_type: str | None, absent: frozenset[str], *, with_originals: bool) -> str:
    """The statement for lines that have no field of ``absent``.

    It takes lines that carry their places, then the file name, run and attempt of each part; and originals
    of the lines where fields were made null (else NULL).
    """
    table = TABLE_OF[event_type]
    fields = [f for f in table.fields if f.path[0] not in absent or f.column == table.slot_column]
    structure = f'{{"{_PLACE}":"BIGINT",{table.structure_of(fields)[1:]}'
    part = f'(t."{_PLACE}" >> {_PART_SHIFT})'
    own = {
        "filename": f"list_extract($2::VARCHAR[], {part})",
        "run_dir": f"list_extract($3::VARCHAR[], {part})",
        "attempt": f"list_extract($4::INTEGER[], {part})",
        "file_offset": f't."{_PLACE}" & {(1 << _PART_SHIFT) - 1}',
        "data": "json_extract(line, '$.data')",
        # With an offset it is converted, without one it is taken for UTC.
        "timestamp": "try_cast(t.timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC'",
    }
    source = "unnest($1::VARCHAR[]) AS lines(line)"
    if with_originals:
        own["data"] = "json_extract(coalesce(original, line), '$.data')"
        source = "(SELECT unnest($1::VARCHAR[]) AS line, unnest($5::VARCHAR[]) AS original)"
    columns = [own.get(name, f't."{name}"') for name, _ in ENVELOPE]
    columns += [_value_of(table, field) for field in fields]
    names = ", ".join(f'"{name}"' for name in [*dict(ENVELOPE), *(field.column for field in fields)])
    return f"""
        INSERT INTO tail.{table.name} ({names})
        SELECT {", ".join(columns)}
        FROM (SELECT *, json_transform(line, '{structure}') AS t FROM {source})"""
