"""Brings lines of one event type into the table for their rows in memory."""

from __future__ import annotations

from functools import lru_cache
from secrets import token_hex
from typing import Any

from esper.karn.jsonl.lines import EventLines, Problem
from esper.karn.store.eventfile import EventFile
from esper.karn.store.fields import readable_lines
from esper.karn.store.tables import ENVELOPE, TABLE_OF, EventTable

_OFFSET = f"offset-{token_hex(8)}"
"""Key under which a line carries its own place in the file to the database; no event can have it."""


class TypedLines:
    """The lines of one event type, of one or several files."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._originals: list[str | None] = []
        self._offsets: list[int] = []
        self._attempts: list[int] = []
        self._absent: frozenset[str] | None = None
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
        self._lines += lines
        self._offsets += [events.offsets[i] for i in indices]
        self._attempts += [attempts[i] for i in indices]
        self.files.append((len(indices), file))
        return problems

    def insert(self, table: EventTable) -> tuple[str, list[Any]]:
        """The statement that inserts them, and its parameters."""
        file = self.files[0][1]
        absent = self._absent or frozenset()
        first, last = self._attempts[0], self._attempts[-1]
        if len(self.files) == 1 and first == last and not self._originals:
            where = [first, file.filename, file.run_dir]
            # One list instead of two: DuckDB unnests several beside each other in more than linear time.
            lines = [
                f'{{"{_OFFSET}":{offset},{line.lstrip()[1:]}'
                for offset, line in zip(self._offsets, self._lines, strict=True)
            ]
            return _insert_sql(table.event_type, absent, plain=True), [lines, *where]
        numbers = [number for number, (count, _) in enumerate(self.files, 1) for _ in range(count)]
        filenames = [of.filename for _, of in self.files]
        run_dirs = [of.run_dir for _, of in self.files]
        originals = self._originals or [None] * len(self._lines)
        return _insert_sql(table.event_type, absent, plain=False), [
            self._lines,
            self._offsets,
            originals,
            self._attempts,
            numbers,
            filenames,
            run_dirs,
        ]


@lru_cache(256)
def _insert_sql(event_type: str | None, absent: frozenset[str], *, plain: bool) -> str:
    """The statement for lines that have no field of ``absent``.

    Plain, it takes lines that carry their offsets, then one attempt, file name and run for all of them. Else
    lines, offsets, originals where fields were made null (else NULL), attempts, numbers of files from 1, and
    the files' names and runs.
    """
    table = TABLE_OF[event_type]
    fields = [field for field in table.fields if field.path[0] not in absent]
    structure = table.structure_of(fields)
    if plain:
        own = {
            "attempt": "$2",
            "filename": "$3",
            "run_dir": "$4",
            "file_offset": f't."{_OFFSET}"',
            "data": "json_extract(line, '$.data')",
        }
        structure = f'{{"{_OFFSET}":"BIGINT",{structure[1:]}'
        source = "unnest($1::VARCHAR[]) AS lines(line)"
    else:
        own = {
            "attempt": "attempt",
            "filename": "list_extract($6::VARCHAR[], file_number)",
            "run_dir": "list_extract($7::VARCHAR[], file_number)",
            "file_offset": "file_offset",
            "data": "json_extract(coalesce(original, line), '$.data')",
        }
        source = """(SELECT unnest($1::VARCHAR[]) AS line, unnest($2::BIGINT[]) AS file_offset,
            unnest($3::VARCHAR[]) AS original, unnest($4::INTEGER[]) AS attempt,
            unnest($5::INTEGER[]) AS file_number)"""
    # With an offset it is converted, without one it is taken for UTC.
    own["timestamp"] = "try_cast(t.timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
    names = ", ".join(f'"{name}"' for name in [*dict(ENVELOPE), *(field.column for field in fields)])
    columns = [own.get(name, f't."{name}"') for name, _ in ENVELOPE]
    columns += ["t.data." + ".".join(f'"{step}"' for step in field.path) for field in fields]
    return f"""
        INSERT INTO tail.{table.name} ({names})
        SELECT {", ".join(columns)}
        FROM (SELECT *, json_transform(line, '{structure}') AS t FROM {source})"""
