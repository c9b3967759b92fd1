"""What the aggregators make of real files, written by the recorder through the collector."""

from __future__ import annotations

import pytest
from sanctum_support import LATER, play, read, training, zigzag

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum.aggregator import InternalLevelAggregator
from esper.karn.sanctum.feed import RunFeed
from esper.leyline import (
    EpisodeOutcomePayload,
    EpochCompletedPayload,
    InternalOpMetricsPayload,
    SeedInternalLevelChangedPayload,
    TelemetryEvent,
    TelemetryEventType,
    TrainingStartedPayload,
)
from esper.simic.training.recorder import InternalOpRecorder


def level_changed(slot_id="r0c0", before=1, after=2, *, epoch=1, env_id=0, episode_idx=0):
    return TelemetryEvent(
        event_type=TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
        seed_id="s",
        epoch=epoch,
        data=SeedInternalLevelChangedPayload(
            slot_id=slot_id,
            from_level=before,
            to_level=after,
            max_level=4,
            env_id=env_id,
            episode_idx=episode_idx,
        ),
    )


def epoch_completed(epoch, *, env_id=0, episode_idx=0):
    return TelemetryEvent(
        event_type=TelemetryEventType.EPOCH_COMPLETED,
        epoch=epoch,
        data=EpochCompletedPayload(env_id=env_id, episode_idx=episode_idx),
    )


class TestRows:
    def test_follow_a_seed_from_germination_to_its_last_level(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", [1, 2, 3, 2])
        (row,) = read(tmp_path).slots.values()
        assert (row.env_id, row.slot_id, row.level, row.max_level, row.trend) == (0, "r0c0", 2, 4, "shrink")
        assert (row.n_pairs, row.reversal_rate, row.last_change_epoch) == (2, 0.5, 2)
        assert row.window_reversal_rate == 0.5

    def test_begin_at_germination(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            recorder.seed_added(0, "r0c1")
        rows = read(tmp_path).slots
        assert (rows[0, "r0c0"].level, rows[0, "r0c0"].trend, rows[0, "r0c0"].verdict) == (1, "stable", None)
        assert not rows[0, "r0c1"].has_ladder

    def test_are_kept_apart_by_environment(self, tmp_path):
        with training(tmp_path, envs=4) as recorder:
            for env, levels in enumerate([[0, 1, 2], [0, 1, 2], [2, 1, 0], [2, 1, 0]]):
                recorder.seed_added(env, "r0c0", levels[0], 4)
                play(recorder, env, "r0c0", levels)
        snapshot = read(tmp_path)
        assert sorted(snapshot.slots) == [(env, "r0c0") for env in range(4)]
        assert [row.reversal_rate for row in snapshot.slots.values()] == [0.0] * 4
        assert (snapshot.n_pairs, snapshot.n_reversals) == (4, 0)

    def test_of_pruned_seeds_go_but_their_ops_stay_counted(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", [1, 2, 1])
            recorder.seed_removed(0, "r0c0", "no gain")
        snapshot = read(tmp_path)
        assert snapshot.slots == {}
        assert [(verdict.slot_id, verdict.n_ops) for verdict in snapshot.verdicts] == [("r0c0", 2)]

    def test_of_fossilized_seeds_stay_and_are_marked(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", [1, 2])
            recorder.seed_removed(0, "r0c0", "fossilized")
        (row,) = read(tmp_path).slots.values()
        assert (row.fossilized, row.level) == (True, 2)

    def test_of_an_ended_episode_are_outdated_once_the_next_one_has_begun(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            recorder.seed_added(0, "r0c1", 1, 4)
            recorder.epoch_end(0, 1, 1.0, 0.5)
            recorder.episode_end(0)
            assert not any(row.outdated for row in read(tmp_path).slots.values())
            recorder.seed_added(0, "r0c0", 1, 4)
        rows = read(tmp_path).slots
        assert (rows[0, "r0c0"].outdated, rows[0, "r0c1"].outdated) == (False, True)

    def test_carry_the_place_of_their_verdict(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "calm", 0, 8)
            recorder.seed_added(0, "wild", 2, 4)
            epoch = play(recorder, 0, "calm", list(range(9)))
            play(recorder, 0, "wild", zigzag(2, 3, 30), first_epoch=epoch + 1)
        snapshot = read(tmp_path)
        wild = snapshot.slots[0, "wild"]
        assert (wild.place, wild.band, wild.indicator) == (0, "thrash", "red")
        assert wild.verdict is not None
        assert wild.verdict.thrashing
        assert snapshot.thrashing == (wild.verdict,)
        assert snapshot.slots[0, "calm"].indicator is None

    def test_show_what_the_training_reports_until_there_is_a_pair_to_count(self):
        aggregator = InternalLevelAggregator()
        aggregator.handle_seed_internal_level_changed(level_changed())
        metrics = InternalOpMetricsPayload(
            slot_id="r0c0", internal_op_density=0.1, net_level_change=1.0, reversal_rate=0.8, env_id=0
        )
        event = TelemetryEvent(event_type=TelemetryEventType.INTERNAL_OP_METRICS, data=metrics)
        aggregator.handle_internal_op_metrics(event)
        (row,) = aggregator.to_snapshot().values()
        assert (row.reversal_rate, row.window_reversal_rate, row.indicator) == (0.8, 0.8, None)
        aggregator.handle_seed_internal_level_changed(level_changed(before=2, after=3))
        (row,) = aggregator.to_snapshot().values()
        assert (row.reversal_rate, row.window_reversal_rate, row.n_pairs) == (0.0, 0.8, 1)

    def test_are_not_made_by_metrics_alone(self):
        aggregator = InternalLevelAggregator()
        metrics = InternalOpMetricsPayload(
            slot_id="r0c0", internal_op_density=0.1, net_level_change=1.0, reversal_rate=0.8, env_id=0
        )
        event = TelemetryEvent(event_type=TelemetryEventType.INTERNAL_OP_METRICS, data=metrics)
        aggregator.handle_internal_op_metrics(event)
        assert aggregator.to_snapshot() == {}

    def test_of_one_snapshot_do_not_change_with_later_events(self):
        aggregator = InternalLevelAggregator()
        aggregator.handle_seed_internal_level_changed(level_changed())
        before = aggregator.to_snapshot()
        aggregator.handle_seed_internal_level_changed(level_changed(before=2, after=3))
        assert before[0, "r0c0"].level == 2


class TestTrend:
    def trend_after(self, epochs, **options):
        aggregator = InternalLevelAggregator(**options)
        aggregator.handle_seed_internal_level_changed(level_changed(epoch=3))
        for epoch in range(4, 4 + epochs):
            aggregator.handle_epoch_completed(epoch_completed(epoch))
            aggregator.handle_epoch_completed(epoch_completed(epoch, env_id=1))
        return aggregator.to_snapshot()[0, "r0c0"].trend

    def test_is_stable_after_ten_epochs_of_the_environment_without_a_change(self):
        assert self.trend_after(9) == "grow"
        assert self.trend_after(10) == "stable"

    def test_can_be_stable_sooner(self):
        assert self.trend_after(2, stable_epochs=2) == "stable"

    def test_ignores_other_environments_epochs(self):
        aggregator = InternalLevelAggregator()
        aggregator.handle_seed_internal_level_changed(level_changed())
        for epoch in range(1, 30):
            aggregator.handle_epoch_completed(epoch_completed(epoch, env_id=1))
        assert aggregator.to_snapshot()[0, "r0c0"].trend == "grow"

    def test_counts_epochs_on_through_the_next_episode(self):
        aggregator = InternalLevelAggregator()
        aggregator.handle_seed_internal_level_changed(level_changed(epoch=20))
        outcome = EpisodeOutcomePayload(env_id=0, episode_idx=0)
        aggregator.handle_episode_outcome(
            TelemetryEvent(event_type=TelemetryEventType.EPISODE_OUTCOME, data=outcome)
        )
        for epoch in range(1, 10):
            aggregator.handle_epoch_completed(epoch_completed(epoch, episode_idx=1))
        assert aggregator.to_snapshot()[0, "r0c0"].trend == "grow"
        aggregator.handle_epoch_completed(epoch_completed(10, episode_idx=1))
        assert aggregator.to_snapshot()[0, "r0c0"].trend == "stable"


class TestResume:
    """A training killed at epoch 95 and taken up again at 90 counts as one that never stopped."""

    def whole(self, folder):
        with training(folder) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 100))
        return read(folder)

    def interrupted(self, folder, look=lambda: None, **resumed):
        with TelemetryCollector(folder, "run") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.training_started()
            recorder.seed_added(0, "r0c0", 1, 4)
            levels = zigzag(1, 2, 100)
            play(recorder, 0, "r0c0", levels[:91])
            checkpoint = recorder.state_dict()
            play(recorder, 0, "r0c0", levels[90:96], first_epoch=91)
        look()
        with TelemetryCollector(folder, "run") as collector:
            with InternalOpRecorder(collector) as recorder:
                recorder.training_started(**resumed)
                recorder.load_state_dict(checkpoint)
                play(recorder, 0, "r0c0", levels[90:], first_epoch=91)
        return read(folder)

    @pytest.mark.parametrize(
        "resumed", [{"resumed_from_episode": 0, "resumed_from_epoch": 90}, {}], ids=["said", "not said"]
    )
    def test_the_counts_and_the_level_are_those_of_an_uninterrupted_run(self, tmp_path, resumed):
        one, other = self.whole(tmp_path / "a"), self.interrupted(tmp_path / "b", **resumed)
        assert one.verdicts == other.verdicts
        assert one.slots == other.slots
        without_time = [
            [(change.epoch, change.from_level, change.to_level) for change in snapshot.changes]
            for snapshot in (one, other)
        ]
        assert without_time[0] == without_time[1]

    def test_who_looked_on_meanwhile_sees_the_same(self, tmp_path):
        feed = RunFeed(tmp_path / "run")

        def look():
            feed.poll(1 << 24)
            return feed.snapshot(LATER)

        after = self.interrupted(tmp_path, look)
        assert look() == after

    def test_a_training_that_starts_anew_in_the_same_folder_counts_alone(self, tmp_path):
        self.whole(tmp_path / "a")
        again = self.whole(tmp_path / "a")
        assert again.n_pairs == 99

    def test_a_pruning_that_was_taken_back_brings_its_row_back(self, tmp_path):
        with TelemetryCollector(tmp_path, "run") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.training_started()
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", [1, 2, 3])
            recorder.seed_removed(0, "r0c0", "no gain")
        assert read(tmp_path).slots == {}
        with TelemetryCollector(tmp_path, "run") as collector:
            InternalOpRecorder(collector).training_started(resumed_from_episode=0, resumed_from_epoch=1)
        (row,) = read(tmp_path).slots.values()
        assert (row.level, row.n_pairs) == (3, 1)

    def test_only_the_resumed_rank_is_taken_back(self, tmp_path):
        for rank in range(2):
            with TelemetryCollector(tmp_path, "run", rank=rank, world_size=2) as collector:
                recorder = InternalOpRecorder(collector)
                recorder.training_started()
                recorder.seed_added(0, "r0c0", 1, 4)
                play(recorder, 0, "r0c0", zigzag(1, 2, 20))
        with TelemetryCollector(tmp_path, "run", rank=1, world_size=2) as collector:
            collector.emit(
                TelemetryEventType.TRAINING_STARTED,
                TrainingStartedPayload(resumed_from_episode=0, resumed_from_epoch=9),
            )
        assert {verdict.env_id: verdict.n_ops for verdict in read(tmp_path).verdicts} == {0: 20, 1: 10}
