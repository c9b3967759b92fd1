"""A start that comes to nothing is repeated, and what an earlier training left is not the new one's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from event_list import Killed, ListSink, tiny
from rank_processes import ends, event_file, events_of, start_ranks, train_ranks, training, wait_for

from esper.leyline.errors import TelemetryUsageError
from esper.simic.checkpoint import CheckpointError, discard_checkpoints, previous_of
from esper.simic.trainer import Progress, train
from esper.training_run import run_training

SMALL = tiny(policy="random", n_envs=1, n_episodes=1, max_epochs=6, checkpoint_every=2)
SHARED = msgspec.structs.replace(SMALL, shared_hosts=True)


def moment(path: Path) -> tuple[int, int]:
    state: dict[str, Any] = torch.load(path, weights_only=True)["state"]
    return state["episode"], state["epoch"]


class TestAStartThatCameToNothing:
    def test_for_want_of_room_is_repeated_by_the_same_command(self, tmp_path: Path) -> None:
        in_its_place = tmp_path / "run" / "checkpoint.pt.tmp"
        in_its_place.mkdir(parents=True)
        with pytest.raises(CheckpointError, match="can't be written"):
            run_training(SMALL, tmp_path, "run", resume=False)
        assert (tmp_path / "run" / "events.jsonl").read_bytes() == b""
        in_its_place.rmdir()
        assert run_training(SMALL, tmp_path, "run", resume=False) == "run"
        events = events_of(tmp_path / "run" / "events.jsonl")
        assert events[-1]["event_type"] == "TRAINING_FINISHED"
        with pytest.raises(TelemetryUsageError, match="run 'run' exists"):
            run_training(SMALL, tmp_path, "run", resume=False)

    def test_on_one_rank_of_two_is_repeated_by_both(self, tmp_path: Path) -> None:
        in_its_place = tmp_path / "run" / "checkpoint.rank00001.pt.tmp"
        in_its_place.mkdir(parents=True)
        assert [rank.code for rank in train_ranks(tmp_path, "run", SHARED)] == [1, 1]
        in_its_place.rmdir()
        ended = train_ranks(tmp_path, "run", SHARED)
        assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
        # Events of one rank are enough for a run.
        event_file(tmp_path / "run", 0).write_bytes(b"")
        refused = "karn: run 'run' exists; give --resume to go on with it, or another --run-dir\n"
        assert [rank.stderr for rank in train_ranks(tmp_path, "run", SHARED)] == [refused] * 2

    def test_by_ctrl_c_says_that_the_same_command_begins_again(self, tmp_path: Path) -> None:
        """The checkpoint waits for a reader of its pipe, so that it is not there yet."""
        run = tmp_path / "run"
        run.mkdir()
        os.mkfifo(run / "checkpoint.pt.tmp")
        command = [sys.executable, *map(str, training(tmp_path, "run", SMALL))]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        wait_for((run / "events.jsonl").exists, [process])
        process.send_signal(signal.SIGINT)
        (ended,) = ends([process])
        assert "karn: interrupted; to begin again, give the same command with --run-dir run\n" in ended.stderr
        assert not (run / "checkpoint.pt").exists()
        (run / "checkpoint.pt.tmp").unlink(missing_ok=True)
        assert run_training(SMALL, tmp_path, "run", resume=False) == "run"


class TestCheckpointsOfAnEarlierTraining:
    def test_are_gone_before_the_first_of_the_new_one(self, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.pt"
        train(SMALL, ListSink(), checkpoint_path=path)
        shutil.copy(path, previous_of(path))

        def on_epoch(progress: Progress) -> None:
            raise Killed

        with pytest.raises(Killed):
            train(SMALL, ListSink(), checkpoint_path=path, on_epoch=on_epoch)
        assert moment(path) == (0, 0)
        assert not previous_of(path).exists()

    def test_are_never_what_ranks_have_in_common(self, tmp_path: Path) -> None:
        """Both are killed early in the new training; the old one had come to its end."""
        run, slow = tmp_path / "run", msgspec.structs.replace(SHARED, n_episodes=200, checkpoint_every=2000)
        assert [rank.code for rank in train_ranks(tmp_path, "run", SHARED)] == [0, 0]
        for rank in range(2):
            event_file(run, rank).unlink()
        processes = start_ranks([training(tmp_path, "run", slow)] * 2)
        try:
            wait_for(lambda: _begun(run, 0) and _begun(run, 1), processes)
        finally:
            for process in processes:
                process.kill()
            ends(processes)
        left = {path.name: moment(path) for path in run.glob("checkpoint*.pt")}
        assert left == {f"checkpoint.rank{rank:05d}.pt": (0, 0) for rank in range(2)}

    def test_that_cannot_be_removed_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "checkpoint.pt").mkdir()
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt of an earlier training can't be removed"):
            discard_checkpoints(tmp_path / "checkpoint.pt")


def _begun(run: Path, rank: int) -> bool:
    file = event_file(run, rank)
    return file.exists() and file.stat().st_size > 0
