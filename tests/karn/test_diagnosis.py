"""The verdict on slots: the right word for policies that are known, and how often chance is accused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.karn.diagnosis import LABELS, SlotCounts, SlotJudge, SlotVerdict, judge_slots, thrash_span
from esper.leyline.thresholds import UNDO_EPOCHS


def counts(
    episodes: Sequence[Sequence[int]],
    *,
    max_level: int = 4,
    epochs_between: int = 1,
    env_id: int = 0,
    slot_id: str = "r0c0",
) -> SlotCounts:
    """What a slot's levels, episode by episode, amount to; one op from each level to the next."""
    found = dict.fromkeys(
        ("n_ops", "grow_count", "shrink_count", "n_pairs", "n_reversals", "n_free_pairs"), 0
    )
    found |= dict.fromkeys(("n_free_reversals", "n_undone", "net_change", "absolute_net_change"), 0)
    for levels in episodes:
        ops = [1 if after > before else -1 for before, after in pairwise(levels)]
        found["n_ops"] += len(ops)
        found["grow_count"] += ops.count(1)
        found["shrink_count"] += ops.count(-1)
        found["net_change"] += sum(ops)
        found["absolute_net_change"] += abs(sum(ops))
        for (first, second), middle in zip(pairwise(ops), levels[1:], strict=False):
            free = 0 < middle < max_level
            found["n_pairs"] += 1
            found["n_reversals"] += first != second
            found["n_free_pairs"] += free
            found["n_free_reversals"] += free and first != second
            found["n_undone"] += first != second and epochs_between <= UNDO_EPOCHS
    return SlotCounts(env_id=env_id, slot_id=slot_id, max_level=max_level, **found)


def judge(episodes: Sequence[Sequence[int]], **given: int) -> SlotVerdict:
    (verdict,) = judge_slots([counts(episodes, **given)])
    return verdict


SWEEP = [0, 1, 2, 3, 4, 3, 2, 1] * 10 + [0]
FLIP_FLOP = [1, 2] * 25


# The right word.


def test_a_single_correction_is_too_little_to_judge():
    verdict = judge([[1, 2, 1]], epochs_between=50)
    assert (verdict.reversal_rate, verdict.label, verdict.band) == (
        1.0,
        "insufficient_data",
        "insufficient_data",
    )
    assert not verdict.thrashing
    assert verdict.indicator is None
    assert verdict.undone_within_5 == 0.0


def test_an_endless_sweep_is_named_for_what_it_is_although_its_reversal_rate_is_healthy():
    verdict = judge([SWEEP])
    assert verdict.reversal_rate == pytest.approx(0.24, abs=0.01)
    assert verdict.band == "healthy"
    assert verdict.label == "sweeping"
    assert verdict.sweeping
    assert not verdict.thrashing
    assert verdict.free_reversal_rate == 0.0
    assert verdict.churn == 1.0


def test_a_flip_flop_is_thrashing():
    verdict = judge([FLIP_FLOP])
    assert (verdict.label, verdict.thrashing, verdict.vs_random) == ("thrashing", True, "more")
    assert (verdict.band, verdict.indicator) == ("thrash", "red")
    assert verdict.reversal_rate == verdict.free_reversal_rate == 1.0
    assert verdict.undone_within_5 == 48 / 49


def test_a_flip_flop_of_two_ops_in_every_episode_is_not_hidden_by_the_resets():
    verdict = judge([[1, 2, 1]] * 40)
    assert (verdict.n_ops, verdict.n_pairs, verdict.reversal_rate) == (80, 40, 1.0)
    assert (verdict.label, verdict.thrashing) == ("thrashing", True)


def test_two_op_episodes_that_go_one_way_are_healthy():
    verdict = judge([[1, 2, 3]] * 40)
    assert (verdict.label, verdict.reversal_rate, verdict.churn) == ("healthy", 0.0, 0.0)
    assert verdict.vs_random == "less"


def test_on_two_levels_every_op_must_reverse_the_last_so_nothing_can_be_told():
    verdict = judge([[0, 1] * 25], max_level=1)
    assert (verdict.reversal_rate, verdict.band) == (1.0, "thrash")
    assert (verdict.label, verdict.thrashing, verdict.sweeping) == ("two_levels", False, False)
    assert (verdict.free_reversal_rate, verdict.free_low, verdict.vs_random) == (None, None, None)
    assert (verdict.corrected_low, verdict.n_free_pairs) == (None, 0)


def test_bouncing_off_an_end_is_no_choice_and_no_proof():
    verdict = judge([[4, 3] * 8])  # of its 14 pairs 7 are free, too few to name it
    assert verdict.band == "thrash"
    assert (verdict.label, verdict.thrashing) == ("unproven", False)


def test_a_policy_that_grows_and_stays_is_healthy():
    verdict = judge([[0, 1, 2, 3, 4]] * 5)
    assert (verdict.label, verdict.churn, verdict.undone_within_5) == (
        "healthy",
        0.0,
        0.0,
    )


@pytest.mark.parametrize(
    ("reversals", "label"), [(2, "healthy"), (3, "watch"), (5, "caution"), (7, "caution"), (8, "unproven")]
)
def test_in_between_the_word_is_the_band(reversals, label):
    levels = [50]
    ops = [1]
    for index in range(10):
        ops.append(-ops[-1] if index < reversals else ops[-1])
    for op in ops:
        levels.append(levels[-1] + op)
    verdict = judge([levels], max_level=100)
    assert verdict.n_pairs == 10
    assert verdict.label == label


def test_a_slot_without_an_op_is_no_slot_to_judge():
    verdict = judge([[1]])
    assert (verdict.label, verdict.reversal_rate, verdict.churn, verdict.undone_within_5) == (
        "insufficient_data",
        None,
        None,
        None,
    )


def test_every_label_has_its_words():
    assert {judge(episodes).label for episodes in ([FLIP_FLOP], [SWEEP], [[1, 2]])} <= set(LABELS)


# Many slots.


def weak(index: int) -> SlotCounts:
    """20 of 28 free pairs reversed: alone beyond chance, not among forty."""
    base = counts([[5] * 1], max_level=8, env_id=index)
    return SlotCounts(
        **{
            **{name: getattr(base, name) for name in base.__struct_fields__},
            "n_ops": 29,
            "n_pairs": 28,
            "n_reversals": 20,
            "n_free_pairs": 28,
            "n_free_reversals": 20,
        }
    )


def test_the_more_slots_are_looked_at_the_more_it_takes_to_name_one():
    assert judge_slots([weak(0)])[0].thrashing
    many = judge_slots([weak(index) for index in range(40)])
    assert not any(verdict.thrashing for verdict in many)
    assert many[0].free_low == judge_slots([weak(0)])[0].free_low
    assert many[0].corrected_low < many[0].free_low


def test_slots_with_too_few_free_pairs_are_no_looks():
    silent = [counts([[1, 2, 1]], env_id=index) for index in range(1, 40)]
    assert judge_slots([weak(0), *silent])[0].thrashing


def test_the_worst_comes_first_and_the_order_is_always_the_same():
    slots = [
        counts([[1, 2, 3]] * 20, slot_id="calm"),
        counts([FLIP_FLOP], slot_id="worst"),
        counts([SWEEP], slot_id="sweeping"),
        counts([[1, 2, 1]], slot_id="few"),
        counts([FLIP_FLOP], slot_id="worst", env_id=1),
    ]
    order = [(verdict.slot_id, verdict.env_id) for verdict in judge_slots(slots)]
    assert order[:2] == [("worst", 0), ("worst", 1)]
    random.Random(3).shuffle(slots)
    assert [(verdict.slot_id, verdict.env_id) for verdict in judge_slots(slots)] == order


def test_no_slots_is_no_verdict():
    assert judge_slots([]) == []


# How often chance is accused, and a thrasher found.


def simulate(
    rng: np.random.Generator, shape: tuple[int, int], n_ops: int, max_level: int, reverse: float
) -> list[list[SlotCounts]]:
    """Runs of slots whose policy reverses with a fixed probability wherever the ladder leaves a choice.

    Args:
        shape: runs and slots of each.
        reverse: probability that an op reverses the one before it; 0.5 is a coin flip.
    """
    level = np.ones(shape, dtype=int)
    last = np.zeros(shape, dtype=int)
    names = ("n_pairs", "n_reversals", "n_free_pairs", "n_free_reversals", "grow_count")
    total = {name: np.zeros(shape, dtype=int) for name in names}
    for number in range(n_ops):
        free = (level > 0) & (level < max_level)
        wish = np.where(rng.random(shape) < reverse, -last, last)
        wish = np.where(last == 0, np.where(rng.random(shape) < 0.5, 1, -1), wish)
        op = np.where(level == 0, 1, np.where(level == max_level, -1, wish))
        if number:
            total["n_pairs"] += 1
            total["n_reversals"] += op != last
            total["n_free_pairs"] += free
            total["n_free_reversals"] += free & (op != last)
        total["grow_count"] += op == 1
        level, last = level + op, op
    net = level - 1
    return [
        [
            SlotCounts(
                env_id=0,
                slot_id=str(slot),
                max_level=max_level,
                n_ops=n_ops,
                shrink_count=n_ops - int(total["grow_count"][run, slot]),
                n_undone=0,
                net_change=int(net[run, slot]),
                absolute_net_change=abs(int(net[run, slot])),
                **{name: int(total[name][run, slot]) for name in names},
            )
            for slot in range(shape[1])
        ]
        for run in range(shape[0])
    ]


@pytest.mark.parametrize("n_ops", [5, 20, 50])
@pytest.mark.parametrize("max_level", [1, 2, 4, 8])
def test_at_most_5_percent_of_coin_flip_runs_have_any_slot_named(max_level, n_ops):
    rng = np.random.default_rng(100 * max_level + n_ops)
    runs = simulate(rng, (1000, 40), n_ops, max_level, reverse=0.5)
    accused = sum(any(verdict.thrashing for verdict in judge_slots(run)) for run in runs)
    assert accused <= 50


@pytest.mark.parametrize("max_level", [4, 8])
def test_one_that_reverses_4_times_of_5_is_named_in_95_percent_of_runs(max_level):
    runs = simulate(np.random.default_rng(max_level), (1000, 1), 50, max_level, reverse=0.8)
    named = sum(judge_slots(run)[0].thrashing for run in runs)
    assert named >= 950


@pytest.mark.parametrize("max_level", [1, 2, 4, 8])
def test_a_coin_flips_rates_are_those_that_the_design_computed(max_level):
    (run,) = simulate(np.random.default_rng(7), (1, 2000), 50, max_level, reverse=0.5)
    n_pairs = sum(slot.n_pairs for slot in run)
    assert sum(slot.n_reversals for slot in run) / n_pairs == pytest.approx(
        0.5 + 1 / (2 * max_level), abs=0.02
    )
    free = sum(slot.n_free_pairs for slot in run)
    if max_level > 1:
        assert sum(slot.n_free_reversals for slot in run) / free == pytest.approx(0.5, abs=0.02)


# Since when.


def test_the_span_is_the_stretch_of_reversals():
    calm, thrash = [False] * 30, [True, True, True, True, False] * 8
    assert thrash_span(calm + thrash + calm) == (30, 68)
    assert thrash_span(thrash) == (0, 38)
    assert thrash_span([True] * 5) == (0, 4)


@pytest.mark.parametrize("pairs", [[], [False], [False] * 100])
def test_without_a_reversal_there_is_no_span(pairs):
    assert thrash_span(pairs) is None


def test_a_single_reversal_in_calm_is_all_there_is():
    assert thrash_span([False, False, True, False]) == (2, 2)


def test_two_stretches_close_together_are_one_and_far_apart_the_worse():
    assert thrash_span([True] * 20 + [False] * 2 + [True] * 20) == (0, 41)
    assert thrash_span([True] * 5 + [False] * 60 + [True] * 20) == (65, 84)


@given(st.lists(st.booleans(), max_size=40))
def test_the_span_is_the_best_of_all(pairs):
    weights = [0.4700036 if reversal else -0.9162907 for reversal in pairs]
    scores = {
        (first, last): sum(weights[first : last + 1])
        for first in range(len(pairs))
        for last in range(first, len(pairs))
    }
    best = max(scores.values(), default=0.0)
    span = thrash_span(pairs)
    if span is None:
        assert best <= 1e-9
    else:
        assert scores[span] == pytest.approx(best)
        assert pairs[span[0]]
        assert pairs[span[1]]


def test_a_judge_who_is_asked_again_says_what_one_says_who_never_was():
    asked_again = SlotJudge()
    calm = counts([[0, 1, 2, 3]], slot_id="calm")
    for ops in (5, 5, 20, 30, 20):
        run = [calm, counts([FLIP_FLOP[:ops]], slot_id="wild")]
        assert asked_again.judge(run) == judge_slots(run)
    first, again = asked_again.judge(run), asked_again.judge(run)
    assert all(before is after for before, after in zip(first, again, strict=True))
