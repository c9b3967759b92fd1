"""Takes what is on the screen away as files: the rows as CSV or JSON, the screen as SVG.

A file is there whole or not at all, and never takes the place of another: the next one gets a number.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Literal

from textual.app import App

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.state import SanctumSnapshot, SlotInternalState
from esper.karn.textout import clean
from esper.leyline.errors import TelemetryUsageError

ExportKind = Literal["csv", "json"]

_SHOWN = (
    *("env_id", "slot_id", "rank", "seed_id", "blueprint_id"),
    *("level", "max_level", "trend", "fossilized", "outdated", "episode_idx", "last_change_epoch"),
    *("band", "indicator", "reversal_rate", "n_pairs", "window_reversal_rate"),
)
_POOLED = tuple(name for name in SlotVerdict.__struct_fields__ if name not in _SHOWN)
COLUMNS = ("run_dir", "moment_episode", "moment_epoch", *_SHOWN, *_POOLED, "levels")
"""Of a row: its run, the moment of it that is told of (none is its end, as far as it was read), what the
screen shows of its seed, then the slot's every pooled number."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
_NAME_CHARACTERS = 60


def export_view(
    kind: ExportKind, rows: Sequence[SlotInternalState], snapshot: SanctumSnapshot, folder: Path
) -> Path:
    """Write the rows of a view, in the order in which they stand on the screen.

    CSV holds one line for each row. A text that a spreadsheet would take for a formula (it begins with
    ``=``, ``+``, ``-``, ``@``, a tab or a carriage return) gets an apostrophe before it, and so does a text
    that begins with one: dropping one leading apostrophe gives the name back. Numbers stay numbers.
    Control characters become U+FFFD. JSON holds every text as it is, with the run and its pooled numbers.
    Each row says of which moment of the run it is.

    Args:
        kind: csv or json.
        rows: filtered and sorted as they are shown.
        snapshot: what they were taken from.
        folder: where the file goes; made if it is missing.

    Returns:
        The new file.

    Raises:
        TelemetryUsageError: if it can't be written.
    """
    table = [_row(row, snapshot) for row in rows]
    text = _csv(table) if kind == "csv" else _json(table, snapshot)
    return _write_new(folder, _stem(snapshot.run.run_dir), kind, text)


def export_screen_svg(app: App[Any], folder: Path, run_dir: str | None = None) -> Path:
    """Write the screen as it is at this moment, as SVG.

    Args:
        app: the running viewer.
        folder: where the file goes; made if it is missing.
        run_dir: the run on the screen, for the file's name and the picture's title.

    Raises:
        TelemetryUsageError: if it can't be written.
    """
    title = "karn sanctum" if run_dir is None else f"karn sanctum {clean(run_dir)}"
    return _write_new(folder, _stem(run_dir), "svg", app.export_screenshot(title=title))


def _row(state: SlotInternalState, snapshot: SanctumSnapshot) -> dict[str, Any]:
    episode, epoch = snapshot.moment or (None, None)
    row: dict[str, Any] = {"run_dir": snapshot.run.run_dir, "moment_episode": episode, "moment_epoch": epoch}
    row |= {name: getattr(state, name) for name in _SHOWN}
    row |= {name: None if state.verdict is None else getattr(state.verdict, name) for name in _POOLED}
    return row | {"levels": state.levels}


def _csv(table: Sequence[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in table)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA_STARTS) else "") + clean(value)


def _json(table: Sequence[dict[str, Any]], snapshot: SanctumSnapshot) -> str:
    last = snapshot.run.last_event_at
    view = {
        "run": asdict(snapshot.run) | {"last_event_at": None if last is None else last.isoformat()},
        "moment": snapshot.moment,
        "band": snapshot.band,
        "reversal_rate": snapshot.reversal_rate,
        "n_pairs": snapshot.n_pairs,
        "n_reversals": snapshot.n_reversals,
        "rows": table,
    }
    # Escaped to ASCII: no name in it can steer a terminal that it is printed to.
    return json.dumps(view, indent=2) + "\n"


def _stem(run_dir: str | None) -> str:
    # A run's name may be almost as long as a file's name can be.
    return "sanctum" if run_dir is None else f"sanctum-{clean(run_dir[:_NAME_CHARACTERS])}"


def _write_new(folder: Path, stem: str, suffix: str, text: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _reserve(folder, stem, suffix)
    except OSError as error:
        raise _refused(folder, error) from error
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="")
        os.replace(unfinished, path)
    except OSError as error:
        for left in (unfinished, path):
            left.unlink(missing_ok=True)
        raise _refused(folder, error) from error
    return path


def _reserve(folder: Path, stem: str, suffix: str) -> Path:
    """An empty file under the first name that is free, so that no other process can take it meanwhile."""
    for number in count(1):
        path = folder / (f"{stem}.{suffix}" if number == 1 else f"{stem}-{number}.{suffix}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("numbers do not end")


def _refused(folder: Path, error: OSError) -> TelemetryUsageError:
    return TelemetryUsageError(f"can't write into {folder}: {error.strerror}; choose another folder")
