"""A training is resumed by as many ranks as it had: fewer would leave environments behind, unsaid."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from event_list import ListSink, tiny
from rank_processes import events_of, train_ranks

from esper.simic.checkpoint import CheckpointError
from esper.simic.config import TrainConfig
from esper.simic.distributed import World
from esper.simic.trainer import train
from esper.training_run import run_training

LEARNED = tiny(policy="ppo", n_envs=1, n_episodes=1, max_epochs=4)
APART = msgspec.structs.replace(LEARNED, policy="random")


def longer(config: TrainConfig) -> TrainConfig:
    return msgspec.structs.replace(config, n_episodes=2)


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


@pytest.fixture(scope="module", params=[LEARNED, APART], ids=["one policy", "nothing shared"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The telemetry folder of a run of two ranks, and its config."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    ended = train_ranks(telemetry, "w", request.param)
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
    return telemetry, request.param


@pytest.mark.parametrize(
    ("ranks", "now"), [(1, "1 would go on"), (3, "3 would go on")], ids=["fewer", "more"]
)
def test_by_another_number_of_ranks_it_is_refused_on_each(
    trained: tuple[Path, Any], ranks: int, now: str
) -> None:
    telemetry, config = trained
    before = contents(telemetry / "w")
    ended = train_ranks(telemetry, "w", longer(config), ranks=ranks, resume=True)
    told = f"karn: run 'w' was trained by 2 ranks, and {now}: start as many\n"
    assert [(rank.code, rank.stderr) for rank in ended] == [(1, told)] * ranks
    assert contents(telemetry / "w") == before


def test_a_single_process_is_not_gone_on_with_by_two(tmp_path: Path) -> None:
    run_training(LEARNED, tmp_path, "w", resume=False)
    ended = train_ranks(tmp_path, "w", longer(LEARNED), resume=True)
    told = "karn: run 'w' was trained by 1 rank, and 2 would go on: start as many\n"
    assert [(rank.code, rank.stderr) for rank in ended] == [(1, told)] * 2


def test_one_that_does_not_say_how_many_is_accepted(trained: tuple[Path, Any], tmp_path: Path) -> None:
    """As an earlier program wrote it."""
    telemetry, config = trained
    shutil.copytree(telemetry, tmp_path / "t")
    for path in (tmp_path / "t" / "w").glob("checkpoint*.pt"):
        saved = torch.load(path, weights_only=True)
        del saved["world_size"], saved["rank"]
        torch.save(saved, path)
    ended = train_ranks(tmp_path / "t", "w", longer(config), resume=True)
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
    for rank in range(2):
        events = events_of(tmp_path / "t" / "w" / f"events.rank{rank:05d}.jsonl")
        assert events[-1]["event_type"] == "TRAINING_FINISHED"


@pytest.mark.parametrize(
    ("world", "told"),
    [(World(0, 3), "was trained by 2 ranks, and 3 would go on"), (World(1, 2), "is of rank 0, and this is")],
)
def test_a_checkpoint_is_loaded_by_the_rank_that_wrote_it(tmp_path: Path, world: World, told: str) -> None:
    path, sink = tmp_path / "checkpoint.pt", ListSink()
    train(APART, ListSink(), world=World(0, 2), checkpoint_path=path)
    with pytest.raises(CheckpointError, match=told):
        train(longer(APART), sink, world=world, checkpoint_path=path, resume=True)
    assert sink.events == []
