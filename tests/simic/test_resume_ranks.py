"""Several ranks that were killed and go on: the training is the one that was never interrupted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from event_list import tiny
from rank_processes import (
    Ended,
    ends,
    epochs_in,
    event_file,
    events_of,
    start_ranks,
    train_ranks,
    training,
    wait_for,
)

from esper.karn.store.database import Store

SHARED = tiny(
    policy="oscillate", n_envs=1, n_episodes=3, max_epochs=20, checkpoint_every=6, shared_hosts=True
)
LEARNED = msgspec.structs.replace(SHARED, policy="ppo", shared_hosts=False)


def checkpoint(run: Path, rank: int, which: str = "") -> Path:
    return run / f"checkpoint.rank{rank:05d}{which}.pt"


def state_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)["state"]
    return state


def curves(telemetry: Path) -> list[list[Any]]:
    """Every epoch and decision of the run that counts, by the views."""
    store = Store(telemetry, seal=False)
    store.refresh()
    epochs = "SELECT env_id, episode_idx, epoch, loss, accuracy, params FROM epochs ORDER BY ALL"
    decided = "SELECT env_id, episode_idx, epoch, op, slot_id, op_probability FROM decisions ORDER BY ALL"
    try:
        return [*store.select(epochs).rows, *store.select(decided).rows]
    finally:
        store.close()


def killed_after(telemetry: Path, config: Any, epochs: int) -> Path:
    """A run of which both ranks were killed, rank 1 first."""
    processes = start_ranks([training(telemetry, "run", config)] * 2)
    try:
        wait_for(lambda: epochs_in(event_file(telemetry / "run", 1)) >= epochs, processes)
        processes[1].kill()
        processes[0].kill()
    finally:
        ends(processes)
    return telemetry / "run"


def fine(ended: list[Ended]) -> None:
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * len(ended)


@pytest.mark.parametrize("config", [SHARED, LEARNED], ids=["shared hosts", "one policy"])
def test_killed_ranks_go_on_as_if_nothing_had_been(config: Any, tmp_path: Path) -> None:
    fine(train_ranks(tmp_path / "whole", "run", config))
    run = killed_after(tmp_path / "killed", config, 27)
    # As if rank 1 had been killed between the write of rank 0's newest checkpoint and that of its own.
    os.replace(checkpoint(run, 1, ".previous"), checkpoint(run, 1))
    older = state_of(checkpoint(run, 1))
    assert state_of(checkpoint(run, 0))["episode"] >= older["episode"]
    fine(train_ranks(tmp_path / "killed", "run", config, resume=True))
    starts = [events_of(event_file(run, rank), "TRAINING_STARTED")[-1]["data"] for rank in range(2)]
    resumed = [(start["resumed_from_episode"], start["resumed_from_epoch"]) for start in starts]
    assert resumed == [(older["episode"], older["epoch"])] * 2
    assert curves(tmp_path / "killed") == curves(tmp_path / "whole")


def test_where_one_rank_finds_no_room_all_say_so(tmp_path: Path) -> None:
    checkpoint(tmp_path / "run", 1).with_suffix(".pt.tmp").mkdir(parents=True)
    ended = train_ranks(tmp_path, "run", SHARED)
    expected = "karn: rank 1's checkpoint can't be written: Is a directory\n"
    assert [(rank.code, rank.stderr) for rank in ended] == [(1, expected)] * 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The telemetry folder of a run of two ranks that shared their hosts."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    fine(train_ranks(telemetry, "run", msgspec.structs.replace(SHARED, n_episodes=1)))
    return telemetry


class TestRefusal:
    @pytest.fixture
    def telemetry(self, finished: Path, tmp_path: Path) -> Path:
        shutil.copytree(finished, tmp_path / "telemetry")
        return tmp_path / "telemetry"

    def refused(self, telemetry: Path, config: Any = SHARED) -> str:
        """The one line that both ranks end with; no event was written."""
        files = [event_file(telemetry / "run", rank) for rank in range(2)]
        before = [file.read_bytes() for file in files]
        ended = train_ranks(telemetry, "run", config, resume=True)
        assert [rank.code for rank in ended] == [1, 1]
        assert ended[0].stderr == ended[1].stderr
        assert [file.read_bytes() for file in files] == before
        (line,) = ended[0].stderr.splitlines()
        return line

    def test_of_ranks_without_a_checkpoint_in_common_says_where_each_is(self, telemetry: Path) -> None:
        run = telemetry / "run"
        os.replace(checkpoint(run, 0, ".previous"), checkpoint(run, 0))
        checkpoint(run, 1, ".previous").unlink()
        assert self.refused(telemetry) == (
            "karn: the ranks have no checkpoint in common: rank 0 at episode 0 epoch 18; "
            "rank 1 at episode 0 epoch 20"
        )

    def test_of_a_rank_without_a_checkpoint_names_its_file(self, telemetry: Path) -> None:
        for which in ("", ".previous"):
            checkpoint(telemetry / "run", 1, which).unlink()
        assert self.refused(telemetry) == (
            "karn: run 'run' has no checkpoint to resume from (checkpoint.rank00001.pt)"
        )

    def test_of_a_rank_whose_checkpoints_are_damaged_names_it(self, telemetry: Path) -> None:
        for which in ("", ".previous"):
            checkpoint(telemetry / "run", 0, which).write_bytes(b"half of")
        told = self.refused(telemetry)
        assert told.startswith("karn: rank 0 can't resume: ")
        assert "checkpoint.rank00000.pt is not a whole checkpoint" in told


def test_a_damaged_newest_checkpoint_costs_its_epochs_alone(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "telemetry")
    run = tmp_path / "telemetry/run"
    checkpoint(run, 1).write_bytes(b"half of")
    fine(
        train_ranks(tmp_path / "telemetry", "run", msgspec.structs.replace(SHARED, n_episodes=1), resume=True)
    )
    start = events_of(event_file(run, 0), "TRAINING_STARTED")[-1]["data"]
    assert start["resumed_from_epoch"] == 18
    assert curves(tmp_path / "telemetry") == curves(finished)
