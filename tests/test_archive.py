"""karn archive: event files go, every answer stays, and all of it comes back byte for byte."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from archive_support import RESUMED, RUNS, archive, event_files, every_kind_of_run
from esper.karn.jsonl import packed
from esper.karn.sanctum.once import once_json
from esper.karn.store import segments
from esper.karn.store.archive import restore_run
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.karn.validate import validate_file
from fault_support import Nursery
from segment_support import sealed, shrink_regions
from store_support import level_change, open_store, write_lines
from support import write_run
from test_upkeep import doctor


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    return every_kind_of_run(tmp_path)


def everything(store: Store) -> dict[str, object]:
    """Every row of every view, every run, and how much of the files was read."""
    found: dict[str, object] = {}
    for view in (*store.views, "events"):
        rows = store.select(f"FROM {view}").rows
        found[view] = sorted(json.dumps(rounded(row), default=str) for row in rows)
    for run in store.runs():
        found[f"run {run.run_dir}"] = {
            name: getattr(run, name) for name in run.__struct_fields__ if name != "age_s"
        }
        of = store.as_of([run.run_dir])
        found[f"as of {run.run_dir}"] = (of.bytes, of.lines, of.bad_lines, of.lag_bytes)
        found[f"verdict {run.run_dir}"] = rounded(msgspec.to_builtins(thrash_verdict(store, run.run_dir)))
    return found


def rounded(value: object) -> object:
    """Sums whose order is the database's own may differ in their last digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def fresh(folder: Path) -> dict[str, object]:
    with open_store(folder) as store:
        return everything(store)


def test_everything_is_answered_as_before_and_comes_back_byte_for_byte(telemetry, monkeypatch):
    shrink_regions(monkeypatch)
    before, bytes_before = fresh(telemetry), event_files(telemetry)
    validated = {name: validate_file(telemetry / name) for name in bytes_before}
    archive(telemetry)
    assert event_files(telemetry) == {}
    with open_store(telemetry) as store:
        assert everything(store) == before
        assert [file.filename for file in store.event_files() if file.tail_rows] == []
    assert {name: validate_file(telemetry / name) for name in bytes_before} == validated
    for run in RUNS:
        restore_run(telemetry, run)
    assert event_files(telemetry) == bytes_before
    assert list(telemetry.glob("*/*.gz")) == []
    after = fresh(telemetry)
    for of in ("run", "verdict"):  # nobody can say of a file made anew whether its writer lives
        assert before.pop(f"{of} {RESUMED}")["status"] == "crashed" != after.pop(f"{of} {RESUMED}")["status"]
    assert after == before


def test_an_archive_is_plain_gzip(telemetry):
    expected = event_files(telemetry)
    archive(telemetry)
    for name, data in expected.items():
        assert gzip.decompress((telemetry / f"{name}.gz").read_bytes()) == data
        assert subprocess.run(["gunzip", "-c", telemetry / f"{name}.gz"], capture_output=True).stdout == data


def test_an_archive_is_read_at_any_place(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MEMBER_BYTES", 1000)
    monkeypatch.setattr("esper.karn.jsonl.packing.MEMBER_BYTES", 1000)
    path = write_run(tmp_path, "run")
    data = path.read_bytes()
    archive(tmp_path, "run")
    with packed_file(path) as file:
        for offset in (0, 1, 999, 1000, 1001, len(data) - 1, len(data), len(data) + 5):
            for length in (0, 1, 1000, 2500, len(data)):
                assert file.read_at(length, offset) == data[offset : offset + length]


def packed_file(path):
    from esper.karn.jsonl.source import open_events

    return open_events(path)


def test_deleting_all_segments_of_archived_runs_loses_nothing(telemetry):
    before = fresh(telemetry)
    archive(telemetry)
    for home in telemetry.glob("*/segments"):
        shutil.rmtree(home)
    with open_store(telemetry) as store:
        assert everything(store) == before
        store.seal_all()
        assert everything(store) == before
    with Store(telemetry, seal=False) as store:
        store.refresh()
        assert store._loader.ingest.rows.total() == 0, "what was sealed from the archives is used"


def test_segments_of_another_layout_are_read_from_the_archive(telemetry):
    before = fresh(telemetry)
    archive(telemetry)
    for folder in sealed(telemetry):
        meta = json.loads((folder / segments.META).read_text())
        (folder / segments.META).write_text(json.dumps(meta | {"layout": "0-none"}))
    assert fresh(telemetry) == before
    assert "can't be used; `karn compact` writes anew" in doctor(telemetry)


def test_a_reader_that_runs_goes_on_over_archiving_and_restoring(telemetry):
    with open_store(telemetry) as reader:
        before = everything(reader)
        archive(telemetry)
        reader.refresh()
        assert everything(reader) == before
        restarts = reader._loader.ingest.rows.total()
        assert restarts == 0, "the segments stand for all of it"
        path = telemetry / "real/events.jsonl"
        restore_run(telemetry, "real")
        write_lines(path, level_change(10_000, 1, 2, slot_id="late"))
        reader.refresh()
        assert reader._loader.ingest.rows.total() == 1
        assert reader.select("SELECT count(*) FROM events WHERE slot_id = 'late'").rows == [[1]]


def test_sanctum_shows_an_archived_run_as_before(telemetry):
    before = [once_json(telemetry, run) for run in (None, *RUNS)]
    archive(telemetry)
    assert [once_json(telemetry, run) for run in (None, *RUNS)] == before


# Kill -9 at each step.


def archive_ranks(say: int, folder: str) -> None:
    archive(Path(folder), "ranks")


def restore_ranks(say: int, folder: str) -> None:
    restore_run(Path(folder), "ranks")


@pytest.mark.parametrize("job", [archive_ranks, restore_ranks])
def test_a_killed_process_leaves_every_event_and_the_next_one_goes_on(telemetry, tmp_path, job):
    for run in ("real", RESUMED):
        shutil.rmtree(telemetry / run)
    with open_store(telemetry) as store:
        store.seal_all()
    expected = event_files(telemetry)
    if job is restore_ranks:
        archive(telemetry, "ranks")
    before = run_contents(telemetry)
    with Nursery(tmp_path / "cache") as nursery:
        folder = tmp_path / "counted"
        # Of a copy nobody could say whether it is still written.
        shutil.copytree(telemetry, folder, copy_function=os.link)
        steps = nursery.run(job, folder).steps
        # Until something is written, the steps only read. Which of the others die differs from run to run.
        writing = range(max(1, steps - 26), steps - 2)
        for step in (*random.sample(writing, 6), *range(steps - 2, steps + 1)):
            shutil.rmtree(folder)
            shutil.copytree(telemetry, folder, copy_function=os.link)
            assert nursery.run(job, folder, step=step).killed
            assert run_contents(folder) == before
            assert not nursery.run(job, folder).killed
            assert run_contents(folder) == before
            assert event_files(folder) == ({} if job is archive_ranks else expected)
            assert not list(folder.glob("*/.*"))


def run_contents(folder: Path) -> list[list[object]]:
    with open_store(folder) as store:
        return store.select(
            "SELECT filename, count(*), sum(hash(events)) FROM events GROUP BY ALL ORDER BY ALL"
        ).rows
