"""Puts new lines of the event files into the tables: each good line once, each bad one accounted for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

import duckdb
import msgspec

from esper.karn.jsonl.lines import EventLines, Problem, read_lines, snippet
from esper.karn.store.catalog import Catalog
from esper.karn.store.eventfile import EventFile
from esper.karn.store.filestate import FileState
from esper.karn.store.insert import TypedLines
from esper.karn.store.relations import SealedFiles
from esper.karn.store.resume import RESUME_SQL, note_resume_points
from esper.karn.store.routing import by_table, newer_formats, table_of
from esper.karn.store.sealing import region_left
from esper.karn.store.segments import Segment
from esper.karn.store.tables import TABLE_OF
from esper.karn.store.times import read_times
from esper.leyline.errors import TelemetryFileError

BATCH_BYTES = 32 << 20
"""About as much as one transaction takes in: each costs some 50 ms besides its lines, whatever it holds."""


class _Part(NamedTuple):
    """The next chunk of one file."""

    file: EventFile
    events: EventLines
    n_bytes: int


class Ingest:
    """Reads event files into the tables of one connection. One thread at a time.

    Args:
        connection: of the tables.
        catalog: of the same database.
        sealed: gives the files of all segments in use, by table.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        catalog: Catalog,
        sealed: Callable[[], Mapping[str, list[SealedFiles]]],
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._sealed = sealed
        self.rows: Counter[str] = Counter()
        """Rows in memory by table, over all files."""

    def read(self, files: Iterable[EventFile], on_taken: Callable[[int, list[EventFile]], None]) -> None:
        """Take in every whole line that the files have and the tables lack.

        Args:
            files: to read, each once.
            on_taken: told the bytes and files of each batch that is in the tables.

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
                on_taken(self._take_in_what_goes(batch), [part.file for part in batch])
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

    def _read_file(
        self, file: EventFile, batch: list[_Part], on_taken: Callable[[int, list[EventFile]], None]
    ) -> None:
        """Put what is new in a file into the batch; a full batch into the tables.

        What ``on_taken`` is told of must be all that was read: it seals files as far as they were read. So a
        batch goes into the tables before the chunk that it has no room for is read.
        """
        while True:
            # A chunk ends where a region does, so that whoever seals the region seals the same bytes.
            limit = min(BATCH_BYTES, region_left(file.tail.offset))
            if batch:
                unread = file.bytes_left()
                if batch[-1].file is file and not unread:
                    return
                waiting = sum(part.n_bytes for part in batch)
                if batch[-1].file is file or waiting + min(limit, unread) > BATCH_BYTES:
                    taken, files = self._take_in_what_goes(batch), [part.file for part in batch]
                    batch.clear()
                    on_taken(taken, files)
                    continue
            chunk = file.tail.read(limit)
            if chunk is None:
                return
            if chunk.restarted:
                self.forget(file)
                continue
            batch.append(_Part(file, read_lines(chunk), len(chunk.data)))

    def forget(self, file: EventFile, *, later: bool = False) -> None:
        """Delete everything that came from a file; its segments stand for nothing any more.

        Args:
            file: the file.
            later: relations follow when the catalog is next told something, since more is about to change.
        """
        file.segments = []
        with self._transaction():
            self._delete(file, None)
            self._connection.execute("DELETE FROM tail.resume_points WHERE filename = ?", [file.filename])
            self.rows -= file.tail_rows
            self._catalog.update(sealed=self._sealed(), in_memory=self.rows, later=later)
        file.forget()

    def adopt(self, file: EventFile, cover: list[Segment]) -> None:
        """Let segments stand for the beginning of a file, in place of the rows in memory.

        The catalog is not told: of many files that is done once.

        Raises:
            OSError: if the file can't be read.
        """
        last = cover[-1].meta
        ahead = last.end >= file.tail.offset
        left = Counter(file.tail_rows)
        with self._transaction():
            for table, count in self._delete(file, None if ahead else last.end).items():
                left[table] -= count
            if ahead:
                self._connection.execute("DELETE FROM tail.resume_points WHERE filename = ?", [file.filename])
                if last.resume_points:
                    self._connection.executemany(
                        "INSERT INTO tail.resume_points VALUES (?, ?, ?, ?, ?, ?)",
                        [[file.filename, *msgspec.to_builtins(point)] for point in last.resume_points],
                    )
        file.begin_at(cover)
        self.rows -= file.tail_rows
        file.tail_rows = +left
        self.rows += file.tail_rows

    def _delete(self, file: EventFile, end: int | None) -> dict[str, int]:
        """Delete a file's rows in memory, those before ``end`` or all; returns how many of each table."""
        deleted = {}
        for table in file.tail_rows:
            before = "" if end is None else f" AND file_offset < {end}"
            sql = f"DELETE FROM tail.{table} WHERE filename = ?{before}"
            row = self._connection.execute(sql, [file.filename]).fetchone()
            deleted[table] = row[0] if row else 0
        return deleted

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        created = self._catalog.checkpoint()
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            with suppress(duckdb.Error):
                self._connection.rollback()
            self._catalog.restore(created)
            raise

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
        rows: dict[str | None, TypedLines] = defaultdict(TypedLines)
        problems: list[tuple[EventFile, Problem]] = []
        states: list[tuple[EventFile, FileState]] = []
        for file, events, _ in batch:
            moments, unreadable_times = read_times(events)
            seen = file.seen_after(events, moments)
            found = [*events.problems, *unreadable_times, *newer_formats(file, events)]
            for event_type, indices in by_table(events).items():
                found += rows[event_type].add(TABLE_OF[event_type], file, events, indices, seen.attempts)
            problems += [(file, problem) for problem in found]
            states.append((file, seen.state))
        added = {file: Counter[str]() for file, _ in states}
        for event_type, of_type in rows.items():
            for count, file in of_type.files:
                added[file][TABLE_OF[event_type].name] += count
        for file, _ in problems:
            added[file]["problems"] += 1
        total = sum(added.values(), Counter(self.rows))
        resumed = [file for file, state in states if state.attempt > 1]
        with self._transaction():
            for name in total:
                self._catalog.require_table(name)
            for event_type, of_type in rows.items():
                self._connection.execute(*of_type.insert(TABLE_OF[event_type]))
            self._insert_problems(problems)
            self._catalog.update(in_memory=total, has_points=True if resumed else None)
            if resumed:
                self._catalog.require(RESUME_SQL)
            for file in resumed:
                note_resume_points(self._connection, file.filename)
        self.rows = total
        for file, state in states:
            file.state = state
            file.tail_rows += added[file]

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
            structure = table_of(events.probes[index]).structure
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
