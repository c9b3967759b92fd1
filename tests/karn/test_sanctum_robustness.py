"""What Sanctum's reader puts up with: odd names, huge lines, vanishing files, clocks; what it costs idle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sanctum_support import LATER, START, fixed_recorder, play, read, thrashing_run, training, zigzag

from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.ends import EndsReader
from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.runs import newest_run, run_rows
from esper.simic.training.recorder import InternalOpRecorder

WHOLE = 1 << 30


def write_lines(path, events):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def change(slot_id="r0c0", *, epoch=1, **fields):
    data = {"slot_id": slot_id, "from_level": 1, "to_level": 2, "max_level": 4, "env_id": 0, "episode_idx": 0}
    return {"event_type": "SEED_INTERNAL_LEVEL_CHANGED", "epoch": epoch, "data": data} | fields


class TestOddRuns:
    @pytest.mark.parametrize("name", ["x" * 10_000, "[red]x[/red]", "\x1b[31m", "", "\u202e", "a\nb"])
    def test_names_are_kept_as_they_are(self, tmp_path, name):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, name, 1, 4)
            play(recorder, 0, name, zigzag(1, 2, 3))
        snapshot = read(tmp_path)
        assert list(snapshot.slots) == [(0, name)]
        assert [change.slot_id for change in snapshot.changes] == [name] * 4

    def test_five_thousand_slots(self, tmp_path):
        write_lines(tmp_path / "run" / "events.jsonl", [change(f"s{slot}") for slot in range(5_000)])
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        snapshot = feed.snapshot(LATER)
        assert (len(snapshot.slots), len(snapshot.verdicts), len(snapshot.changes)) == (5_000, 5_000, 200)
        assert snapshot.changes[-1].slot_id == "s4999"
        assert feed.snapshot_at((0, 1), LATER).slots == snapshot.slots

    def test_lines_of_20_megabytes(self, tmp_path):
        long = "y" * (20 << 20)
        events = [
            change(epoch=1, message=long),
            change(epoch=2, timestamp=long),
            change(epoch=3, seed_id="s"),
        ]
        write_lines(tmp_path / "run" / "events.jsonl", events)
        snapshot = read(tmp_path)
        assert (snapshot.run.events, snapshot.run.bad_lines) == (3, 0)
        assert [change.epoch for change in snapshot.changes] == [1, 2, 3]
        assert [change.timestamp for change in snapshot.changes] == [None] * 3

    @pytest.mark.parametrize("huge", [2**31, 2**62, -(2**62), 10**30, -1])
    def test_numbers_beyond_all_measure(self, tmp_path, huge):
        events = [
            change(epoch=1),
            change(epoch=huge),
            {"event_type": "EPOCH_COMPLETED", "epoch": huge, "data": {"env_id": 0, "episode_idx": huge}},
            {"event_type": "EPOCH_COMPLETED", "epoch": 3, "data": {"env_id": 0, "attempt": huge}},
            {"event_type": "TRAINING_STARTED", "data": {"resumed_from_epoch": huge, "attempt": huge}},
            change(epoch=4, rank=huge, seq=huge),
        ]
        write_lines(tmp_path / "run" / "events.jsonl", events)
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        assert feed.snapshot(LATER).slots[0, "r0c0"].level == 2
        for position in feed.positions():
            feed.snapshot_at(position, LATER)


class TestVanishing:
    def test_a_run_that_is_deleted_while_it_is_open(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        follower = RunFollower(tmp_path, "run")
        follower.poll(WHOLE, LATER)
        position = follower.positions()[3]
        slots = follower.snapshot_at(position, LATER).slots
        shutil.rmtree(tmp_path / "run")
        assert follower.poll(WHOLE, LATER)
        assert follower.snapshot_at(position, LATER).slots == slots
        assert follower.snapshot_at(position, LATER).run.status == "gone"
        thrashing_run(fixed_recorder(tmp_path, "run"))
        assert follower.poll(WHOLE, LATER)
        assert follower.snapshot_at(position, LATER).slots

    def test_a_rank_whose_file_appears_later_is_taken_in(self, tmp_path):
        write_lines(tmp_path / "run" / "events.jsonl", [change()])
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        for rank in range(1, 4):
            write_lines(tmp_path / "run" / f"events.rank{rank:05d}.jsonl", [change(f"s{rank}")])
            assert feed.poll(WHOLE)
        assert {row.slot_id: row.rank for row in feed.snapshot(LATER).slots.values()}["s3"] == 3


class TestClock:
    def test_that_jumps_back_neither_ages_nor_breaks_a_run(self, tmp_path):
        path = tmp_path / "run" / "events.jsonl"
        forwards = [START + timedelta(seconds=second) for second in range(20)]
        write_lines(path, [change(timestamp=moment.isoformat()) for moment in forwards])
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        assert feed.position(START).events_per_s == 1.0
        back = [START - timedelta(hours=1) + timedelta(seconds=second / 4) for second in range(60)]
        write_lines(path, [change(timestamp=moment.isoformat()) for moment in back])
        feed.poll(WHOLE)
        run = feed.position(START - timedelta(hours=2))
        assert (run.status, run.last_event_at, run.events_per_s) == ("running", forwards[-1], 4.0)

    @pytest.mark.parametrize("moments", [[], [START], [START] * 5])
    def test_that_says_nothing_gives_no_rate(self, tmp_path, moments):
        events = [change(timestamp=moment.isoformat()) for moment in moments] or [change()]
        write_lines(tmp_path / "run" / "events.jsonl", events)
        assert read(tmp_path, now=START).run.events_per_s is None

    def test_counts_the_last_seconds_of_all_ranks(self, tmp_path):
        for rank, per_s in ((0, 2), (1, 8)):
            name = f"events.rank{rank:05d}.jsonl" if rank else "events.jsonl"
            times = [START + timedelta(seconds=tick / per_s) for tick in range(60 * per_s)]
            write_lines(tmp_path / "run" / name, [change(timestamp=moment.isoformat()) for moment in times])
        at_its_end = START + timedelta(minutes=1)
        assert read(tmp_path, now=at_its_end).run.events_per_s == pytest.approx(10.0, rel=0.05)


class TestIdle:
    def test_an_ended_run_costs_stats_alone(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        with TelemetryCollector(tmp_path, "crashed") as collector:
            InternalOpRecorder(collector).training_started()
        for run in ("run", "crashed"):
            os.utime(tmp_path / run, (0, 0))
        code = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from esper.karn.sanctum.follow import RunFollower

now = datetime.now(UTC)
followers = [RunFollower(Path(sys.argv[1]), run) for run in ("run", "crashed")]
for follower in followers:
    follower.poll(1 << 20, now)
    follower.position(now)
seen = []
sys.addaudithook(lambda event, args: seen.append(event))
for tick in range(100):
    now += timedelta(seconds=10)
    for follower in followers:
        assert not follower.poll(1 << 20, now)
        follower.position(now)
print(seen, [follower.position(now).status for follower in followers])
"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[] ['finished', 'crashed']\n"

    def test_the_position_of_a_run_that_is_over_does_not_change_with_the_clock(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        feed = RunFeed(tmp_path / "run")
        feed.poll(WHOLE)
        assert feed.position(START) is feed.position(START + timedelta(days=9))


class TestRunRows:
    def test_tell_of_each_run_from_its_ends(self, tmp_path):
        now = datetime.now(UTC)
        with training(tmp_path, "done") as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 500))
        with TelemetryCollector(tmp_path, "crashed", rank=1, world_size=2) as collector:
            InternalOpRecorder(collector).training_started()
        write_lines(tmp_path / "old" / "events.jsonl", [change(timestamp=START.isoformat())])
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "events.jsonl").touch()
        with TelemetryCollector(tmp_path, "live") as collector:
            InternalOpRecorder(collector).training_started()
            rows = {row.run_dir: row for row in run_rows(tmp_path, now)}
        assert {name: row.status for name, row in rows.items()} == {
            "live": "running",
            "crashed": "crashed",
            "done": "finished",
            "old": "silent",
            "empty": "empty",
        }
        assert list(rows) == ["live", "crashed", "done", "old", "empty"]
        assert rows["done"].size_bytes == (tmp_path / "done" / "events.jsonl").stat().st_size
        assert rows["done"].files == 1
        assert rows["old"].last_event_at == START

    @pytest.mark.parametrize(
        "tail",
        [b"garbage\n", b"\n", b'{"event_type": "EPO', b'{"torn": tr\n\n', b"[1]\n", b"\x00" * 50_000 + b"\n"],
    )
    def test_a_run_that_finished_is_finished_whatever_follows(self, tmp_path, tail):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
        path = tmp_path / "run" / "events.jsonl"
        # The lock that a collector holds while it lives is not held: without its last event it crashed.
        whole = path.read_bytes()
        with path.open("ab") as file:
            file.write(tail)
        (row,) = run_rows(tmp_path, LATER)
        assert (row.status, row.status) == ("finished", read(tmp_path).run.status)
        with path.open("r+b") as file:
            file.truncate(whole.rindex(b"\n", 0, -1) + 1)
            file.seek(0, os.SEEK_END)
            file.write(tail)
        assert [row.status for row in run_rows(tmp_path, LATER)] == ["crashed"]

    def test_are_none_in_no_folder(self, tmp_path):
        assert run_rows(tmp_path / "nowhere", LATER) == []

    def test_know_a_file_that_has_not_changed(self, tmp_path):
        path = tmp_path / "run" / "events.jsonl"
        write_lines(path, [change(timestamp=START.isoformat())])
        ends = EndsReader()
        (before,) = run_rows(tmp_path, LATER, ends)
        assert ends.read(path) is ends.read(path)
        write_lines(path, [change(timestamp=LATER.isoformat())])
        (after,) = run_rows(tmp_path, LATER, ends)
        assert (before.last_event_at, after.last_event_at) == (START, LATER)
        assert newest_run(tmp_path, ends) == "run"
