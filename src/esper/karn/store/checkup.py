"""What is wrong, or may be, with the files of a telemetry folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from esper.karn.jsonl.beside import are_both_there, conflict_of
from esper.karn.jsonl.packing import temporary_of
from esper.karn.jsonl.source import is_archived
from esper.karn.settings import archive_of
from esper.karn.store.database import Store
from esper.karn.store.ranks import QuietRank, quiet_ranks, ranks_text
from esper.karn.store.runs import RunInfo
from esper.karn.textout import clean, counted

_GAPS = """
    SELECT run_dir, kind, sum(event_count)::BIGINT AS events, count(*) AS n, any_value(reason) AS reason
    FROM event_gaps GROUP BY run_dir, kind ORDER BY run_dir, kind"""
_ERRORS = """
    SELECT run_dir, kind, count(*) AS n, any_value(reason) AS example
    FROM ingest_errors GROUP BY run_dir, kind ORDER BY run_dir, kind"""

_GAP_WORDS = {
    "gap": "missing",
    "replayed": "lost, but written anew by a resumed training,",
    "repeat": "repeated",
}


class RunCheckup(msgspec.Struct, frozen=True, kw_only=True):
    """One run: how much of it was read, and what stands out."""

    run: RunInfo
    sealed_bytes: int
    """Of its event files, what segments stand for."""
    segments: int
    unused_segments: int
    """Segments that are torn, stale or of another version; their bytes were read from the JSONL."""
    archived_files: int
    """Event files that are there packed alone."""
    damaged: list[str]
    """What is wrong with archives that can't be read."""
    conflicts: list[str]
    """Event files that have something of their archive's name beside them, and what that means."""
    leftovers: list[str]
    """Names of what archivers and restorers left that were killed, or write now."""
    gaps: list[dict[str, Any]]
    """Missing, replayed and repeated sequence numbers, by kind; a reason where the writer noted one."""
    errors: list[dict[str, Any]]
    """Lines that were not read whole, by kind."""
    quiet_ranks: list[QuietRank]
    """Ranks that have not finished and write no more, or not for long."""
    ranks_said: list[str]
    """The same in words, and which ranks have written no file."""


def check_folder(store: Store) -> list[RunCheckup]:
    """Every run of a folder, the latest first.

    Args:
        store: refreshed.
    """
    gaps = _by_run(store, _GAPS)
    errors = _by_run(store, _ERRORS)
    checked = []
    for run in store.runs():
        files = [file for file in store.event_files() if file.run_dir == run.run_dir]
        quiet = quiet_ranks(files, store.select)
        checked.append(
            RunCheckup(
                run=run,
                sealed_bytes=sum(file.sealed_bytes for file in files),
                segments=sum(len(file.segments) for file in files),
                unused_segments=sum(len(store.unused_segments(file)) for file in files),
                archived_files=sum(is_archived(file.path) for file in files),
                damaged=store.damaged([run.run_dir]),
                conflicts=[text for file in files if (text := _conflict(file.path)) is not None],
                leftovers=[name for file in files for name in _leftovers(file.path)],
                gaps=gaps.get(run.run_dir, []),
                errors=errors.get(run.run_dir, []),
                quiet_ranks=quiet,
                ranks_said=ranks_text(quiet, files),
            )
        )
    return checked


def _conflict(path: Path) -> str | None:
    if not are_both_there(path):
        return None
    return conflict_of(path) or (
        f"{path.name} and its archive are both there, and the first is read: `karn archive` goes on where it "
        "was killed"
    )


def _leftovers(path: Path) -> list[str]:
    temporary = [temporary_of(path), temporary_of(archive_of(path))]
    return [each.name for each in temporary if os.path.lexists(each)]


def _by_run(store: Store, sql: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in store.select(sql).dicts():
        found.setdefault(row.pop("run_dir"), []).append(row)
    return found


def checkup_text(checked: list[RunCheckup], sealing_error: str | None) -> str:
    """The checkup for people."""
    lines = []
    for entry in checked:
        run = entry.run
        lines.append(
            f"{clean(run.run_dir)}: {run.status}, {counted(run.events, 'event')}, {run.bytes} bytes in "
            f"{counted(run.ranks, 'file')}, {counted(run.bad_lines, 'bad line')}, "
            f"{run.unread_bytes} bytes unread, {_percent(entry.sealed_bytes, run.bytes)} sealed in "
            f"{counted(entry.segments, 'segment')}"
            + (f", {counted(entry.archived_files, 'file')} archived" if entry.archived_files else "")
        )
        lines += [f"  events can't be read: {clean(damage)}" for damage in entry.damaged]
        lines += [f"  {clean(conflict)}" for conflict in entry.conflicts]
        lines += [
            f"  {clean(name)} is left of a killed `karn archive`; the next one removes it"
            for name in entry.leftovers
        ]
        for gap in entry.gaps:
            what = _GAP_WORDS[gap["kind"]]
            reason = f", {gap['reason']}" if gap["reason"] else ""
            events, places = counted(gap["events"], "event"), counted(gap["n"], "place")
            lines.append(f"  {events} {what} in {places}{reason}: see event_gaps")
        lines += [
            f"  {counted(error['n'], 'problem')} of kind {error['kind']}, such as: "
            f"{clean(error['example'])}: see ingest_errors"
            for error in entry.errors
        ]
        lines += [f"  {text}" for text in entry.ranks_said]
        if entry.unused_segments:
            lines.append(
                f"  {counted(entry.unused_segments, 'segment')} can't be used; `karn compact` writes anew"
            )
    if sealing_error:
        lines.append(f"sealing fails: {sealing_error}")
    return "\n".join(lines) or "no run yet: no <run>/events.jsonl in the telemetry folder"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
