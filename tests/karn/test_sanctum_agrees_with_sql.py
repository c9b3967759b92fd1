"""Sanctum counts as the SQL view does, on random runs of two ranks that are resumed any number of times."""

from __future__ import annotations

import random

import msgspec
import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.diagnosis import SlotCounts
from esper.karn.sanctum.feed import RunFeed, utc_now
from esper.karn.store.database import Store
from esper.leyline import (
    EpochCompletedPayload,
    SeedInternalLevelChangedPayload,
    TelemetryEventType,
    TrainingStartedPayload,
)

COLUMNS = SlotCounts.__struct_fields__


def write_attempt(folder, dice: random.Random, rank: int, *, resumed: bool) -> None:
    """One process's part of a run; a resumed one may or may not say where it takes up."""
    with TelemetryCollector(folder, "run", rank=rank, world_size=2, envs_per_rank=2) as collector:
        first_episode, first_epoch = (dice.randrange(2), dice.randrange(8)) if resumed else (0, 0)
        said = {}
        if resumed and dice.random() < 0.5:
            said = {"resumed_from_episode": first_episode, "resumed_from_epoch": first_epoch}
        if dice.random() < 0.8:
            collector.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(**said))
        for episode in range(first_episode, 3):
            for epoch in range(first_epoch if episode == first_episode else 0, 15):
                for env in range(2):
                    write_epoch(collector.for_env(env), dice, episode, epoch)


def write_epoch(sink, dice: random.Random, episode: int, epoch: int) -> None:
    for _ in range(dice.randrange(3)):
        change = SeedInternalLevelChangedPayload(
            slot_id=dice.choice("xy"),
            from_level=dice.randrange(4),
            to_level=dice.randrange(4),
            max_level=dice.choice([3, 3, 1]),
            episode_idx=episode,
        )
        sink.emit(
            TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
            change,
            seed_id=dice.choice("ab"),
            epoch=dice.choice([epoch, epoch, epoch, None]),
        )
    done = EpochCompletedPayload(episode_idx=episode, loss=1.0, accuracy=0.5)
    sink.emit(TelemetryEventType.EPOCH_COMPLETED, done, epoch=epoch + 1)


@pytest.mark.parametrize("seed", range(12))
def test_every_count_of_every_slot(tmp_path, seed):
    dice = random.Random(seed)
    for attempt in range(1 + seed % 4):
        for rank in range(2):
            write_attempt(tmp_path, dice, rank, resumed=attempt > 0)

    store = Store(tmp_path)
    store.refresh()
    rows = store.select(f"SELECT {', '.join(COLUMNS)} FROM slot_thrash").rows
    by_sql = {(row[0], row[1]): dict(zip(COLUMNS, row, strict=True)) for row in rows}
    store.close()

    feed = RunFeed(tmp_path / "run")
    while feed.poll(1 << 16):
        pass
    counted = feed.registry.internal_level_aggregator.counts()
    by_sanctum = {(slot.env_id, slot.slot_id): msgspec.structs.asdict(slot) for slot in counted}
    assert by_sanctum == by_sql
    assert len(feed.snapshot(utc_now()).verdicts) == len(by_sql)
