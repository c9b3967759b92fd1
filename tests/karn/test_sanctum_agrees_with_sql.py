"""Sanctum, ``once --json`` and the SQL views agree: on random runs that are resumed, and on recorded ones."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from esper.karn.collector import TelemetryCollector
from esper.karn.diagnosis import SlotCounts
from esper.karn.sanctum.feed import RunFeed, utc_now
from esper.karn.sanctum.once import once_json
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.leyline import (
    CounterfactualDeltaPayload,
    DecisionPayload,
    EpisodeOutcomePayload,
    EpochCompletedPayload,
    SeedInternalLevelChangedPayload,
    TelemetryEventType,
    TrainingStartedPayload,
)

COLUMNS = SlotCounts.__struct_fields__
RECORDED = Path(__file__).parents[2] / "examples" / "telemetry"
PREDECESSOR = Path(__file__).parents[3] / "shared" / "data" / "esper_lite"
NUMBERS = (
    "loss_advantage",
    "loss_low",
    "loss_high",
    "accuracy_advantage",
    "accuracy_low",
    "accuracy_high",
)


class RandomRun:
    """Writes a run of two ranks of two environments, now and then with a slot that only thrashes."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder = folder
        self.dice = dice
        self.epochs = dice.randrange(1, 16)
        self.eager = dice.random() < 0.5
        self.decides = dice.random() < 0.7

    def write_attempt(self, rank: int, *, resumed: bool) -> None:
        """One process's part of a run; a resumed one may or may not say where it takes up."""
        dice = self.dice
        with TelemetryCollector(self.folder, "run", rank=rank, world_size=2, envs_per_rank=2) as collector:
            first_episode, first_epoch = (
                (dice.randrange(2), dice.randrange(self.epochs)) if resumed else (0, 0)
            )
            said = {}
            if resumed and dice.random() < 0.5:
                said = {"resumed_from_episode": first_episode, "resumed_from_epoch": first_epoch}
            if said or dice.random() < 0.8:
                collector.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(**said))
            for episode in range(first_episode, 3):
                for epoch in range(first_epoch if episode == first_episode else 0, self.epochs):
                    for env in range(2):
                        self.write_epoch(collector.for_env(env), episode, epoch)
                self.end_episode(collector, episode)

    def write_epoch(self, sink, episode: int, epoch: int) -> None:
        for _ in range(self.dice.randrange(3)):
            self.write_op(sink, episode, self.dice.choice([epoch, epoch, epoch, None]))
        if self.eager:
            self.write_change(sink, episode, epoch, ("z", "a", 1 + epoch % 2, 2 - epoch % 2, 3))
        if self.dice.random() < 0.5:
            self.write_outcome(sink, episode, epoch)
        done = EpochCompletedPayload(episode_idx=episode, loss=1.0, accuracy=0.5)
        sink.emit(TelemetryEventType.EPOCH_COMPLETED, done, epoch=epoch + 1)

    def write_op(self, sink, episode: int, epoch: int | None) -> None:
        dice = self.dice
        slot, before, after = dice.choice("xy"), dice.randrange(4), dice.randrange(4)
        if self.decides and epoch is not None:
            told = "GROW_INTERNAL" if after > before else "SHRINK_INTERNAL"
            action = dice.choice([told, told, "NOOP"])
            decision = DecisionPayload(action_name=action, slot_id=slot, episode_idx=episode)
            sink.emit(TelemetryEventType.ANALYTICS_SNAPSHOT, decision, slot_id=slot, epoch=epoch)
            if dice.random() < 0.3:
                return
        self.write_change(
            sink, episode, epoch, (slot, dice.choice("ab"), before, after, dice.choice([3, 3, 1]))
        )

    def write_change(self, sink, episode: int, epoch: int | None, op: tuple[str, str, int, int, int]) -> None:
        slot, seed, before, after, highest = op
        change = SeedInternalLevelChangedPayload(
            slot_id=slot, from_level=before, to_level=after, max_level=highest, episode_idx=episode
        )
        sink.emit(TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED, change, seed_id=seed, epoch=epoch)

    def write_outcome(self, sink, episode: int, epoch: int) -> None:
        dice = self.dice

        def some(spread: float) -> float | None:
            return None if dice.random() < 0.1 else dice.gauss(0, spread)

        outcome = CounterfactualDeltaPayload(
            slot_id=dice.choice("xy"),
            env_id=None,
            epoch=epoch,
            op=dice.choice([4, 4, 5, 5, 0, 77]),
            from_level=1,
            to_level=2,
            loss_before=None,
            accuracy_before=None,
            params_before=None,
            loss_after=None,
            accuracy_after=None,
            params_after=None,
            loss_delta=some(1.0),
            accuracy_delta=some(0.1),
            baseline_loss_delta=some(1.0),
            baseline_accuracy_delta=some(0.1),
            baseline_sample_count=dice.choice([0, 9, 10, 99, 100, 101, 500]),
            episode_idx=episode,
        )
        sink.emit(TelemetryEventType.COUNTERFACTUAL_DELTA, outcome, epoch=epoch)

    def end_episode(self, collector: TelemetryCollector, episode: int) -> None:
        for env in range(2):
            outcome = EpisodeOutcomePayload(episode_idx=episode)
            collector.for_env(env).emit(TelemetryEventType.EPISODE_OUTCOME, outcome, epoch=self.epochs)


def read(run: Path) -> RunFeed:
    feed = RunFeed(run)
    while feed.poll(1 << 16) or feed.behind:
        pass
    return feed


def assert_all_agree(telemetry_dir: Path, run_dir: str) -> None:
    """The screen's state, ``once --json`` and the SQL verdict, number by number."""
    store = Store(telemetry_dir)
    store.refresh()
    rows = store.select(f"SELECT {', '.join(COLUMNS)} FROM slot_thrash WHERE run_dir = '{run_dir}'").rows
    by_sql = {(row[0], row[1]): dict(zip(COLUMNS, row, strict=True)) for row in rows}
    verdict = thrash_verdict(store, run_dir)
    store.close()

    feed = read(telemetry_dir / run_dir)
    counted = feed.registry.internal_level_aggregator.counts()
    assert {(slot.env_id, slot.slot_id): msgspec.structs.asdict(slot) for slot in counted} == by_sql

    screen = feed.snapshot(utc_now())
    names = {
        field: [getattr(slot, field) for slot in verdict.slots] for field in ("env_id", "slot_id", "label")
    }
    assert {field: [getattr(slot, field) for slot in screen.verdicts] for field in names} == names
    assert (verdict.label == "thrashing") == (bool(screen.thrashing) or screen.thrashing_together)
    since = [slot.since for slot in verdict.slots if slot.since is not None]
    places = [(at.episode_idx, at.epoch) for at in since if None not in (at.episode_idx, at.epoch)]
    assert screen.first_thrash == min(places, default=None)

    assert [(e.op_name, e.n, e.n_all) for e in screen.effects] == [
        (e.op_name, e.n, e.n_all) for e in verdict.effects
    ]
    for mine, theirs in zip(screen.effects, verdict.effects, strict=True):
        for number in NUMBERS:
            assert getattr(mine, number) == pytest.approx(getattr(theirs, number), rel=1e-9, abs=1e-12)

    data = once_json(telemetry_dir, run_dir)
    assert data["slots"] == [msgspec.to_builtins(slot) for slot in screen.verdicts]
    assert data["effects"] == [msgspec.to_builtins(effect) for effect in screen.effects]
    assert data["first_thrash"] == screen.first_thrash
    assert (data["n_pairs"], data["band"]) == (screen.n_pairs, screen.band)
    assert len(data["rows"]) == len(screen.slots)

    positions = feed.positions()
    if positions:
        last = feed.snapshot_at(positions[-1], utc_now())
        assert last.moment == positions[-1]
        assert (last.slots, last.verdicts, last.changes) == (screen.slots, screen.verdicts, screen.changes)
        assert (last.effects, last.first_thrash) == (screen.effects, screen.first_thrash)


# A smaller seed makes no smaller run, so that there is nothing to shrink.
@settings(deadline=None, max_examples=25, phases=[Phase.generate])
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_on_random_runs_of_two_ranks_that_are_resumed_any_number_of_times(seed, attempts):
    with TemporaryDirectory() as folder:
        run = RandomRun(Path(folder), random.Random(seed))
        for attempt in range(attempts):
            for rank in range(2):
                run.write_attempt(rank, resumed=attempt > 0)
        assert_all_agree(Path(folder), "run")


UNREADABLE = [
    {},
    {"max_level": None},
    {"max_level": "x"},
    {"max_level": 3.7},
    {"max_level": 2**40},
    {"max_level": -1},
]


@pytest.mark.parametrize("some_can_be_read", [False, True])
@pytest.mark.parametrize("fields", UNREADABLE, ids=str)
def test_on_level_changes_of_which_a_field_cannot_be_read(tmp_path, fields, some_can_be_read):
    (tmp_path / "run").mkdir()
    told = {"env_id": 0, "episode_idx": 0, "slot_id": "r0c0", "internal_kind": "x"}
    with open(tmp_path / "run" / "events.jsonl", "w") as file:
        for op in range(40):
            levels = {"from_level": 1 + op % 2, "to_level": 2 - op % 2}
            readable = (some_can_be_read and op % 5 == 0) or (op == 3 and fields == {"max_level": -1})
            data = told | levels | ({"max_level": 4} if readable else fields)
            if op == 17:
                data["from_level"] = "nowhere"
            event = {"event_type": "SEED_INTERNAL_LEVEL_CHANGED", "epoch": op, "data": data}
            if op == 21:
                del data["slot_id"]
                event["slot_id"] = "r0c0"
            file.write(json.dumps(event) + "\n")
    assert_all_agree(tmp_path, "run")
    feed = read(tmp_path / "run")
    snapshot = feed.snapshot(utc_now())
    assert (snapshot.n_pairs, snapshot.run.bad_lines) == (38, 1)
    assert (snapshot.slots[0, "r0c0"].max_level == 4) == (some_can_be_read or fields == {"max_level": -1})


@pytest.mark.parametrize("run_dir", sorted(path.name for path in RECORDED.iterdir() if path.is_dir()))
def test_on_recorded_runs(run_dir):
    assert_all_agree(RECORDED, run_dir)


@pytest.mark.skipif(
    not PREDECESSOR.is_dir(), reason="the predecessor's telemetry is not beside this checkout"
)
def test_on_what_the_predecessor_wrote():
    for run in sorted(path.name for path in PREDECESSOR.iterdir() if path.is_dir()):
        assert_all_agree(PREDECESSOR, run)
