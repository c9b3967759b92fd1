"""Sealed segments: the same answers as from the JSONL, whatever becomes of the segments."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from esper.karn.store import loading, sealing, segments
from esper.karn.store.database import Store
from esper.leyline.errors import SealingError
from store_support import LIVE_VIEWS, SteppedTraining, level_change, open_store, write_lines
from support import read_events, write_run

REGION = 50_000
EVERYTHING = ("events", "ingest_errors", "event_gaps", "slot_thrash", "runs", *LIVE_VIEWS)


@pytest.fixture
def small(monkeypatch):
    """Regions of a few lines, so that a small run has many segments."""
    monkeypatch.setattr(sealing, "REGION_BYTES", REGION)
    monkeypatch.setattr(sealing, "LEAST_BYTES", 0)
    monkeypatch.setattr(sealing, "MERGE_BYTES", 2 * REGION)


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
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


def test_segments_answer_as_the_event_files_do(small, telemetry):
    expected = from_jsonl(telemetry)
    with open_store(telemetry) as store:
        assert answers(store) == expected
        store.seal_all()
        assert answers(store) == expected
    with open_store(telemetry) as fresh:
        assert covered(fresh) == sum(path.stat().st_size for path in telemetry.glob("*/events.jsonl"))
        assert fresh._loader._ingest is None  # not one line was read
        assert answers(fresh) == expected


def test_what_is_sealed_is_no_longer_in_memory(small, telemetry):
    with open_store(telemetry) as store:
        store.seal_all()
        assert store._loader.ingest.rows.total() == 0
        counted = store.select("SELECT count(*) FROM tail.seed_internal_level_changed").rows
    assert counted == [[0]]


def test_whole_regions_are_sealed_as_they_are_read_at_the_first_newline_after_a_multiple(small, telemetry):
    with open_store(telemetry):
        pass
    ends = [int(path.name.split("-")[-1]) for path in sealed(telemetry) if path.parts[-3] == "one"]
    data = (telemetry / "one/events.jsonl").read_bytes()
    expected = {data.index(b"\n", multiple - 1) + 1 for multiple in range(REGION, len(data), REGION)}
    assert expected <= set(ends)


def test_two_stores_seal_the_same_bytes(small, telemetry):
    with open_store(telemetry) as first, open_store(telemetry) as second:
        first.seal_all()
        second.seal_all()
        assert covered(first) == covered(second)
        first.refresh()
        assert answers(first) == answers(second) == from_jsonl(telemetry)


def test_a_store_takes_up_what_another_has_sealed(small, telemetry):
    expected = from_jsonl(telemetry)
    with Store(telemetry, seal=False) as reader:
        reader.refresh()
        with open_store(telemetry) as writer:
            writer.seal_all()
        reader.refresh()
        assert reader._loader.ingest.rows.total() == 0
        assert answers(reader) == expected


def test_new_lines_are_seen_beside_segments_and_sealed_after_them(small, telemetry):
    path = telemetry / "one/events.jsonl"
    with open_store(telemetry) as store:
        store.seal_all()
        seq = len(read_events(path))
        write_lines(path, level_change(seq, 1, 2, slot_id="late"))
        store.refresh()
        assert store.select("SELECT to_level FROM seed_internal_levels WHERE slot_id = 'late'").rows == [[2]]
        store.seal_all()
        assert answers(store) == from_jsonl(telemetry)


def test_small_segments_are_merged_and_the_old_ones_deleted_when_nobody_reads_them(
    small, telemetry, monkeypatch
):
    with open_store(telemetry) as store:
        many = len(sealed(telemetry))
        store.seal_all()
        files = store.event_files()
        assert sum(len(file.segments) for file in files) < many
        monkeypatch.setattr(sealing, "KEPT_S", -60.0)
        store.seal_all()
        assert len(sealed(telemetry)) == sum(len(file.segments) for file in files)
        assert answers(store) == from_jsonl(telemetry)


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


def test_a_renamed_run_keeps_its_segments(small, telemetry):
    with open_store(telemetry) as store:
        store.seal_all()
    (telemetry / "one").rename(telemetry / "it's [a]* run?")
    with open_store(telemetry) as store:
        assert covered(store) > 0
        runs = store.select("SELECT DISTINCT run_dir, filename FROM events ORDER BY ALL").rows
        assert answers(store) == from_jsonl(telemetry)
    assert runs[0] == ["it's [a]* run?", "it's [a]* run?/events.jsonl"]


def test_a_run_that_cannot_be_written_is_sealed_into_the_cache(small, telemetry, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for run in telemetry.iterdir():
        (run / "segments").write_text("")  # a file where the folder belongs: nothing can be made in it
    expected = from_jsonl(telemetry)
    with open_store(telemetry) as store:
        store.seal_all()
        assert answers(store) == expected
    with open_store(telemetry) as fresh:
        assert covered(fresh) > 0
        assert fresh._loader._ingest is None
        assert answers(fresh) == expected
    assert list((tmp_path / "cache").rglob("*.parquet"))


def test_where_nothing_can_be_sealed_everything_is_answered_from_memory(
    small, telemetry, tmp_path, monkeypatch
):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for run in telemetry.iterdir():
        (run / "segments").write_text("")
    with open_store(telemetry) as store:
        assert "can't seal" in (store.sealing_error or "")
        assert answers(store) == from_jsonl(telemetry)
        with pytest.raises(SealingError):
            store.seal_all()


def test_a_name_that_is_no_text_is_read_and_not_sealed(small, telemetry):
    odd = telemetry / os.fsdecode(b"caf\xe9")
    (telemetry / "one").rename(odd)
    with open_store(telemetry) as store:
        store.seal_all()
        rows = store.select("SELECT count(*) FROM events WHERE run_dir = 'caf\\xe9'").rows
    assert rows == [[len(read_events(odd / "events.jsonl"))]]
    assert not (odd / "segments").exists()


def test_memory_holds_few_rows_over_many_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "ROWS_IN_MEMORY", 2_000)
    for number in range(12):
        write_run(tmp_path, f"run{number:02d}", episodes=1)
    with open_store(tmp_path) as store:
        assert store._loader.ingest.rows.total() <= 2_000
        counted = store.select("SELECT count(*) FROM events").rows[0][0]
    assert counted == sum(len(read_events(path)) for path in tmp_path.glob("*/events.jsonl"))


def test_a_resumed_training_counts_replayed_epochs_once_when_sealed(small, tmp_path):
    from esper.karn.collector import TelemetryCollector

    def collector() -> TelemetryCollector:
        return TelemetryCollector(tmp_path / "telemetry", "run", envs_per_rank=2)

    with collector() as sink:
        first = SteppedTraining(sink, epochs=30).start().run_to(("completed", 0, 20))
        saved = first.state_dict()
        first.run_to(("decided", 0, 24))
    with collector() as sink:
        resumed = SteppedTraining(sink, epochs=30)
        resumed.load_state_dict(saved, reseed=1).start(resumed_from_episode=0, resumed_from_epoch=20)
        resumed.run_to()
    expected = from_jsonl(tmp_path / "telemetry")
    with open_store(tmp_path / "telemetry") as store:
        store.seal_all()
        assert answers(store) == expected
    with open_store(tmp_path / "telemetry") as fresh:
        assert answers(fresh) == expected
    assert len(expected["epochs"]) == 2 * 2 * 30


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
