"""How Sanctum reads a run's files: as they grow, break, vanish and come back."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sanctum_support import LATER, START, fixed_recorder, play, read, thrashing_run, training, zigzag

from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.ends import EndsReader
from esper.karn.jsonl.timestamps import parse_timestamp
from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.runs import event_files, newest_run
from esper.karn.sanctum.status import median_gap_s, run_status
from esper.leyline import EventsDroppedPayload, TelemetryEventType
from esper.simic.training.recorder import InternalOpRecorder

WHOLE = 1 << 30


def lines_at(folder, *moments):
    """A run whose events were written at these moments."""
    folder.mkdir(parents=True)
    with open(folder / "events.jsonl", "w") as file:
        for moment in moments:
            file.write(json.dumps({"event_type": "X", "timestamp": moment}) + "\n")


class TestReading:
    def test_goes_on_where_it_stopped(self, tmp_path):
        with TelemetryCollector(tmp_path, "run") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.seed_added(0, "r0c0", 1, 4)
            feed = RunFeed(tmp_path / "run")
            assert feed.poll(WHOLE)
            assert not feed.poll(WHOLE)
            play(recorder, 0, "r0c0", [1, 2])
            assert feed.poll(WHOLE)
            snapshot = feed.snapshot(LATER)
        assert (snapshot.run.events, snapshot.slots[0, "r0c0"].level) == (4, 2)

    def test_takes_no_more_than_it_is_allowed_to_at_a_time(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 1000))
        size = (tmp_path / "run" / "events.jsonl").stat().st_size
        feed = RunFeed(tmp_path / "run")
        polls = 0
        while feed.poll(1 << 18) and feed.behind:
            polls += 1
            position = feed.position(LATER)
            assert position.behind
            assert position.bytes_read <= (polls << 18)
        assert polls >= size >> 18
        assert feed.snapshot(LATER) == read(tmp_path)

    def test_waits_for_a_half_written_line(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
        path = tmp_path / "run" / "events.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        assert (feed.position(LATER).events, feed.position(LATER).bad_lines) == (2, 0)
        assert not feed.behind
        with open(path, "ab") as file:
            file.write(whole[-20:])
        feed.poll(WHOLE)
        assert (feed.position(LATER).events, feed.position(LATER).bad_lines) == (3, 0)

    def test_counts_bad_lines_and_reads_on(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
        path = tmp_path / "run" / "events.jsonl"
        bad = [
            b"garbage",
            b'{"event_type": "SEED_INTERNAL_LEVEL_CHANGED", "data": {"slot_id": "r0c0"}}',
            b'{"event_type": "EPOCH_COMPLETED", "data": null}',
            b"[1, 2]",
            b"\xff\xfe",
            b'{"event_type": "EPOCH_COMPLETED", "data": {"attempt": "x", "env_id": 0}}',
        ]
        path.write_bytes(b"\n".join(bad) + b"\n" + path.read_bytes())
        run = read(tmp_path).run
        assert (run.bad_lines, run.events) == (5, 6)

    def test_starts_anew_when_a_file_shrank(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 20))
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        path = tmp_path / "run" / "events.jsonl"
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
        while feed.poll(WHOLE):
            pass
        snapshot = feed.snapshot(LATER)
        assert (snapshot.run.events, snapshot.verdicts, list(snapshot.slots)) == (2, (), [(0, "r0c0")])

    def test_starts_anew_when_a_file_was_replaced(self, tmp_path):
        for name in ("run", "other"):
            with training(tmp_path, name) as recorder:
                recorder.seed_added(0, name, 1, 4)
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        os.replace(tmp_path / "other" / "events.jsonl", tmp_path / "run" / "events.jsonl")
        while feed.poll(WHOLE):
            pass
        assert list(feed.snapshot(LATER).slots) == [(0, "other")]

    def test_joins_the_ranks_of_a_run(self, tmp_path):
        for rank in range(2):
            with training(tmp_path, rank=rank, world_size=2) as recorder:
                recorder.seed_added(0, "r0c0", 1, 4)
                play(recorder, 0, "r0c0", zigzag(1, 2, rank + 3))
            status = read(tmp_path).run.status
            assert status == ("finished" if rank else "running" if status == "running" else "silent")
        snapshot = read(tmp_path)
        assert snapshot.run.ranks == 2
        assert {verdict.env_id: verdict.n_ops for verdict in snapshot.verdicts} == {0: 3, 1: 4}

    def test_says_what_is_missing(self, tmp_path):
        with TelemetryCollector(tmp_path, "run") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", [1, 2, 3])
            collector.emit(
                TelemetryEventType.EVENTS_DROPPED, EventsDroppedPayload(count=7, first_seq=90, last_seq=96)
            )
        path = tmp_path / "run" / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:2] + lines[4:]))
        run = read(tmp_path).run
        assert (run.missing, run.dropped) == (2, 7)

    def test_loads_what_the_predecessor_wrote(self, tmp_path):
        folder = tmp_path / "run"
        folder.mkdir()
        events = [
            {"event_type": "SEED_GERMINATED", "slot_id": "r0c0", "data": {"env_id": 1, "slot_id": "r0c0"}},
            {"event_type": "ANALYTICS_SNAPSHOT", "data": {"kind": "batch_stats", "attempt": {"n": 1}}},
            {"event_type": "MORPHOLOGY_CAUSAL_LOG", "data": {"anything": [1]}},
        ]
        (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        snapshot = read(tmp_path)
        assert (snapshot.run.events, snapshot.run.bad_lines) == (3, 0)
        assert not snapshot.slots[1, "r0c0"].has_ladder


class TestStatus:
    def status(self, folder, now=None):
        return read(folder, now=now or datetime.now(UTC)).run.status

    def test_of_a_training_from_its_start_to_its_end(self, tmp_path):
        assert self.status(tmp_path) == "waiting"
        with TelemetryCollector(tmp_path, "run") as collector:
            assert self.status(tmp_path) == "empty"
            recorder = InternalOpRecorder(collector)
            recorder.training_started()
            assert self.status(tmp_path) == "running"
            assert self.status(tmp_path, datetime.now(UTC) + timedelta(seconds=61)) == "silent"
            recorder.training_finished("stopped early")
        assert self.status(tmp_path) == "finished"
        assert read(tmp_path).run.outcome == "stopped early"

    def test_of_a_training_whose_process_is_gone(self, tmp_path):
        with TelemetryCollector(tmp_path, "run") as collector:
            InternalOpRecorder(collector).training_started()
        assert self.status(tmp_path) == "crashed"
        shutil.copytree(tmp_path / "run", tmp_path / "copy" / "run")
        assert self.status(tmp_path / "copy") == "running"  # of a copy nobody can say

    def test_of_a_finished_training_that_was_resumed(self, tmp_path):
        with training(tmp_path):
            pass
        with TelemetryCollector(tmp_path, "run") as collector:
            InternalOpRecorder(collector).training_started()
            assert self.status(tmp_path) == "running"

    @pytest.mark.parametrize(("age_s", "status"), [(-5.0, "running"), (299.0, "running"), (301.0, "silent")])
    def test_is_patient_with_rare_events(self, age_s, status):
        recent = [START + timedelta(seconds=30 * i) for i in range(5)]
        given = {"files": {0}, "finished_ranks": set(), "world_size": 1, "writers_gone": set()}
        assert run_status(age_s=age_s, recent=lambda: recent, **given) == status

    def test_a_rank_without_a_file_keeps_a_run_from_being_finished(self):
        given = {"files": {0}, "finished_ranks": {0}, "writers_gone": set(), "recent": list}
        assert run_status(world_size=2, age_s=0.0, **given) == "running"

    def test_the_median_gap_survives_a_clock_that_was_set_back(self):
        assert median_gap_s([START, START - timedelta(hours=1), START]) == 1800.0
        assert median_gap_s([START]) is None


class TestLatestRun:
    def test_is_the_one_with_the_newest_event_whatever_the_files_say(self, tmp_path):
        lines_at(tmp_path / "new", "2026-03-02T00:00:00+00:00")
        lines_at(tmp_path / "old", "2026-03-01T00:00:00+00:00")
        lines_at(tmp_path / "zone", "2026-03-02T01:30:00+02:00")
        lines_at(tmp_path / "silent", None, "no time")
        assert newest_run(tmp_path) == "new"

    def test_looks_past_lines_without_a_time(self, tmp_path):
        path = tmp_path / "run" / "events.jsonl"
        lines_at(tmp_path / "run", "2026-03-02T00:00:00")
        with open(path, "a") as file:
            file.write('{"event_type": "X", "message": "' + "x" * 300_000 + '"}\n')
            file.write("garbage\n" * 100)
            file.write('{"event_type": "X", "timestamp": "2026-03-03T00:00:00", "hal')
        ends = EndsReader().read(path)
        assert ends is not None
        assert ends.last_event_at == datetime(2026, 3, 2, tzinfo=UTC)

    def test_is_none_without_a_run(self, tmp_path):
        assert newest_run(tmp_path / "nowhere") is None
        assert event_files(tmp_path / "nowhere") == []
        assert EndsReader().read(tmp_path) is None

    @pytest.mark.parametrize("text", [None, "", "yesterday", "0001-01-01T00:00:00+14:00"])
    def test_a_time_that_is_none(self, text):
        assert parse_timestamp(text) is None


class TestFollowing:
    def follow(self, folder, run_dir=None):
        return RunFollower(folder, run_dir)

    def test_waits_for_a_folder_and_then_for_a_run(self, tmp_path):
        follower = self.follow(tmp_path / "later")
        assert not follower.poll(WHOLE, LATER)
        assert follower.snapshot(LATER).run.status == "waiting"
        thrashing_run(fixed_recorder(tmp_path / "later", "first"))
        assert follower.poll(WHOLE, LATER)
        assert follower.snapshot(LATER).run.run_dir == "first"

    def test_keeps_to_the_named_run(self, tmp_path):
        lines_at(tmp_path / "a", "2026-03-01T00:00:00")
        lines_at(tmp_path / "b", "2026-03-02T00:00:00")
        follower = self.follow(tmp_path, "a")
        for _ in range(20):
            follower.poll(WHOLE, LATER)
        assert follower.position(LATER).run_dir == "a"

    def test_goes_on_to_a_newer_run_once_its_own_is_over(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "first"))
        follower = self.follow(tmp_path)
        follower.poll(WHOLE, LATER)
        lines_at(tmp_path / "second", "2027-01-01T00:00:00")
        for _ in range(8):
            follower.poll(WHOLE, LATER)
        assert follower.snapshot(LATER).run.run_dir == "second"

    def test_does_not_leave_a_run_that_is_going_on(self, tmp_path):
        lines_at(tmp_path / "a", START.isoformat())
        follower = self.follow(tmp_path)
        follower.poll(WHOLE, START)
        lines_at(tmp_path / "b", (START + timedelta(seconds=1)).isoformat())
        for _ in range(20):
            follower.poll(WHOLE, START + timedelta(seconds=2))
        assert follower.position(START).run_dir == "a"

    def test_survives_that_its_run_is_deleted(self, tmp_path):
        lines_at(tmp_path / "a", "2026-03-01T00:00:00")
        lines_at(tmp_path / "b", "2026-03-02T00:00:00")
        follower = self.follow(tmp_path)
        follower.poll(WHOLE, LATER)
        before = follower.snapshot(LATER)
        shutil.rmtree(tmp_path / "b")
        assert follower.poll(WHOLE, LATER)
        for _ in range(20):
            assert not follower.poll(WHOLE, LATER)
        run = follower.position(LATER)
        assert (run.run_dir, run.status, run.over) == ("b", "gone", True)
        assert follower.snapshot(LATER) == replace(before, run=run)

    @pytest.mark.parametrize("other", ["a", "c"])
    def test_leaves_a_deleted_run_for_one_that_is_written_to(self, tmp_path, other):
        lines_at(tmp_path / "a", "2026-03-01T00:00:00")
        lines_at(tmp_path / "b", "2026-03-02T00:00:00")
        follower = self.follow(tmp_path)
        follower.poll(WHOLE, LATER)
        shutil.rmtree(tmp_path / "b")
        follower.poll(WHOLE, LATER)
        if other == "a":
            shutil.rmtree(tmp_path / "a")
        lines_at(tmp_path / other, "2026-03-03T00:00:00", "2026-03-03T00:00:01")
        for _ in range(20):
            follower.poll(WHOLE, LATER, stay=True)
        assert follower.position(LATER).status == "gone", "who looks at its past stays with it"
        for _ in range(20):
            follower.poll(WHOLE, LATER)
        assert follower.position(LATER).run_dir == other
