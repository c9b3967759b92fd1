"""Going back: the screen at any position is the screen that one would have seen there."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from sanctum_support import LATER, play, read, training, zigzag

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.follow import RunFollower
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder

GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP
ENVS = 3


def feed_of(folder, run_dir="run"):
    feed = RunFeed(folder / run_dir)
    while feed.poll(1 << 20) or feed.behind:
        pass
    return feed


def decide(recorder, dice, env, slot, levels):
    """One decision on a slot and what follows from it."""
    level = levels[env, slot]
    op = dice.choice([GROW, SHRINK, NOOP]) if level is not None else LifecycleOp.GERMINATE
    after = (level or 0) + (op == GROW) - (op == SHRINK)
    if not 0 <= after <= 4:
        op, after = NOOP, level
    recorder.decision(env, slot, op, probability=0.25)
    if op == LifecycleOp.GERMINATE:
        recorder.seed_added(env, slot, 1, 4, blueprint="conv")
        levels[env, slot] = 1
    elif op != NOOP:
        recorder.level_changed(env, slot, level, after)
        levels[env, slot] = after
    if level is not None and dice.random() < 0.05:
        recorder.seed_removed(env, slot, FOSSILIZED if dice.random() < 0.3 else "no gain")
        levels[env, slot] = None


def record(recorder, dice, note, episodes=3, epochs=40):
    """Write a training of several environments in step; ``note`` is called where a position is complete."""
    for episode in range(episodes):
        levels = {(env, slot): None for env in range(ENVS) for slot in ("a", "b")}
        for epoch in range(epochs + 1):
            if epoch:
                for env in range(ENVS):
                    recorder.epoch_end(env, epoch, dice.random(), dice.random())
            if epoch < epochs:
                for env in range(ENVS):
                    decide(recorder, dice, env, dice.choice("ab"), levels)
                note((episode, epoch))
        for env in range(ENVS):
            recorder.episode_end(env)
        note((episode, epochs))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run, and how long its file was at each position."""
    folder, ends = tmp_path_factory.mktemp("history"), {}
    with training(folder, envs=ENVS) as recorder:
        path = folder / "run" / "events.jsonl"
        record(recorder, random.Random(7), lambda position: ends.update({position: path.stat().st_size}))
    return folder, ends


class TestSnapshotsAt:
    def test_equal_what_was_seen_then(self, recorded, tmp_path):
        folder, ends = recorded
        feed = feed_of(folder)
        whole = (folder / "run" / "events.jsonl").read_bytes()
        (tmp_path / "run").mkdir()
        for position, end in ends.items():
            (tmp_path / "run" / "events.jsonl").write_bytes(whole[:end])
            seen, shown = read(tmp_path), feed.snapshot_at(position, LATER)
            assert shown == replace(seen, run=shown.run, moment=position), position

    def test_equal_the_live_one_at_the_last_position(self, recorded):
        feed = feed_of(recorded[0])
        last = feed.positions()[-1]
        assert feed.snapshot_at(last, LATER) == replace(feed.snapshot(LATER), moment=last)

    def test_do_not_depend_on_the_way_there(self, recorded):
        feed = feed_of(recorded[0])
        forwards = [feed.snapshot_at(position, LATER) for position in feed.positions()]
        backwards = [feed.snapshot_at(position, LATER) for position in reversed(feed.positions())]
        assert forwards == backwards[::-1]

    def test_before_the_first_position_show_seeds_alone(self, recorded):
        snapshot = feed_of(recorded[0]).snapshot_at((0, 0), LATER)
        assert {row.levels for row in snapshot.slots.values()} == {(1,)}
        assert (snapshot.verdicts, snapshot.effects) == ((), ())
        assert {change.kind for change in snapshot.changes} == {"germinated"}

    def test_leave_out_what_a_resumed_training_took_back(self, tmp_path):
        levels = zigzag(1, 2, 60)
        for folder, cut in (("whole", None), ("resumed", 40)):
            with TelemetryCollector(tmp_path, folder) as collector:
                recorder = InternalOpRecorder(collector)
                recorder.training_started()
                recorder.seed_added(0, "r0c0", 1, 4)
                play(recorder, 0, "r0c0", levels[:31])
                checkpoint = recorder.state_dict()
                play(recorder, 0, "r0c0", levels[30:cut], first_epoch=31)
        with TelemetryCollector(tmp_path, "resumed") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.load_state_dict(checkpoint)
            recorder.training_started(resumed_from_episode=0, resumed_from_epoch=30)
            play(recorder, 0, "r0c0", levels[30:], first_epoch=31)
        whole, resumed = feed_of(tmp_path, "whole"), feed_of(tmp_path, "resumed")
        assert list(whole.positions()) == list(resumed.positions())
        for position in whole.positions():
            one, other = whole.snapshot_at(position, LATER), resumed.snapshot_at(position, LATER)
            levels_of = [[row.levels for row in found.slots.values()] for found in (one, other)]
            assert levels_of[0] == levels_of[1]
            assert (one.verdicts, one.first_thrash) == (other.verdicts, other.first_thrash)


class TestPositions:
    def test_are_all_that_were_reported_in_order(self, recorded):
        folder, ends = recorded
        # At epoch 0 there is nothing yet but seeds without a change.
        assert list(feed_of(folder).positions()) == sorted(end for end in ends if end[1] > 0)

    def test_grow_with_the_run(self, tmp_path):
        with TelemetryCollector(tmp_path, "run") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.seed_added(0, "r0c0", 1, 4)
            feed = RunFeed(tmp_path / "run")
            for epoch in range(1, 6):
                recorder.epoch_end(0, epoch, 1.0, 0.5)
                feed.poll(1 << 20)
                assert list(feed.positions()) == [(0, done) for done in range(1, epoch + 1)]
        assert feed.positions()[1:3][1] == (0, 3)

    def test_of_a_run_that_counts_no_episodes_go_on_with_each(self, tmp_path):
        (tmp_path / "run").mkdir()
        lines = [f'{{"event_type": "EPOCH_COMPLETED", "epoch": {e}, "data": {{}}}}\n' for e in (1, 2, 1, 2)]
        (tmp_path / "run" / "events.jsonl").write_text("".join(lines))
        assert list(feed_of(tmp_path).positions()) == [(0, 1), (0, 2), (1, 1), (1, 2)]

    def test_are_none_before_there_is_a_run(self, tmp_path):
        follower = RunFollower(tmp_path / "nowhere")
        assert list(follower.positions()) == []
        assert follower.snapshot_at((0, 1), LATER) == follower.snapshot(LATER)
        assert follower.slot_history((0, "r0c0")) == ()


class TestLevels:
    def test_are_those_of_the_seed_in_the_slot(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4, blueprint="conv")
            play(recorder, 0, "r0c0", [1, 2, 3, 2])
            recorder.seed_added(0, "r0c1", 0, 4)
            recorder.seed_removed(0, "r0c0", "no gain")
            recorder.seed_added(0, "r0c0", 4, 4, blueprint="norm")
            play(recorder, 0, "r0c0", [4, 3], first_epoch=5)
        feed = feed_of(tmp_path)
        slots = feed.snapshot(LATER).slots
        assert (slots[0, "r0c0"].levels, slots[0, "r0c0"].blueprint_id) == ((4, 3), "norm")
        assert (slots[0, "r0c1"].levels, slots[0, "r0c1"].blueprint_id) == ((0,), None)
        then = feed.snapshot_at((0, 2), LATER).slots[0, "r0c0"]
        assert (then.levels, then.blueprint_id, then.rank) == ((1, 2, 3, 2), "conv", 0)

    def test_are_the_newest_64(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 200))
        (row,) = read(tmp_path).slots.values()
        assert row.levels == (2, 1) * 32


class TestFirstThrash:
    def test_is_where_the_earliest_named_slot_began(self, tmp_path):
        with training(tmp_path, envs=2) as recorder:
            for env, calm in enumerate([30, 10]):
                recorder.seed_added(env, "r0c0", 2, 99)
                play(recorder, env, "r0c0", [*range(2, 3 + calm), *zigzag(1 + calm, 2 + calm, 60)])
        feed = feed_of(tmp_path)
        assert len(feed.snapshot(LATER).thrashing) == 2
        assert feed.snapshot(LATER).first_thrash == (0, 9)
        assert feed.snapshot_at((0, 10), LATER).first_thrash is None


class TestSlotHistory:
    def test_tells_of_the_begins_and_ends_of_its_seeds_among_the_ops(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            last = play(recorder, 0, "r0c0", [1, 2, 1])
            recorder.seed_removed(0, "r0c0", "no gain")
            recorder.seed_added(0, "r0c0")
            recorder.seed_removed(0, "r0c0", "fossilized")
            recorder.seed_added(0, "r0c1", 0, 4)
        feed = feed_of(tmp_path)
        told = [(op.kind, op.from_level, op.to_level) for op in feed.slot_history((0, "r0c0"))]
        assert told == [
            ("germinated", None, 1),
            ("changed", 1, 2),
            ("changed", 2, 1),
            ("pruned", None, None),
            ("germinated", None, None),
            ("fossilized", None, None),
        ]
        assert feed.slot_history((0, "r0c0"), limit=4)[0].reversal, (
            "the second op, after one that is left out"
        )
        changes = feed.snapshot(LATER).changes
        assert [(change.kind, change.from_level, change.to_level) for change in changes[:-1]] == told
        assert changes[-1].slot_id == "r0c1"
        assert {change.epoch for change in changes[3:]} == {last}
        assert all(change.timestamp for change in changes)
        assert feed.snapshot_at(feed.positions()[-1], LATER).changes == changes

    def test_tells_each_op_with_its_outcome(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            levels = [1, 2, 3, 2, 1, 0]
            for epoch, (before, after) in enumerate(pairwise(levels)):
                op = GROW if after > before else SHRINK
                recorder.decision(0, "r0c0", op, probability=0.125 * (epoch + 1))
                recorder.level_changed(0, "r0c0", before, after)
                recorder.epoch_end(0, epoch + 1, 1.0 / (epoch + 1), 0.5)
        feed = feed_of(tmp_path)
        planted, *history = feed.slot_history((0, "r0c0"))
        ops = tuple(history)
        assert (planted.kind, planted.from_level, planted.to_level) == ("germinated", None, 1)
        assert [(op.from_level, op.to_level) for op in ops] == list(pairwise(levels))
        assert [op.reversal for op in ops] == [False, False, True, False, False]
        assert [op.free for op in ops] == [False, True, True, True, True]
        assert [op.epoch for op in ops] == [0, 1, 2, 3, 4]
        assert len({op.seed_id for op in ops}) == 1
        assert [op.op_probability for op in ops[1:]] == [0.25, 0.375, 0.5, 0.625]
        assert feed.slot_history((0, "r0c0"), limit=2) == ops[-2:]
        assert (
            feed.slot_history((0, "r0c0"), limit=2, at=(0, 2))
            == feed.slot_history((0, "r0c0"), at=(0, 2))[-2:]
        )
        assert feed.slot_history((9, "r0c0")) == ()

    def test_has_no_outcome_where_none_was_measured(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            recorder.level_changed(0, "r0c0", 1, 2)
        _, op = feed_of(tmp_path).slot_history((0, "r0c0"))
        assert (op.loss_advantage, op.accuracy_advantage, op.op_probability) == (None, None, None)
