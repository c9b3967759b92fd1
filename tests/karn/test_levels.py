"""Levels over epochs: the curves from events, and their sparkline."""

from __future__ import annotations

import re

import pytest
from level_support import EXAMPLES, Lines, levels_of

from esper.karn.plotting.columns import columns
from esper.karn.plotting.curves import RunLevels, SlotLevels
from esper.karn.plotting.sparkline import WIDTH, sparkline_text
from esper.karn.store.levels import MAX_SLOTS
from esper.leyline.errors import NotFoundError
from store_support import level_change
from support import read_events, write_run

FLIP = [1, 2] * 15
"""Levels of a slot that is named as thrashing."""


def only(levels: RunLevels) -> SlotLevels:
    (slot,) = levels.slots
    return slot


@pytest.fixture
def run() -> Lines:
    return Lines()


# The curves.


def test_episodes_lie_one_after_the_other(tmp_path, run):
    for episode in (0, 1):
        run.germinated(1, epoch=0, episode_idx=episode)
        run.walk([1, 2, 3], first=2, episode_idx=episode)
        run.epochs(10, episode_idx=episode)
    slot = only(run.levels(tmp_path))
    assert [(episode.start, episode.length) for episode in slot.episodes] == [(0, 10), (10, 10)]
    assert slot.steps() == [
        (0, 1),
        (2, 2),
        (3, 3),
        (10, 1),
        (12, 2),
        (13, 3),
        (20, None),
    ]


def test_a_pruned_seed_ends_and_a_new_one_begins(tmp_path, run):
    run.germinated(1, epoch=0, seed_id="a")
    run.walk([1, 2], first=2, seed_id="a")
    run.add("SEED_PRUNED", epoch=4, seed_id="a")
    run.germinated(1, epoch=6, seed_id="b")
    run.walk([1, 0], first=7, seed_id="b")
    run.epochs(9)
    assert only(run.levels(tmp_path)).steps() == [(0, 1), (2, 2), (4, None), (6, 1), (7, 0), (9, None)]


def test_a_fossilized_seed_keeps_its_level_to_the_end_of_the_episode(tmp_path, run):
    run.germinated(1, epoch=0)
    run.walk([1, 2], first=2)
    run.add("SEED_FOSSILIZED", epoch=5)
    run.epochs(9)
    (seed,) = only(run.levels(tmp_path)).seeds
    assert (seed.points, seed.fossilized, seed.end) == ([(0, 1), (2, 2)], 5, 9)


def test_a_seed_whose_beginning_was_not_told_begins_with_the_episode(tmp_path, run):
    run.walk([3, 2], first=4)
    run.epochs(6)
    assert only(run.levels(tmp_path)).steps() == [(0, 3), (4, 2), (6, None)]


def test_a_change_after_the_last_epoch_is_still_seen(tmp_path, run):
    run.germinated(1, epoch=0)
    run.walk([1, 2], first=3)
    run.epochs(3)
    assert only(run.levels(tmp_path)).steps() == [(0, 1), (3, 2), (4, None)]


def test_reversals_and_since_are_where_the_verdict_says(tmp_path, run):
    run.germinated(1, epoch=0)
    run.walk([*FLIP, 0, 1], first=1)
    run.epochs(40)
    slot = only(run.levels(tmp_path))
    assert (slot.since, slot.since_text) == (1, "episode 0 epoch 1")
    assert slot.n_reversals == len(slot.reversals) == 30
    assert [tuple(r) for r in ([r.x, r.level, r.free] for r in slot.reversals[:2])] == [
        (2, 2, True),
        (3, 1, True),
    ]


def test_a_reversal_at_the_bottom_is_told_from_a_free_one(tmp_path, run):
    run.walk([1, 0, 1])
    run.epochs(5)
    (reversal,) = only(run.levels(tmp_path)).reversals
    assert (reversal.x, reversal.level, reversal.free) == (2, 0, False)


def test_the_worst_slots_come_first_and_the_rest_is_said(tmp_path, run):
    for number in range(MAX_SLOTS + 3):
        run.walk([1, 2, 3], slot_id=f"s{number}")
    run.walk(FLIP, slot_id="bad")
    run.epochs(40)
    levels = run.levels(tmp_path)
    assert (len(levels.slots), levels.n_slots) == (MAX_SLOTS, MAX_SLOTS + 4)
    assert levels.slots[0].slot_id == "bad"
    assert any("4 slots beyond these" in note for note in levels.notes)
    assert len(sparkline_text(levels).splitlines()) <= 40


def test_slots_and_environments_can_be_chosen(tmp_path):
    assert {slot.env_id for slot in levels_of(EXAMPLES, "oscillate", slot_id="r0c0").slots} == {0, 1}
    assert {slot.slot_id for slot in levels_of(EXAMPLES, "oscillate", env_id=1).slots} == {"r0c0", "r0c1"}
    with pytest.raises(NotFoundError, match="r0c0"):
        levels_of(EXAMPLES, "oscillate", slot_id="r0c9")


def test_changes_without_an_epoch_are_counted_not_drawn(tmp_path, run):
    for seq in range(3):
        line = level_change(seq, seq, seq + 1)
        del line["epoch"]
        run.lines.append(line)
    levels = run.levels(tmp_path)
    assert levels.slots == []
    assert any("1 slot left out" in note for note in levels.notes)


def test_a_run_without_a_level_change_says_so(tmp_path, run):
    run.epochs(3)
    text = sparkline_text(run.levels(tmp_path))
    assert "0 of 0 slots" in text
    assert "nothing to plot" in text


def test_the_recorded_run_is_drawn_as_its_file_says():
    changes = read_events(EXAMPLES / "oscillate/events.jsonl")
    for slot in levels_of(EXAMPLES, "oscillate").slots:
        own = [
            (34 * line["data"]["episode_idx"] + line["epoch"], line["data"]["to_level"])
            for line in changes
            if line["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED"
            and (line["data"]["env_id"], line["data"]["slot_id"]) == (slot.env_id, slot.slot_id)
        ]
        assert len(own) == slot.n_ops
        assert set(own) <= set(slot.steps())


# The sparkline.


def test_the_sparkline_of_a_short_run(tmp_path, run):
    run.germinated(1, epoch=0)
    run.walk([1, 2, 3, 4, 3, 4, 3, 2, 1, 0], first=1)
    run.add("SEED_PRUNED", epoch=12)
    run.epochs(14)
    run.germinated(1, epoch=0, episode_idx=1)
    run.walk([1, 2], first=3, episode_idx=1)
    run.epochs(6, episode_idx=1)
    assert sparkline_text(run.levels(tmp_path)).splitlines()[2:5] == [
        "env 0 r0c0: insufficient_data; 10 ops, 3 of 8 pairs reversed; levels 0 to 4; a column is 1 epoch",
        "  ▃▅▆█▆█▆▅▃▁▁▁··|▃▃▃▅▅▅",
        "      111",
    ]


def test_a_long_run_keeps_to_its_width(tmp_path):
    write_run(tmp_path, "long", policy="oscillate", episodes=40, epochs=30, n_envs=1)
    levels = levels_of(tmp_path)
    for slot in levels.slots:
        ((*group,),) = columns(slot, WIDTH, separated=16)
        assert len(group) <= WIDTH
        assert sum(column.length for column in group) == 1200
        assert sum(column.reversals for column in group) == slot.n_reversals
    assert all(len(line) < 300 for line in sparkline_text(levels).splitlines())
    assert re.search(r"^  S[9+]+", sparkline_text(levels), re.MULTILINE)


def test_many_short_episodes_of_unequal_length_fit(tmp_path, run):
    for episode in range(15):
        run.walk([1, 2], first=1, episode_idx=episode)
        run.epochs(3 + 7 * episode, episode_idx=episode)
    slot = only(run.levels(tmp_path))
    groups = columns(slot, WIDTH, separated=16)
    assert len(groups) == 15
    assert sum(len(group) for group in groups) <= WIDTH
