"""Runs of several attempts, ranks and endings: replayed epochs count once, and the status is the truth."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

import oracle
from esper.karn.collector import TelemetryCollector
from esper.karn.diagnosis import SlotReport
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.karn.store.views import shipped_queries
from esper.leyline import TelemetryEventType, TrainingFinishedPayload
from esper.simic.config import TrainConfig
from esper.simic.trainer import Progress
from esper.simic.trainer import train as simic_train
from store_support import LIVE_VIEWS, SteppedTraining, event, open_store, write_lines
from support import read_events, write_run

ENVS = 2
COUNTING_VIEWS = ("internal_op_summary", "internal_op_summary_by_env", "slot_thrash")


class Attempt(NamedTuple):
    """From which step of the last attempt a training goes on, and after how many more steps that had died."""

    checkpoint: tuple[str, int, int]
    steps_lost: int


def train(
    folder: Path, attempts: list[Attempt], *, said: bool, differs: bool = False, **training: Any
) -> Path:
    """A run that was killed and resumed; writes beside it which events a reader must leave out."""
    collector = TelemetryCollector(folder, "run", envs_per_rank=ENVS)
    path = collector.path
    running = SteppedTraining(collector, n_envs=ENVS, **training).start()
    for number, (checkpoint, steps_lost) in enumerate(attempts):
        running.run_to(checkpoint)
        state, saved_at = running.state_dict(), path.stat().st_size
        steps = running.steps()
        for _ in range(steps_lost):
            next(steps, None)
        collector.close()
        with path.with_name("dead").open("a") as dead:
            dead.write(f"{saved_at} {path.stat().st_size}\n")
        collector = TelemetryCollector(folder, "run", envs_per_rank=ENVS)
        running = SteppedTraining(collector, n_envs=ENVS, **training)
        place = {"resumed_from_episode": state["episode"], "resumed_from_epoch": state["epoch"]}
        running.start(**(place if said else {}))
        running.load_state_dict(state, reseed=number if differs else None)
    running.run_to()
    collector.close()
    return path


def ids_that_count(path: Path) -> set[str]:
    """Events that no later attempt has replayed, by where the file stood at each checkpoint."""
    dead = [tuple(map(int, line.split())) for line in path.with_name("dead").read_text().splitlines()]
    ids, offset = set(), 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not any(start <= offset < end for start, end in dead):
            ids.add(json.loads(line)["event_id"])
        offset += len(line)
    return ids


def assert_only_these_count(folder: Path, ids: set[str]) -> None:
    with open_store(folder) as store:
        tables = store.select(
            "SELECT DISTINCT lower(event_type) FROM events WHERE env_id IS NOT NULL ORDER BY ALL"
        ).rows
        for (table,) in tables:
            written = {name for (name,) in store.select(f"SELECT event_id FROM ev.{table}").rows}
            counted = {name for (name,) in store.select(f"SELECT event_id FROM live.{table}").rows}
            assert counted == written & ids, table


KILLED_AT_95 = [Attempt(("completed", 0, 90), 10)]


# A run killed at epoch 95 and resumed from its checkpoint at 90.


@pytest.mark.parametrize("said", [True, False], ids=["said", "shown"])
@pytest.mark.parametrize("held", [True, False], ids=["reward with the epoch", "reward with the decision"])
@pytest.mark.parametrize("half", ["completed", "decided"])
def test_a_resumed_run_gives_the_same_counts_as_one_that_was_never_interrupted(tmp_path, half, held, said):
    step = ("completed", 0, 90) if half == "completed" else ("decided", 0, 90)
    path = train(tmp_path / "resumed", [Attempt(step, 10)], said=said, held=held)
    with TelemetryCollector(tmp_path / "whole", "run", envs_per_rank=ENVS) as collector:
        SteppedTraining(collector, n_envs=ENVS, held=held).start().run_to()
    assert len(read_events(path)) > len(read_events(collector.path))
    with open_store(tmp_path / "resumed") as resumed, open_store(tmp_path / "whole") as whole:
        for view in (*LIVE_VIEWS, *COUNTING_VIEWS):
            columns = ", ".join(
                name
                for name in resumed.views[view].columns
                if name not in ("event_id", "timestamp", "seq", "file_offset")
            )
            query = f"SELECT {columns} FROM {view} ORDER BY ALL"
            assert resumed.select(query).rows == whole.select(query).rows, view
        for query in ("internal_op_usage", "thrash_check", "counterfactual_by_op"):
            assert ask(resumed, query) == ask(whole, query)
        ours, theirs = thrash_verdict(resumed), thrash_verdict(whole)
        for mine, other in zip(ours.slots, theirs.slots, strict=True):
            assert without_times(mine) == without_times(other)
        for part in ("usage", "effects", "environments"):
            assert getattr(ours, part) == getattr(theirs, part)
        assert "the training was resumed 1 time; replayed epochs count once" in ours.notes
        assert resumed.run("run").attempts == 2
        raw = resumed.select("SELECT count(*) FROM raw_events").rows[0][0]
        assert raw == len(read_events(path))
        assert resumed.select("SELECT * FROM event_gaps").rows == []


def ask(store: Store, name: str) -> list[list[Any]]:
    query = shipped_queries()[name]
    given = {param.name: "run" if param.name == "run_dir" else param.default for param in query.params}
    return store.select(query.body, given).rows


def without_times(slot: SlotReport) -> dict[str, Any]:
    """What a report says, without the times, which no two runs share."""
    fields = msgspec.to_builtins(slot)
    for name in ("since", "ended"):
        if fields[name] is not None:
            del fields[name]["timestamp"]
    return fields | {"undone_cost": pytest.approx(fields["undone_cost"])}


@pytest.mark.parametrize("said", [True, False], ids=["said", "shown"])
@pytest.mark.parametrize("half", ["completed", "decided"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "at once"])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_policy_decides_otherwise_the_second_time_leaves_no_trace_of_the_first(
    tmp_path, seed, held, half, said
):
    """On a GPU a replayed epoch is not the same again; then the checkpoint's own epoch matters."""
    rng = random.Random(f"{seed}{held}{half}{said}")
    last = 12 if half == "completed" else 11
    places = sorted(rng.sample([(e, k) for e in range(2) for k in range(1, last + 1)], 3))
    attempts = [Attempt((half, *place), rng.choice([0, 1, 2, 7])) for place in places]
    path = train(tmp_path, attempts, said=said, differs=True, held=held, epochs=12, seed=seed)
    assert_only_these_count(tmp_path, ids_that_count(path))


def test_a_training_begun_again_from_scratch_in_its_run_counts_from_the_last_start(tmp_path):
    for seed in range(3):
        with TelemetryCollector(tmp_path, "run", envs_per_rank=ENVS) as collector:
            SteppedTraining(collector, seed=seed, epochs=10).start().run_to()
    with open_store(tmp_path) as store:
        assert store.select("SELECT count(*) FROM epochs").rows == [[ENVS * 2 * 10]]
        assert store.select("SELECT max(attempt) FROM runs").rows == [[3]]


def test_environments_that_are_in_different_episodes_resume_each_where_it_was(tmp_path):
    def epoch(env_id: int, episode_idx: int, number: int) -> dict[str, Any]:
        return event("EPOCH_COMPLETED", env_id=env_id, episode_idx=episode_idx, epoch=number)

    def start(attempt: int, **fields: Any) -> dict[str, Any]:
        return event("TRAINING_STARTED", attempt=attempt, world_size=1, **fields)

    first = [epoch(0, 3, n) for n in range(1, 6)] + [epoch(1, 7, n) for n in range(1, 9)]
    second = [start(2), epoch(0, 3, 5), epoch(1, 7, 7)]
    write_lines(tmp_path / "run" / "events.jsonl", start(1), *first, *second)
    with open_store(tmp_path) as store:
        rows = store.select(
            "SELECT env_id, array_agg(epoch ORDER BY epoch) FROM epochs GROUP BY env_id ORDER BY env_id"
        ).rows
        assert rows == [[0, [1, 2, 3, 4, 5]], [1, [1, 2, 3, 4, 5, 6, 7]]]


def test_a_resume_counts_from_its_first_line_on_however_it_is_read(tmp_path):
    path = train(tmp_path, KILLED_AT_95, said=True, epochs=100, episodes=1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"")
    with open_store(tmp_path) as store:
        for start in range(0, len(lines), 97):
            with path.open("ab") as file:
                file.writelines(lines[start : start + 97])
            store.refresh()
            (row,) = store.select(
                "SELECT count(*), count(DISTINCT row(env_id, episode_idx, epoch)) FROM epochs"
            ).rows
            assert row[0] == row[1]
        assert row == [ENVS * 100, ENVS * 100]


def test_a_torn_last_line_of_a_killed_writer_is_told_and_nothing_else_is_lost(tmp_path):
    path = write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    before = read_events(path)
    with path.open("ab") as file:
        file.write(b'{"event_id":"torn","event_type":"EPOCH_COM')
    write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    with open_store(tmp_path) as store:
        assert store.select("SELECT count(*) FROM raw_events").rows == [[2 * len(before)]]
        assert [row[0] for row in store.select("SELECT kind FROM ingest_errors").rows] == ["line"]
        assert store.select("SELECT * FROM event_gaps").rows == []


# Two ranks.

RANK = """
import sys
sys.path[:0] = {path!r}
from store_support import SteppedTraining
from esper.karn.collector import TelemetryCollector
rank = int(sys.argv[2])
with TelemetryCollector(sys.argv[1], "run", rank=rank, world_size=2, envs_per_rank=2) as collector:
    training = SteppedTraining(collector, n_envs=2, episodes=1, epochs=20, seed=rank)
    training.start(rank=rank, world_size=2).run_to()
"""


def test_two_processes_that_train_as_two_ranks_are_one_run(tmp_path):
    code = RANK.format(path=[str(Path(oracle.__file__).parent)])
    ranks = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(tmp_path), str(rank)])
        for rank in range(2)
    ]
    assert [rank.wait(60) for rank in ranks] == [0, 0]
    files = sorted((tmp_path / "run").iterdir())
    assert [path.name for path in files] == ["events.rank00000.jsonl", "events.rank00001.jsonl"]
    with open_store(tmp_path) as store:
        run = store.run("run")
        assert (run.status, run.ranks, run.world_size) == ("finished", 2, 2)
        assert run.events == sum(len(read_events(path)) for path in files)
        assert store.select("SELECT rank, env_id FROM epochs GROUP BY ALL ORDER BY ALL").rows == [
            [0, 0],
            [0, 1],
            [1, 2],
            [1, 3],
        ]
        assert store.select("SELECT count(*) FROM epochs").rows == [[80]]
        assert store.select("SELECT count(DISTINCT event_id) FROM raw_events").rows == [[run.events]]
        assert store.select("SELECT env_count FROM internal_op_summary").rows == [[4], [4]]
        assert len(store.select("SELECT * FROM runs").rows) == 2
        assert {env.rank for env in thrash_verdict(store).environments} == {0, 1}


# Statuses.


@pytest.fixture
def collector(tmp_path) -> Iterator[TelemetryCollector]:
    with TelemetryCollector(tmp_path, "run") as collector:
        yield collector


def status(folder: Path) -> str:
    with open_store(folder) as store:
        return store.run("run").status


def finish(collector: TelemetryCollector) -> None:
    collector.emit(TelemetryEventType.TRAINING_FINISHED, TrainingFinishedPayload())


def test_a_run_that_is_being_written_is_running(tmp_path, collector):
    SteppedTraining(collector, n_envs=1, epochs=3, episodes=1).start()
    assert status(tmp_path) == "running"


def test_a_run_that_said_so_is_finished_until_it_is_resumed(tmp_path, collector):
    finish(collector)
    assert status(tmp_path) == "finished"
    collector.close()
    assert status(tmp_path) == "finished"
    with TelemetryCollector(tmp_path, "run") as again:
        SteppedTraining(again, n_envs=1).start()
        assert status(tmp_path) == "running"


def test_a_run_is_finished_when_every_rank_of_its_world_is(tmp_path):
    with TelemetryCollector(tmp_path, "run", rank=0, world_size=2) as first:
        finish(first)
        assert status(tmp_path) == "running"
        with TelemetryCollector(tmp_path, "run", rank=1, world_size=2) as second:
            SteppedTraining(second, n_envs=1).start()
            assert status(tmp_path) == "running"
            finish(second)
            assert status(tmp_path) == "finished"


def test_a_run_that_was_resumed_with_fewer_ranks_is_finished_when_they_are(tmp_path):
    for world_size in (3, 2):
        for rank in range(world_size):
            with TelemetryCollector(tmp_path, "run", rank=rank, world_size=world_size) as collector:
                SteppedTraining(collector, n_envs=1).start()
                if world_size == 2:
                    finish(collector)
    assert status(tmp_path) == "finished"


KILLED = """
import os, signal, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import TelemetryEventType, TrainingStartedPayload
collector = TelemetryCollector(sys.argv[1], "run")
collector.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(task="killed"))
print("ready", flush=True)
signal.pause()
"""


def test_a_killed_writer_has_crashed_and_a_copy_of_its_files_can_only_be_silent(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert status(tmp_path) == "running"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    assert status(tmp_path) == "crashed"
    with open_store(tmp_path) as store:
        assert (
            "the training has not finished and nobody writes the run any more" in thrash_verdict(store).notes
        )
    copy = tmp_path / "copies" / "run" / "events.jsonl"
    write_lines(copy, (tmp_path / "run" / "events.jsonl").read_bytes(), end=b"")
    assert status(tmp_path / "copies") == "running"


def stamped(seconds_ago: float) -> dict[str, Any]:
    return event("X", timestamp=(datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat())


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([30], "running"),
        ([90], "silent"),
        ([90, 89, 88], "silent"),
        ([190, 140, 90], "running"),
        ([2000, 1999, 1998, 900], "silent"),
        ([1900, 1000, 900], "running"),
        ([-1000], "running"),
    ],
)
def test_a_run_is_silent_after_a_minute_or_ten_of_its_own_gaps(tmp_path, ages, expected):
    write_lines(tmp_path / "run" / "events.jsonl", *(stamped(age) for age in ages))
    assert status(tmp_path) == expected


def test_a_run_whose_events_have_no_time_is_not_empty(tmp_path):
    write_lines(tmp_path / "run" / "events.jsonl", event("X"))
    with open_store(tmp_path) as store:
        run = store.run("run")
        assert (run.status, run.events, run.age_s) == ("silent", 1, None)


def test_the_latest_run_is_the_one_with_the_newest_event_and_never_the_newest_file(tmp_path):
    write_lines(tmp_path / "newer" / "events.jsonl", stamped(10))
    write_lines(tmp_path / "older" / "events.jsonl", stamped(100))
    os.utime(tmp_path / "newer" / "events.jsonl", (0, 0))
    with open_store(tmp_path) as store:
        assert store.latest_run() == "newer"
        assert [run.run_dir for run in store.runs()] == ["newer", "older"]
        write_lines(tmp_path / "older" / "events.jsonl", stamped(1))
        store.refresh()
        assert store.latest_run() == "older"


class TestPolicyUpdates:
    def test_an_update_that_was_replayed_counts_once(self, tmp_path: Path) -> None:
        """The checkpoint is one before the second episode's end; the process dies two updates later."""
        config = TrainConfig(
            policy="ppo",
            n_envs=1,
            n_episodes=4,
            max_epochs=6,
            channels=2,
            train_images=32,
            checkpoint_every=11,
        )
        checkpoint = tmp_path / "checkpoint.pt"

        def die(progress: Progress) -> None:
            if progress.done == 20:
                raise KeyboardInterrupt

        with TelemetryCollector(tmp_path, "run") as sink, pytest.raises(KeyboardInterrupt):
            simic_train(config, sink, checkpoint_path=checkpoint, on_epoch=die)
        with TelemetryCollector(tmp_path, "run") as sink:
            simic_train(config, sink, checkpoint_path=checkpoint, resume=True)
        with TelemetryCollector(tmp_path, "whole") as sink:
            simic_train(config, sink)
        written = [event["event_type"] for event in read_events(tmp_path / "run/events.jsonl")]
        assert written.count("PPO_UPDATE_COMPLETED") == 4 + 2
        with open_store(tmp_path) as store:
            updates = {
                run_dir: store.select(
                    "SELECT batch, policy_loss, entropy, kl_divergence FROM ppo_updates "
                    "WHERE run_dir = ? ORDER BY batch",
                    [run_dir],
                ).rows
                for run_dir in ("run", "whole")
            }
        assert [batch for batch, *_ in updates["whole"]] == [1, 2, 3, 4]
        assert updates["run"] == updates["whole"]
