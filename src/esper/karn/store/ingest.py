"""Puts new lines of the event files into the tables: each good line once, each bad one accounted for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import duckdb

from esper.karn.jsonl.lines import EventLines, Probe, Problem, read_lines, snippet
from esper.karn.store.eventfile import EventFile, FileState
from esper.karn.store.fields import readable_lines
from esper.karn.store.resume import note_resume_points
from esper.karn.store.tables import ENVELOPE, TABLE_OF, TABLES, EventTable
from esper.karn.store.times import read_times
from esper.leyline.errors import TelemetryFileError
from esper.leyline.events import SCHEMA

BATCH_BYTES = 8 << 20
"""About as much as one transaction takes in: each costs some 50 ms besides its lines, whatever it holds."""


class _Part(NamedTuple):
    """The next chunk of one file."""

    file: EventFile
    events: EventLines
    n_bytes: int


class Ingest:
    """Reads event files into the tables of one connection. One thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._insert_sql = {table.name: _insert_sql(table) for table in TABLES}

    def read(self, files: Iterable[EventFile], on_taken: Callable[[int], None]) -> None:
        """Take in every whole line that the files have and the tables lack.

        Args:
            files: to read, each once.
            on_taken: told the bytes of each batch that is in the tables.

        Raises:
            TelemetryFileError: if the database can't hold them; the next call begins those files anew.
        """
        batch: list[_Part] = []
        ahead: list[EventFile] = []
        try:
            for file in files:
                ahead = [*(part.file for part in batch), file]
                self._read_file(file, batch, on_taken)
            if batch:
                on_taken(self._take_in_what_goes(batch))
        except BaseException as error:  # the readers have gone on, and must not lose what the tables lack
            for file in ahead:
                self.forget(file)
                file.read_anew()
            if not isinstance(error, duckdb.Error):
                raise
            why = str(error).splitlines()[0]
            if isinstance(error, duckdb.OutOfMemoryException):
                why = "the folder holds more telemetry than fits into memory; move old runs out of it"
            names = ", ".join(file.filename for file in ahead[:3])
            raise TelemetryFileError(f"can't load {names}: {why}") from error

    def _read_file(self, file: EventFile, batch: list[_Part], on_taken: Callable[[int], None]) -> None:
        """Put what is new in a file into the batch; a full batch into the tables."""
        while (chunk := file.tail.read(BATCH_BYTES)) is not None:
            if chunk.restarted:
                batch[:] = [part for part in batch if part.file is not file]
                self.forget(file)
                continue
            full = sum(part.n_bytes for part in batch) + len(chunk.data) > BATCH_BYTES
            if batch and (full or batch[-1].file is file):
                taken = self._take_in_what_goes(batch)
                batch.clear()
                on_taken(taken)
            batch.append(_Part(file, read_lines(chunk), len(chunk.data)))

    def forget(self, file: EventFile) -> None:
        """Delete everything that came from a file."""
        self._connection.begin()
        for name in ("problems", "resume_points", *(table.name for table in TABLES)):
            self._connection.execute(f"DELETE FROM tail.{name} WHERE filename = ?", [file.filename])
        self._connection.commit()
        file.forget()

    def _take_in_what_goes(self, batch: list[_Part]) -> int:
        """Take in a batch, and return its bytes."""
        try:
            self._take_in(batch)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error:
            # One line that the database can't read, although it is JSON, would lose the whole batch.
            self._take_in([part._replace(events=self._without_refused(part.events)) for part in batch])
        return sum(part.n_bytes for part in batch)

    def _take_in(self, batch: list[_Part]) -> None:
        rows: dict[str | None, _Rows] = defaultdict(_Rows)
        problems: list[tuple[EventFile, Problem]] = []
        states: list[tuple[EventFile, FileState]] = []
        for file, events, _ in batch:
            moments, unreadable_times = read_times(events)
            seen = file.seen_after(events, moments)
            found = [*events.problems, *unreadable_times, *_newer_formats(file, events)]
            by_table: dict[str | None, list[int]] = defaultdict(list)
            for index, probe in enumerate(events.probes):
                by_table[_table_of(probe).event_type].append(index)
            for event_type, indices in by_table.items():
                found += rows[event_type].add(TABLE_OF[event_type], file, events, indices, seen.attempts)
            problems += [(file, problem) for problem in found]
            states.append((file, seen.state))
        self._connection.begin()
        try:
            for event_type, of_type in rows.items():
                self._connection.execute(self._insert_sql[TABLE_OF[event_type].name], of_type.parameters)
            self._insert_problems(problems)
            for file, state in states:
                if state.attempt > 1:
                    note_resume_points(self._connection, file.filename)
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()
        for file, state in states:
            file.state = state

    def _insert_problems(self, problems: list[tuple[EventFile, Problem]]) -> None:
        if not problems:
            return
        columns = [
            [file.run_dir for file, _ in problems],
            [file.filename for file, _ in problems],
            [p.line_number for _, p in problems],
            [p.offset for _, p in problems],
            [p.kind for _, p in problems],
            [p.reason for _, p in problems],
            [p.snippet for _, p in problems],
        ]
        self._connection.execute(
            "INSERT INTO tail.problems SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), "
            "unnest($3::BIGINT[]), unnest($4::BIGINT[]), unnest($5::VARCHAR[]), unnest($6::VARCHAR[]), "
            "unnest($7::VARCHAR[])",
            columns,
        )

    def _without_refused(self, events: EventLines) -> EventLines:
        kept = EventLines(lines=[], probes=[], offsets=[], line_numbers=[], problems=[*events.problems])
        for index, line in enumerate(events.lines):
            structure = _table_of(events.probes[index]).structure
            try:
                self._connection.execute("SELECT json_transform(?, ?)", [line.decode(), structure])
            except duckdb.Error:
                kept.problems.append(
                    Problem(
                        "line",
                        events.line_numbers[index],
                        events.offsets[index],
                        "JSON that the database can't read",
                        snippet(line),
                    )
                )
                continue
            kept.lines.append(line)
            kept.probes.append(events.probes[index])
            kept.offsets.append(events.offsets[index])
            kept.line_numbers.append(events.line_numbers[index])
        return kept


class _Rows:
    """The lines of one event type, of several files."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._originals: list[str | None] = []
        self._offsets: list[int] = []
        self._attempts: list[int] = []
        self._files: list[tuple[int, EventFile]] = []

    def add(
        self, table: EventTable, file: EventFile, events: EventLines, indices: list[int], attempts: list[int]
    ) -> list[Problem]:
        """Take up a file's lines of this type; returns the problems of their fields."""
        lines, problems = readable_lines(table, events, indices)
        self._lines += lines
        # Where a field was made null, ``data`` still says what was written.
        self._originals += [events.lines[i].decode() for i in indices] if problems else [None] * len(indices)
        self._offsets += [events.offsets[i] for i in indices]
        self._attempts += [attempts[i] for i in indices]
        self._files.append((len(indices), file))
        return problems

    @property
    def parameters(self) -> list[Any]:
        """What ``_insert_sql`` takes."""
        numbers = [number for number, (count, _) in enumerate(self._files, 1) for _ in range(count)]
        filenames = [file.filename for _, file in self._files]
        run_dirs = [file.run_dir for _, file in self._files]
        return [self._lines, self._originals, self._offsets, self._attempts, numbers, filenames, run_dirs]


def _table_of(probe: Probe) -> EventTable:
    """The table for an event; what a newer format means is not known, so that raw_events alone shows it."""
    newer = probe.schema is not None and probe.schema > SCHEMA
    return TABLE_OF[None] if newer else TABLE_OF.get(probe.event_type, TABLE_OF[None])


def _newer_formats(file: EventFile, events: EventLines) -> list[Problem]:
    """One warning for each newer format that a file holds, at its first event."""
    problems: list[Problem] = []
    newest = file.state.newest_format
    for index, probe in enumerate(events.probes):
        if probe.schema is None or probe.schema <= newest:
            continue
        newest = probe.schema
        reason = f"written in format {newest}, newer than {SCHEMA}: only raw_events has it; update Karn"
        number, offset = events.line_numbers[index], events.offsets[index]
        problems.append(Problem("schema", number, offset, reason, snippet(events.lines[index])))
    return problems


def _insert_sql(table: EventTable) -> str:
    """Takes lines, originals where fields were made null (else NULL), offsets, attempts, numbers of files
    from 1, and the files' names and runs."""
    columns = []
    for name, _ in ENVELOPE:
        if name == "timestamp":
            # With an offset it is converted, without one it is taken for UTC.
            columns.append("try_cast(t.timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC'")
        elif name == "data":
            columns.append("json_extract(coalesce(original, line), '$.data')")
        elif name in ("filename", "run_dir"):
            columns.append(f"list_extract({'$6' if name == 'filename' else '$7'}::VARCHAR[], file_number)")
        elif name in ("attempt", "file_offset"):
            columns.append(name)
        else:
            columns.append(f't."{name}"')
    columns += ["t.data." + ".".join(f'"{step}"' for step in field.path) for field in table.fields]
    return f"""
        INSERT INTO tail.{table.name}
        SELECT {", ".join(columns)}
        FROM (
            SELECT *, json_transform(line, '{table.structure}') AS t
            FROM (
                SELECT
                    unnest($1::VARCHAR[]) AS line,
                    unnest($2::VARCHAR[]) AS original,
                    unnest($3::BIGINT[]) AS file_offset,
                    unnest($4::INTEGER[]) AS attempt,
                    unnest($5::INTEGER[]) AS file_number
            )
        )"""
