"""A rank that is killed in the middle: what the others do, what is left of it, and who says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from event_list import tiny
from rank_processes import (
    DEADLINE_S,
    Ended,
    ends,
    epochs_in,
    event_file,
    events_of,
    free_port,
    start_ranks,
    training,
    wait_for,
)

LONG = tiny(policy="oscillate", n_envs=1, n_episodes=500, max_epochs=20)


def karn(*arguments: object) -> str:
    """What a command of ``karn`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "esper", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Killed(NamedTuple):
    """A run of two ranks, of which rank 1 was killed."""

    telemetry: Path
    other: Ended

    @property
    def run(self) -> Path:
        return self.telemetry / "run"


def kill_one(telemetry: Path, *, policy: str, shared: bool) -> Killed:
    config = tiny(policy=policy, n_envs=1, n_episodes=500, max_epochs=20, shared_hosts=shared)
    processes = start_ranks([training(telemetry, "run", config)] * 2)
    try:
        wait_for(lambda: epochs_in(event_file(telemetry / "run", 1)) >= 10, processes)
        processes[1].kill()
        (other,) = ends(processes[:1])
    finally:
        ends(processes)
    return Killed(telemetry, other)


@pytest.fixture(scope="module", params=["shared hosts", "one policy"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Rank 1 was killed while rank 0 needed it."""
    shared = request.param == "shared hosts"
    return kill_one(
        tmp_path_factory.mktemp("telemetry"), policy="oscillate" if shared else "ppo", shared=shared
    )


class TestOfRanksThatNeedEachOther:
    def test_the_other_ends_with_one_line(self, killed: Killed) -> None:
        assert killed.other.code == 1
        assert killed.other.stderr == (
            "karn: rank 0 stops: rank 1 has ended or no longer answers; "
            "`karn doctor` says which, and since when\n"
        )

    def test_all_telemetry_is_whole_and_nobody_claims_to_have_finished(self, killed: Killed) -> None:
        for rank in range(2):
            events = events_of(event_file(killed.run, rank))
            assert [event["seq"] for event in events] == list(range(len(events)))
            assert "TRAINING_FINISHED" not in {event["event_type"] for event in events}

    def test_doctor_and_verdict_tell_the_killed_one_from_the_one_that_gave_up(self, killed: Killed) -> None:
        last = events_of(event_file(killed.run, 1))[-1]["timestamp"][:19].replace("T", " ")
        epoch = events_of(event_file(killed.run, 1), "EPOCH_COMPLETED")[-1]
        where = f"episode {epoch['data']['episode_idx']} epoch {epoch['epoch']}"
        silent = f"rank 1: not finished, fell silent at {last} UTC, after {where}; its writer is gone"
        gave_up = ": rank 0 stops: rank 1 has ended or no longer answers"
        for told in (karn("doctor", "-d", killed.telemetry), karn("report", "run", "-d", killed.telemetry)):
            lines = [line for line in told.splitlines() if "gave up at" in line or "fell silent at" in line]
            assert silent in lines[0]
            assert "rank 0: gave up at " in lines[1]
            assert gave_up in lines[1]


@pytest.fixture(scope="module")
def going_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Rank 1 was killed, and rank 0, which shares nothing with it, trains on meanwhile."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    processes = start_ranks([training(telemetry, "run", LONG)] * 2)
    try:
        wait_for(lambda: epochs_in(event_file(telemetry / "run", 1)) >= 10, processes)
        processes[1].kill()
        processes[1].communicate()
        seen = epochs_in(event_file(telemetry / "run", 0))
        wait_for(lambda: epochs_in(event_file(telemetry / "run", 0)) >= seen + 100, processes[:1])
        yield telemetry
        assert processes[0].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.communicate()


class TestOfRanksThatShareNothing:
    def test_doctor_says_who_went_silent_and_how_far_behind_it_is_while_the_other_goes_on(
        self, going_on: Path
    ) -> None:
        told = karn("doctor", "-d", going_on)
        assert told.startswith("run: running, ")
        (line,) = [line for line in told.splitlines() if line.startswith("  rank ")]
        assert line.startswith("  rank 1: not finished, fell silent at ")
        (entry,) = json.loads(karn("doctor", "-d", going_on, "--json"))["runs"]
        (rank,) = entry["quiet_ranks"]
        recorded = [
            {(event["data"]["episode_idx"], event["epoch"]) for event in events_of(path, "EPOCH_COMPLETED")}
            for path in (event_file(going_on / "run", each) for each in range(2))
        ]
        assert 50 <= rank["behind_epochs"] <= len(recorded[0]) - len(recorded[1])
        assert rank["writer_lives"] is False
        assert " epochs and " in line
        assert line.endswith(" behind the others")

    def test_the_verdict_says_it_too(self, going_on: Path) -> None:
        notes = [
            line for line in karn("report", "run", "-d", going_on).splitlines() if line.startswith("note:")
        ]
        assert notes[0] == "note: the training goes on: the verdict is of now"
        assert notes[1].startswith("note: rank 1: not finished, fell silent at ")
        assert len(notes) == 2


def process_of_rank(rank: int, parent: int) -> int:
    """The process that torchrun started as a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_child = f"\nPPid:\t{parent}\n" in (folder / "status").read_text()
            if is_child and f"RANK={rank}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
    pytest.fail(f"torchrun has no rank {rank}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds torchrun's ranks in /proc")
def test_torchrun_ends_the_other_rank_and_the_run_says_which_was_killed(tmp_path: Path) -> None:
    torchrun = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-port", str(free_port()), "-m", "esper", "train", "--shared-hosts", "--envs", "1",
            "--episodes", "500", "--run-dir", "run", "--telemetry-dir", str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        files = [event_file(tmp_path / "run", rank) for rank in range(2)]
        wait_for(lambda: all(epochs_in(file) >= 3 for file in files), [torchrun])
        os.kill(process_of_rank(1, torchrun.pid), signal.SIGKILL)
        assert torchrun.wait(DEADLINE_S) != 0
    finally:
        if torchrun.poll() is None:
            os.killpg(torchrun.pid, signal.SIGKILL)
    for file in files:
        assert "TRAINING_FINISHED" not in {event["event_type"] for event in events_of(file)}
    assert "rank 1: not finished, fell silent at " in karn("doctor", "-d", tmp_path)
