"""Puts new lines of the event files into the tables: each good line once, each bad one accounted for."""

from __future__ import annotations

from collections import defaultdict

import duckdb

from esper.karn.jsonl.lines import EventLines, Problem, read_lines, snippet
from esper.karn.store.eventfile import EventFile
from esper.karn.store.fields import readable_lines
from esper.karn.store.resume import note_resume_points
from esper.karn.store.tables import ENVELOPE, TABLE_OF, TABLES, EventTable
from esper.leyline.events import SCHEMA


class Ingest:
    """Reads event files into the tables of one connection. One thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._insert_sql = {table.name: _insert_sql(table) for table in TABLES}

    def read_chunk(self, file: EventFile) -> int | None:
        """Take in the next chunk of a file, whole or not at all.

        Returns:
            Bytes taken in, None if there was nothing new.
        """
        chunk = file.tail.read()
        if chunk is None:
            return None
        if chunk.restarted:
            self.forget(file)
            return 0
        events = read_lines(chunk)
        try:
            self._take_in(file, events)
        except duckdb.Error:
            # One line that the database can't read, although it is JSON, would lose the whole chunk.
            self._take_in(file, self._without_refused(events))
        return len(chunk.data)

    def forget(self, file: EventFile) -> None:
        """Delete everything that came from a file."""
        self._connection.begin()
        for name in ("problems", "resume_points", *(table.name for table in TABLES)):
            self._connection.execute(f"DELETE FROM tail.{name} WHERE filename = ?", [file.filename])
        self._connection.commit()
        file.forget()

    def _take_in(self, file: EventFile, events: EventLines) -> None:
        seen = file.seen_after(events)
        problems = [*events.problems, *_newer_format(file, events)]
        by_table: dict[str | None, list[int]] = defaultdict(list)
        for index, probe in enumerate(events.probes):
            by_table[probe.event_type if probe.event_type in TABLE_OF else None].append(index)
        self._connection.begin()
        try:
            for event_type, indices in by_table.items():
                problems += self._insert(TABLE_OF[event_type], file, events, indices, seen.attempts)
            self._insert_problems(file, problems)
            if seen.state.attempt > 1:
                note_resume_points(self._connection, file.filename)
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()
        file.state = seen.state

    def _insert(
        self, table: EventTable, file: EventFile, events: EventLines, indices: list[int], attempts: list[int]
    ) -> list[Problem]:
        lines, problems = readable_lines(table, events, indices)
        originals = [events.lines[i].decode() for i in indices] if problems else None
        self._connection.execute(
            self._insert_sql[table.name],
            [
                lines,
                originals,
                [events.offsets[i] for i in indices],
                [attempts[i] for i in indices],
                file.filename,
                file.run_dir,
            ],
        )
        return problems

    def _insert_problems(self, file: EventFile, problems: list[Problem]) -> None:
        if not problems:
            return
        columns = [
            [p.line_number for p in problems],
            [p.offset for p in problems],
            [p.kind for p in problems],
            [p.reason for p in problems],
            [p.snippet for p in problems],
        ]
        self._connection.execute(
            "INSERT INTO tail.problems SELECT $1, $2, unnest($3::BIGINT[]), unnest($4::BIGINT[]), "
            "unnest($5::VARCHAR[]), unnest($6::VARCHAR[]), unnest($7::VARCHAR[])",
            [file.run_dir, file.filename, *columns],
        )

    def _without_refused(self, events: EventLines) -> EventLines:
        kept = EventLines(lines=[], probes=[], offsets=[], line_numbers=[], problems=[*events.problems])
        for index, line in enumerate(events.lines):
            table = TABLE_OF[
                events.probes[index].event_type if events.probes[index].event_type in TABLE_OF else None
            ]
            try:
                self._connection.execute("SELECT json_transform(?, ?)", [line.decode(), table.structure])
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


def _newer_format(file: EventFile, events: EventLines) -> list[Problem]:
    """One warning for each chunk that holds events of a newer format."""
    for index, probe in enumerate(events.probes):
        if probe.schema is not None and probe.schema > SCHEMA:
            reason = f"written in format {probe.schema}, newer than {SCHEMA}: update Karn to read all of it"
            return [
                Problem(
                    "schema",
                    events.line_numbers[index],
                    events.offsets[index],
                    reason,
                    snippet(events.lines[index]),
                )
            ]
    return []


def _insert_sql(table: EventTable) -> str:
    """Takes lines, originals where fields were made null (else NULL), offsets, attempts, file and run."""
    columns = []
    for name, _ in ENVELOPE:
        if name == "timestamp":
            # With an offset it is converted, without one it is taken for UTC.
            columns.append("try_cast(t.timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC'")
        elif name == "data":
            columns.append("json_extract(coalesce(original, line), '$.data')")
        elif name in ("filename", "run_dir"):
            columns.append("$5" if name == "filename" else "$6")
        elif name in ("attempt", "file_offset"):
            columns.append(name)
        else:
            columns.append(f't."{name}"')
    columns += ["t.data." + ".".join(f'"{step}"' for step in field.path) for field in table.fields]
    return f"""
        INSERT INTO tail.{table.name}
        SELECT {", ".join(columns)}
        FROM (
            SELECT line, original, file_offset, attempt, json_transform(line, '{table.structure}') AS t
            FROM (
                SELECT
                    unnest($1::VARCHAR[]) AS line,
                    unnest($2::VARCHAR[]) AS original,
                    unnest($3::BIGINT[]) AS file_offset,
                    unnest($4::INTEGER[]) AS attempt
            )
        )"""
