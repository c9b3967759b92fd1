"""Segments that are torn, stale, foreign or gone: passed over, and written anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from esper.karn.store import segments
from segment_support import answers, covered, from_jsonl, sealed, shrink_regions, two_runs
from store_support import open_store
from support import write_run


@pytest.fixture
def small(monkeypatch):
    shrink_regions(monkeypatch)


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    return two_runs(tmp_path)


def test_deleting_all_segments_loses_nothing(small, telemetry):
    expected = from_jsonl(telemetry)
    with open_store(telemetry) as store:
        store.seal_all()
        for folder in telemetry.glob("*/segments"):
            shutil.rmtree(folder)
        store.refresh()
        assert answers(store) == expected


def _torn(folder: Path) -> None:
    file = next(folder.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-10])


def _missing(folder: Path) -> None:
    next(folder.glob("*.parquet")).unlink()


def _without_meta(folder: Path) -> None:
    (folder / segments.META).unlink()


def _of_another_version(folder: Path) -> None:
    meta = json.loads((folder / segments.META).read_text())
    (folder / segments.META).write_text(json.dumps(meta | {"layout": "0-none"}))


def _foreign(folder: Path) -> None:
    """The segment of another run under this one's name."""
    other = next(path for path in sealed(folder.parents[2]) if path.parts[-3] != folder.parts[-3])
    meta = json.loads((other / segments.META).read_text())
    mine = json.loads((folder / segments.META).read_text())
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    same = {name: mine[name] for name in ("start", "end", "lines")}
    (folder / segments.META).write_text(json.dumps(meta | same))


@pytest.mark.parametrize("spoil", [_torn, _missing, _without_meta, _of_another_version, _foreign])
def test_a_segment_that_is_no_good_is_passed_over_and_written_anew(small, telemetry, spoil):
    expected = from_jsonl(telemetry)
    with open_store(telemetry) as store:
        store.seal_all()
        whole = covered(store)
    spoiled = next(segment.folder for file in store.event_files() for segment in file.segments)
    spoil(spoiled)
    with open_store(telemetry) as store:
        assert spoiled in [path for file in store.event_files() for path in store.unused_segments(file)]
        assert answers(store) == expected
        store.seal_all()
        assert covered(store) == whole
        assert answers(store) == expected


def test_segments_that_vanish_between_two_questions_are_read_from_the_event_files(small, telemetry):
    expected = from_jsonl(telemetry)
    with open_store(telemetry) as store:
        store.seal_all()
        for folder in telemetry.glob("*/segments"):
            shutil.rmtree(folder)
        assert answers(store) == expected
        for folder in telemetry.glob("*/segments"):
            shutil.rmtree(folder)
        assert store.query("SELECT count(*) FROM events", limit=1).rows == [[len(expected["events"])]]


def test_segments_of_a_rewritten_file_are_stale(small, telemetry):
    path = telemetry / "one/events.jsonl"
    with open_store(telemetry) as store:
        store.seal_all()
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[::-1]))
        store.refresh()
        assert answers(store) == from_jsonl(telemetry)


def test_a_sealed_file_that_is_rewritten_short_counts_only_what_it_holds_now(telemetry):
    path = telemetry / "one/events.jsonl"
    with open_store(telemetry) as store:
        store.seal_all()
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:3]))
        store.refresh()
        assert store.select("SELECT count(*) FROM events WHERE run_dir = 'one'").rows == [[3]]
        path.unlink()
        store.refresh()
        assert store.select("SELECT count(*) FROM events WHERE run_dir = 'one'").rows == [[0]]


@pytest.mark.parametrize("gone", ["its event file", "the run"])
def test_a_sealed_run_that_goes_takes_nothing_else_with_it(telemetry, gone):
    with open_store(telemetry) as store:
        store.seal_all()
        before = answers(store)
        if gone == "the run":
            shutil.rmtree(telemetry / "one")
        else:
            (telemetry / "one/events.jsonl").unlink()
        store.refresh()
        assert {run for (run,) in store.select("SELECT DISTINCT run_dir FROM epochs").rows} == {"two"}
        assert answers(store) == from_jsonl(telemetry) != before
        write_run(telemetry, "three")
        store.refresh()
        store.seal_all()
        assert answers(store) == from_jsonl(telemetry)


def test_a_segment_that_is_damaged_under_a_reader_is_read_from_the_event_file(telemetry):
    with open_store(telemetry) as store:
        store.seal_all()
        expected = answers(store)
        for file in telemetry.glob("one/segments/*/epoch_completed.parquet"):
            os.truncate(file, 100)
        assert answers(store) == expected
