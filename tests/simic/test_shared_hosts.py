"""Ranks that train the same networks: one decision, equal weights, and the training of a single process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from event_list import ListSink, tiny
from rank_processes import Event, event_file, events_of, train_ranks

from esper.simic.config import TrainConfig
from esper.simic.trainer import train

UNEVEN = tiny(
    policy="random", n_envs=2, n_episodes=2, max_epochs=10, train_images=33, batch_size=16,
    shared_hosts=True, checkpoint_every=4,
)  # fmt: skip
"""Batches of 16, 16 and 1: in the last one rank 1 has nothing to train on."""
RANKS = 2


def without_place(event: Event) -> tuple[Any, ...]:
    """An event without what tells the ranks apart."""
    data = {
        key: value
        for key, value in event["data"].items()
        if key not in ("env_id", "rank", "world_size", "attempt", "inode", "seed_id")
    }
    return event["event_type"], event["slot_id"], event["epoch"], data


def state_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)["state"]
    return state


def plain(config: TrainConfig) -> ListSink:
    sink = ListSink()
    train(config, sink)
    return sink


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two real processes that shared their hosts."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    ended = train_ranks(telemetry, "run", UNEVEN, ranks=RANKS)
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * RANKS
    return telemetry / "run"


class TestTwoRanksThatShareTheirHosts:
    def test_stay_equal_bit_for_bit(self, run: Path) -> None:
        for name in ("checkpoint", "checkpoint.previous"):
            stem, *rest = name.split(".")
            first, second = (
                state_of(run / ".".join([stem, f"rank{rank:05d}", *rest, "pt"])) for rank in range(RANKS)
            )
            assert (first["episode"], first["epoch"]) == (second["episode"], second["epoch"])
            for env, other in zip(first["envs"], second["envs"], strict=True):
                assert env["slots"] == other["slots"]
                assert env["losses"] == other["losses"]
                assert env["host"].keys() == other["host"].keys()
                assert all(torch.equal(weight, other["host"][key]) for key, weight in env["host"].items())

    def test_tell_the_same_each_under_environments_of_its_own(self, run: Path) -> None:
        files = [events_of(event_file(run, rank)) for rank in range(RANKS)]
        ids = [{event["data"]["env_id"] for event in events if "env_id" in event["data"]} for events in files]
        assert ids == [{0, 1}, {2, 3}]
        told = [[without_place(event) for event in events] for events in files]
        assert told[0] == told[1]
        assert {event["event_type"] for event in files[0]} >= {
            "SEED_INTERNAL_LEVEL_CHANGED",
            "SEED_GERMINATED",
        }

    def test_train_as_one_process_does(self, run: Path) -> None:
        """Up to rounding; the random policy decides by its mask alone, so that no decision may differ."""
        whole = plain(UNEVEN)
        events = events_of(event_file(run, 1))
        decided = [
            (event["data"]["action_name"], event["slot_id"], event["data"]["op_probability"])
            for event in events
            if event["event_type"] == "ANALYTICS_SNAPSHOT"
        ]
        expected = [
            (event.data["action_name"], event.slot_id, event.data["op_probability"])
            for event in whole.of("ANALYTICS_SNAPSHOT")
        ]
        assert decided == expected
        epochs = [event["data"] for event in events if event["event_type"] == "EPOCH_COMPLETED"]
        for name in ("loss", "train_loss"):
            assert [data[name] for data in epochs] == pytest.approx(
                [event.data[name] for event in whole.of("EPOCH_COMPLETED")], abs=2e-5
            )
        one_image = 1 / 33
        assert [data["train_accuracy"] for data in epochs] == pytest.approx(
            [event.data["train_accuracy"] for event in whole.of("EPOCH_COMPLETED")], abs=one_image * 1.01
        )


def test_a_single_process_with_shared_hosts_is_plain_training() -> None:
    alone, shared = plain(msgspec.structs.replace(UNEVEN, shared_hosts=False)), plain(UNEVEN)
    events = [
        [(event.env, event.type, event.epoch, event.data) for event in sink.events[1:]]
        for sink in (alone, shared)
    ]
    assert events[0] == events[1]


def test_ranks_that_learn_one_policy_keep_it_equal(tmp_path: Path) -> None:
    config = tiny(policy="ppo", n_envs=1, n_episodes=2, max_epochs=8, checkpoint_every=16)
    ended = train_ranks(tmp_path, "run", config)
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
    states = [state_of(tmp_path / "run" / f"checkpoint.rank{rank:05d}.pt")["policy"] for rank in range(2)]
    first, second = (state["network"] for state in states)
    assert states[0]["updates"] == 1
    assert all(torch.equal(weight, second[key]) for key, weight in first.items())
    assert not torch.equal(states[0]["generator"], states[1]["generator"])


def test_a_learning_policy_decides_for_ranks_that_share_their_hosts(tmp_path: Path) -> None:
    config = tiny(policy="ppo", n_envs=1, n_episodes=2, max_epochs=6, shared_hosts=True)
    ended = train_ranks(tmp_path, "run", config)
    assert [(rank.code, rank.stderr) for rank in ended] == [(0, "")] * 2
    files = [events_of(event_file(tmp_path / "run", rank), "ANALYTICS_SNAPSHOT") for rank in range(2)]
    assert [without_place(event) for event in files[0]] == [without_place(event) for event in files[1]]
    updates = [events_of(event_file(tmp_path / "run", rank), "PPO_UPDATE_COMPLETED") for rank in range(2)]
    assert [len(of_rank) for of_rank in updates] == [2, 0]
