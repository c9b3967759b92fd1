"""Sealed segments: the same answers as from the event files, and where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esper.karn.store import loading, sealing
from esper.karn.store.database import Store
from esper.leyline.errors import SealingError
from segment_support import REGION, answers, covered, from_jsonl, sealed, shrink_regions, two_runs
from store_support import SteppedTraining, level_change, open_store, write_lines
from support import read_events, write_run


@pytest.fixture
def small(monkeypatch):
    shrink_regions(monkeypatch)


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    return two_runs(tmp_path)


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


def test_sealed_rows_are_given_back_to_the_system(small, tmp_path):
    def held() -> int:
        return store.select("SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()").rows[0][0]

    path = write_run(tmp_path / "source", "run", episodes=4)
    lines = path.read_bytes()
    with Store(tmp_path / "telemetry") as store:
        grown = []
        for _ in range(12):
            write_lines(tmp_path / "telemetry/run/events.jsonl", lines, end=b"")
            store.refresh()
            store.seal_all()
            grown.append(held())
    assert grown[-1] <= grown[2] + (1 << 20)


def test_glob_characters_in_a_folder_stand_for_themselves(tmp_path):
    folder = tmp_path / "exp[1]*"
    write_run(folder, "st*r")
    write_run(folder, "star")
    write_run(tmp_path / "exp1x", "st*r")
    with open_store(folder) as store:
        store.seal_all()
        assert answers(store) == from_jsonl(folder)
    with open_store(folder) as fresh:
        assert answers(fresh) == from_jsonl(folder)
