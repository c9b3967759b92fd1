"""What the tests of segments share: small regions, a folder with two runs, and every answer there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from esper.karn.store import sealing
from esper.karn.store.database import Store
from store_support import LIVE_VIEWS, level_change, write_lines
from support import write_run

REGION = 50_000
EVERYTHING = ("events", "ingest_errors", "event_gaps", "slot_thrash", "runs", *LIVE_VIEWS)


def shrink_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions of a few lines, so that a small run has many segments."""
    monkeypatch.setattr(sealing, "REGION_BYTES", REGION)
    monkeypatch.setattr(sealing, "LEAST_BYTES", 0)
    monkeypatch.setattr(sealing, "MERGE_BYTES", 2 * REGION)


def two_runs(tmp_path: Path) -> Path:
    """A telemetry folder with a whole run and one with bad lines."""
    folder = tmp_path / "telemetry"
    write_run(folder, "one", policy="random", prune_at=10, fossilize_at=15)
    path = write_run(folder, "two", policy="oscillate")
    write_lines(path, b"not json", level_change(1, 0, 1), level_change(9, 0, 3.5))
    return folder


def answers(store: Store) -> dict[str, list[str]]:
    """Every row of every view that rests on segments, in no order."""
    found = {}
    for view in EVERYTHING:
        rows = store.select(f"SELECT * FROM {view}")
        found[view] = sorted(json.dumps(row) for row in rows.rows)
    return found


def from_jsonl(folder: Path) -> dict[str, list[str]]:
    """The answers of a store that uses no segment, from a copy of the event files alone."""
    copy = folder.with_name("plain")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("segments"))
    with Store(copy, seal=False) as store:
        store.refresh()
        found = answers(store)
    shutil.rmtree(copy)
    return found


def sealed(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/segments/events*@*"))


def covered(store: Store) -> int:
    return sum(file.sealed_bytes for file in store.event_files())
