"""Whole trainings, tiny ones: what they write down, that they repeat, and that they survive divergence."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import pytest
import torch
from event_list import Kept, ListSink, tiny

from esper.leyline import LifecycleOp
from esper.leyline.errors import NotFoundError
from esper.simic.config import TrainConfig
from esper.simic.distributed import World
from esper.simic.trainer import Progress, train

EVERY_TYPE = {
    "TRAINING_STARTED", "TRAINING_FINISHED", "EPOCH_COMPLETED", "EPISODE_OUTCOME", "ANALYTICS_SNAPSHOT",
    "SEED_GERMINATED", "SEED_STAGE_CHANGED", "SEED_PRUNED", "SEED_FOSSILIZED",
    "SEED_INTERNAL_LEVEL_CHANGED", "INTERNAL_OP_METRICS", "COUNTERFACTUAL_DELTA",
}  # fmt: skip


def trained(**changes: Any) -> ListSink:
    sink = ListSink()
    train(tiny(**changes), sink)
    return sink


@pytest.fixture(scope="module", params=["random", "oscillate", "heuristic"])
def run(request: pytest.FixtureRequest) -> tuple[TrainConfig, ListSink]:
    """A training of each policy, long and tall enough that everything happens."""
    config = tiny(policy=request.param, max_epochs=40, exploration=0.2)
    sink = ListSink()
    train(config, sink)
    return config, sink


class TestWhatATrainingWrites:
    def test_every_event_type_that_applies(self, run: tuple[TrainConfig, ListSink]) -> None:
        assert {event.type for event in run[1].events} == EVERY_TYPE

    def test_starts_and_finishes_once_outside_all_environments(
        self, run: tuple[TrainConfig, ListSink]
    ) -> None:
        config, sink = run
        first, last = sink.events[0], sink.events[-1]
        assert (first.type, last.type) == ("TRAINING_STARTED", "TRAINING_FINISHED")
        assert {event.type for event in sink.events if event.env is None} == {first.type, last.type}
        assert first.data["config"] == msgspec.to_builtins(config)
        assert first.data["slot_ids"] == ["r0c0", "r0c1", "r0c2"]
        assert first.data["host_params"] > 0

    def test_one_decision_and_one_epoch_per_environment_and_epoch(
        self, run: tuple[TrainConfig, ListSink]
    ) -> None:
        config, sink = run
        envs, episodes = range(config.n_envs), range(config.n_episodes)
        for kind, epochs in [
            ("EPOCH_COMPLETED", range(1, config.max_epochs + 1)),
            ("ANALYTICS_SNAPSHOT", range(config.max_epochs)),
            ("EPISODE_OUTCOME", [config.max_epochs]),
        ]:
            counted = Counter((event.env, event.episode, event.epoch) for event in sink.of(kind))
            assert counted == {
                (e, episode, epoch): 1 for e in envs for episode in episodes for epoch in epochs
            }

    def test_levels_are_continuous_and_within_bounds(self, run: tuple[TrainConfig, ListSink]) -> None:
        level: dict[tuple[int | None, str | None], int] = {}
        for event in run[1].events:
            place, data = (event.env, event.slot_id), event.data
            if event.type == "SEED_GERMINATED" and "level" in data:
                level[place] = data["level"]
            elif event.type == "SEED_INTERNAL_LEVEL_CHANGED":
                assert level[place] == data["from_level"]
                assert abs(data["to_level"] - data["from_level"]) == 1
                assert 0 <= data["to_level"] <= data["max_level"] == 4
                level[place] = data["to_level"]
            elif event.type in ("SEED_PRUNED", "SEED_FOSSILIZED"):
                level.pop(place, None)

    def test_each_op_that_was_decided_was_carried_out(self, run: tuple[TrainConfig, ListSink]) -> None:
        _, sink = run
        decided = Counter(event.data["action_name"] for event in sink.of("ANALYTICS_SNAPSHOT"))
        moves = [
            event.data["to_level"] - event.data["from_level"]
            for event in sink.of("SEED_INTERNAL_LEVEL_CHANGED")
        ]
        assert decided["GROW_INTERNAL"] == moves.count(1)
        assert decided["SHRINK_INTERNAL"] == moves.count(-1)
        assert decided["GERMINATE"] == len(sink.of("SEED_GERMINATED"))
        assert decided["PRUNE"] == len(sink.of("SEED_PRUNED"))
        assert decided["FOSSILIZE"] == len(sink.of("SEED_FOSSILIZED"))

    def test_each_internal_op_has_one_outcome_after_one_epoch(
        self, run: tuple[TrainConfig, ListSink]
    ) -> None:
        _, sink = run
        outcomes = sink.of("COUNTERFACTUAL_DELTA")
        assert len(outcomes) == len(sink.of("SEED_INTERNAL_LEVEL_CHANGED"))
        assert {event.data["epochs_elapsed"] for event in outcomes} == {1}
        assert all(event.data["op_probability"] > 0 for event in outcomes)

    def test_a_decision_says_how_likely_it_was_and_what_it_was_paid(
        self, run: tuple[TrainConfig, ListSink]
    ) -> None:
        for event in run[1].of("ANALYTICS_SNAPSHOT"):
            data = event.data
            slot_share = 1.0 if event.slot_id is None else data["slot_probs"][event.slot_id]
            assert data["op_probability"] == data["op_probs"][data["action_name"]] * slot_share
            assert data["legal_ops"] == len(data["op_probs"])
            assert math.isfinite(data["reward"])
            internal = LifecycleOp[data["action_name"]].is_internal
            assert data["intervention_cost"] == (0.005 if internal else 0.0)

    def test_a_ladder_is_present_exactly_while_one_is_planted(
        self, run: tuple[TrainConfig, ListSink]
    ) -> None:
        """A decision is written after what it did, but speaks of the state before."""
        ladders: dict[int | None, set[str | None]] = {0: set(), 1: set()}
        before: dict[int | None, bool] = {0: False, 1: False}
        for event in run[1].events:
            if event.type == "SEED_GERMINATED" and "max_level" in event.data:
                ladders[event.env].add(event.slot_id)
            elif event.type in ("SEED_PRUNED", "SEED_FOSSILIZED"):
                ladders[event.env].discard(event.slot_id)
            elif event.type == "ANALYTICS_SNAPSHOT":
                assert event.data["ladder_present"] == before[event.env]
                before[event.env] = bool(ladders[event.env])
            elif event.type == "EPISODE_OUTCOME":
                ladders[event.env], before[event.env] = set(), False


class TestRepeating:
    def test_the_same_seed_gives_the_same_events(self) -> None:
        assert trained(seed=3, policy="random").events == trained(seed=3, policy="random").events

    def test_another_seed_gives_others(self) -> None:
        assert losses(trained(seed=3)) != losses(trained(seed=4))

    def test_environments_and_episodes_differ_from_each_other(self) -> None:
        by_episode: dict[tuple[int | None, int | None], list[float]] = {}
        for event in trained().of("EPOCH_COMPLETED"):
            by_episode.setdefault((event.env, event.episode), []).append(event.data["loss"])
        assert len({tuple(curve) for curve in by_episode.values()}) == 4

    def test_threads_and_global_random_numbers_are_as_before(self) -> None:
        threads, random_numbers = torch.get_num_threads(), torch.get_rng_state()
        trained(threads=threads + 1, n_episodes=1, max_epochs=2)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.get_rng_state(), random_numbers)

    def test_ranks_have_environments_of_their_own(self) -> None:
        ranks = []
        for rank in range(2):
            sink = ListSink()
            train(tiny(n_episodes=1, n_envs=1), sink, world=World(rank, 2))
            assert sink.events[0].data["rank"] == rank
            assert sink.events[0].data["world_size"] == 2
            ranks.append(losses(sink))
        assert ranks[0] != ranks[1]


class TestProgress:
    def test_is_reported_after_every_epoch(self) -> None:
        seen: list[Progress] = []
        sink = ListSink()
        train(tiny(), sink, on_epoch=seen.append)
        assert [progress.done for progress in seen] == list(range(1, 25))
        assert {progress.total for progress in seen} == {24}
        assert (seen[12].episode, seen[12].epoch) == (1, 1)
        assert sum(seen[-1].op_counts.values()) == len(sink.of("ANALYTICS_SNAPSHOT"))
        last = [event.data for event in sink.of("EPOCH_COMPLETED")[-2:]]
        assert seen[-1].accuracy == pytest.approx((last[0]["accuracy"] + last[1]["accuracy"]) / 2)
        assert seen[-1].params == (last[0]["params"] + last[1]["params"]) / 2


class TestTrouble:
    @pytest.mark.parametrize("policy", ["random", "oscillate", "heuristic"])
    def test_a_training_that_diverges_is_recorded_to_its_end(self, policy: str) -> None:
        sink = trained(policy=policy, lr=1e30)
        assert len(sink.of("EPOCH_COMPLETED")) == 2 * 2 * 12
        assert any(math.isnan(loss) for loss in losses(sink))
        assert sink.events[-1].type == "TRAINING_FINISHED"

    def test_an_unknown_policy_writes_nothing(self) -> None:
        sink = ListSink()
        with pytest.raises(NotFoundError, match="did you mean random"):
            train(tiny(policy="randm"), sink)
        assert sink.events == []


def losses(sink: ListSink) -> list[float]:
    return [loss_of(event) for event in sink.of("EPOCH_COMPLETED")]


def loss_of(event: Kept) -> float:
    return event.payload.loss  # type: ignore[attr-defined,no-any-return]
