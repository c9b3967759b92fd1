"""Which events go into which table."""

from __future__ import annotations

from collections import defaultdict

from esper.karn.jsonl.lines import EventLines, Probe, Problem, snippet
from esper.karn.store.eventfile import EventFile
from esper.karn.store.tables import TABLE_OF, EventTable
from esper.leyline.events import SCHEMA


def table_of(probe: Probe) -> EventTable:
    """The table for an event; what a newer format means is not known, so that raw_events alone shows it."""
    newer = probe.schema is not None and probe.schema > SCHEMA
    return TABLE_OF[None] if newer else TABLE_OF.get(probe.event_type, TABLE_OF[None])


def by_table(events: EventLines) -> dict[str | None, list[int]]:
    """Which of a chunk's events go into which table, by the table's event type."""
    grouped: dict[str | None, list[int]] = defaultdict(list)
    if events.newest_format > SCHEMA:
        for index, probe in enumerate(events.probes):
            grouped[table_of(probe).event_type].append(index)
        return grouped
    by_type: dict[str, list[int]] = defaultdict(list)
    for index, probe in enumerate(events.probes):
        by_type[probe.event_type].append(index)
    for event_type, indices in by_type.items():
        grouped[event_type if event_type in TABLE_OF else None] += indices
    if len(by_type) > len(grouped):
        grouped[None].sort()
    return grouped


def newer_formats(file: EventFile, events: EventLines) -> list[Problem]:
    """One warning for each newer format that a file holds, at its first event."""
    problems: list[Problem] = []
    if events.newest_format <= SCHEMA:
        return problems
    newest = file.state.newest_format
    for index, probe in enumerate(events.probes):
        if probe.schema is None or probe.schema <= newest:
            continue
        newest = probe.schema
        reason = f"written in format {newest}, newer than {SCHEMA}: only raw_events has it; update Karn"
        number, offset = events.line_numbers[index], events.offsets[index]
        problems.append(Problem("schema", number, offset, reason, snippet(events.lines[index])))
    return problems
