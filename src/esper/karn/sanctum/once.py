"""What Sanctum shows, once and without a screen: as text for logs and pipes, and as data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.text import Text

from esper.karn.sanctum.effects import LEGEND as EFFECTS_LEGEND
from esper.karn.sanctum.effects import effect_lines
from esper.karn.sanctum.feed import RunFeed, utc_now
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.header import header_text
from esper.karn.sanctum.runs import newest_run
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.text import FREE_RATE, RATE, change_text, legend, slots_text, trend_legend, where
from esper.karn.sanctum.verdict_line import NAMED, verdict_text
from esper.karn.sanctum.widgets.level_table import level_table
from esper.karn.settings import find_event_files
from esper.leyline.errors import NotFoundError, unknown_name

_SLICE_BYTES = 8 << 20
CHANGES_SHOWN = 10
"""Latest changes in the text."""
_WIDTH, _LEAST_WIDTH = 100, 20


def width_here() -> int:
    """Characters of a line: as COLUMNS says, else the terminal, else 100."""
    return max(_LEAST_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)


def read_run(telemetry_dir: Path, run_dir: str | None, now: datetime) -> SanctumSnapshot:
    """A run as it stands, read to its end.

    Args:
        telemetry_dir: folder of all runs.
        run_dir: the run, None for the latest.
        now: UTC, by which the run is running or silent.

    Raises:
        NotFoundError: if there is no such run, or none at all.
    """
    feed = RunFeed(telemetry_dir / existing_run(telemetry_dir, run_dir))
    while feed.poll(_SLICE_BYTES) or feed.behind:
        pass
    return feed.snapshot(now)


def existing_run(telemetry_dir: Path, run_dir: str | None) -> str:
    """The run's name if it is there, the latest run's for None.

    Raises:
        NotFoundError: if there is no such run, or none at all.
    """
    if run_dir is None:
        latest = newest_run(telemetry_dir)
        if latest is None:
            raise NotFoundError(f"no run in {telemetry_dir} yet: start a training, or give --telemetry-dir")
        return latest
    runs = find_event_files(telemetry_dir)
    if run_dir not in runs:
        raise unknown_name("run", run_dir, runs)
    return run_dir


def once_text(
    telemetry_dir: Path,
    run_dir: str | None = None,
    *,
    width: int = _WIDTH,
    color: bool = False,
    glyphs: Glyphs = UNICODE,
    now: Callable[[], datetime] = utc_now,
) -> str:
    """The screen's state as text: header, verdict, every slot, the latest changes.

    Args:
        telemetry_dir: folder of all runs.
        run_dir: the run, None for the latest.
        width: characters of a line.
        color: with ANSI colours.
        glyphs: to draw with.
        now: gives the time in UTC.

    Raises:
        NotFoundError: if there is no such run, or none at all.
    """
    moment = now()
    snapshot = read_run(telemetry_dir, run_dir, moment)
    drawn = StringIO()
    console = Console(
        file=drawn,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        legacy_windows=False,
    )
    verdict = verdict_text(snapshot, glyphs)
    verdict.no_wrap, verdict.overflow = False, "fold"
    console.print(header_text(snapshot.run, str(telemetry_dir), moment, glyphs))
    console.print(verdict)
    if snapshot.slots:
        table = level_table(snapshot.slots.items(), width, glyphs=glyphs)
        console.print(Group("", table, *(Text(words, "dim") for words in _words(glyphs))))
    if snapshot.without_seed:
        console.print(_without_seed(snapshot, glyphs))
    if snapshot.effects:
        console.print("\nbeyond NOOP")
        console.print(effect_lines(snapshot.effects), Text(EFFECTS_LEGEND, "dim"), sep="\n")
    if snapshot.changes:
        console.print("\nlatest changes (times in UTC)")
        latest = snapshot.changes[-CHANGES_SHOWN:]
        console.print(*(change_text(change, glyphs) for change in latest), sep="\n")
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n"


def _without_seed(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    """How many judgements have no row in the table, and which are the worst of them."""
    verdicts = snapshot.without_seed
    named = ", ".join(
        f"{where(verdict.env_id, verdict.slot_id, glyphs=glyphs)} ({verdict.label.replace('_', ' ')})"
        for verdict in verdicts[:NAMED]
    )
    more = f" and {len(verdicts) - NAMED:,} more" if len(verdicts) > NAMED else ""
    return Text(f"\n{slots_text(len(snapshot.slots), len(verdicts))}: {named}{more}")


def _words(glyphs: Glyphs) -> tuple[str, ...]:
    """What the table's signs and numbers mean, as there is no help page."""
    return (
        legend(glyphs),
        f"trend: {trend_legend(glyphs)}",
        f"rate: {RATE}",
        f"free rate: {FREE_RATE}",
    )


def once_json(
    telemetry_dir: Path, run_dir: str | None = None, *, now: Callable[[], datetime] = utc_now
) -> dict[str, Any]:
    """The screen's state as plain dicts and lists.

    Returns:
        ``run`` (as RunPosition); ``band``, ``reversal_rate``, ``n_pairs`` and ``n_reversals`` of the whole
        run; ``thrashing``, the slots that are named; ``slots``, every slot's verdict, the worst first;
        ``rows``, the seeds on the screen, with the levels that each went through; ``without_seed``, those of
        ``slots`` that have no row, since they hold no seed now; ``changes``, the latest
        level changes, begins and ends of seeds, as LevelChange; ``effects``, what each op did against the
        NOOP baseline, as in the verdict; ``first_thrash``, [episode, epoch] where the earliest of the named
        slots began to, or null; ``moment``, null for the run's end, which is what is told.

    Raises:
        NotFoundError: if there is no such run, or none at all.
    """
    snapshot = read_run(telemetry_dir, run_dir, now())
    verdicts = [msgspec.to_builtins(verdict) for verdict in snapshot.verdicts]
    rows = [
        asdict(state) | {"verdict": None if state.verdict is None else state.verdict.label}
        for state in snapshot.slots.values()
    ]
    run = asdict(snapshot.run)
    last = snapshot.run.last_event_at
    return {
        "run": run | {"last_event_at": None if last is None else last.isoformat()},
        "band": snapshot.band,
        "reversal_rate": snapshot.reversal_rate,
        "n_pairs": snapshot.n_pairs,
        "n_reversals": snapshot.n_reversals,
        "thrashing": [[verdict.env_id, verdict.slot_id] for verdict in snapshot.thrashing],
        "slots": verdicts,
        "rows": rows,
        "without_seed": [msgspec.to_builtins(verdict) for verdict in snapshot.without_seed],
        "changes": [asdict(change) for change in snapshot.changes],
        "effects": [msgspec.to_builtins(effect) for effect in snapshot.effects],
        "first_thrash": snapshot.first_thrash,
        "moment": snapshot.moment,
    }
