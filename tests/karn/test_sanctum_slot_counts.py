"""The counts that Sanctum keeps op by op, against a count that looks at all pairs of ops at once."""

from __future__ import annotations

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from esper.karn.diagnosis import SlotCounts, SlotJudge, judge_slots
from esper.karn.sanctum.aggregator import InternalLevelAggregator
from esper.karn.sanctum.slot_counts import SlotCounter
from esper.leyline import SeedInternalLevelChangedPayload, TelemetryEvent, TelemetryEventType

Op = tuple[str | None, int | None, int | None, int, int, int]
"""Seed, episode, epoch, from_level, to_level, max_level."""

_levels = st.integers(0, 5)
ops = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.sampled_from([0, 1, None]),
        st.one_of(st.none(), st.integers(0, 30)),
        _levels,
        _levels,
        st.integers(1, 5),
    ),
    max_size=60,
)


def brute_force(history: list[Op], env_id: int | None, slot_id: str) -> SlotCounts:
    """The definitions of the design, word for word."""
    moves = [op for op in history if op[3] != op[4]]

    def direction(op: Op) -> int:
        return 1 if op[4] > op[3] else -1

    def group(op: Op) -> tuple[str, str]:
        return str(op[0]), str(op[1])

    groups = [list(found) for _, found in groupby(sorted(moves, key=group), key=group)]
    pairs = [pair for found in groups for pair in pairwise(found)]
    reversals = [(a, b) for a, b in pairs if direction(a) != direction(b)]
    highest = max((op[5] for op in moves), default=None)
    free = [(a, b) for a, b in pairs if 0 < a[4] < a[5] and (highest or 0) > 1]
    return SlotCounts(
        env_id=env_id,
        slot_id=slot_id,
        max_level=highest,
        n_ops=len(moves),
        grow_count=sum(direction(op) > 0 for op in moves),
        shrink_count=sum(direction(op) < 0 for op in moves),
        n_pairs=len(pairs),
        n_reversals=len(reversals),
        n_free_pairs=len(free),
        n_free_reversals=sum(direction(a) != direction(b) for a, b in free),
        n_undone=sum(None not in (a[2], b[2]) and b[2] - a[2] <= 5 for a, b in reversals),
        net_change=sum(map(direction, moves)),
        absolute_net_change=sum(abs(sum(map(direction, found))) for found in groups),
    )


@given(ops)
def test_the_counter_equals_the_definitions(history):
    counter = SlotCounter()
    for seed_id, episode_idx, epoch, from_level, to_level, max_level in history:
        counter.add(from_level, to_level, max_level, seed_id=seed_id, episode_idx=episode_idx, epoch=epoch)
    assert counter.counts(3, "r0c0") == brute_force(history, 3, "r0c0")


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from(["x", "y"]), ops), max_size=6))
def test_the_aggregator_counts_each_environment_and_slot_by_itself(bursts):
    aggregator = InternalLevelAggregator()
    histories: dict[tuple[int | None, str], list[Op]] = {}
    for env_id, slot_id, burst in bursts:
        histories.setdefault((env_id, slot_id), []).extend(burst)
        for seed_id, episode_idx, epoch, from_level, to_level, max_level in burst:
            aggregator.handle_seed_internal_level_changed(
                TelemetryEvent(
                    event_type=TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
                    seed_id=seed_id,
                    epoch=epoch,
                    data=SeedInternalLevelChangedPayload(
                        slot_id=slot_id,
                        from_level=from_level,
                        to_level=to_level,
                        max_level=max_level,
                        env_id=env_id,
                        episode_idx=episode_idx,
                    ),
                )
            )
    expected = {key: brute_force(history, *key) for key, history in histories.items()}
    counted = {(slot.env_id, slot.slot_id): slot for slot in aggregator.counts()}
    assert counted == {key: counts for key, counts in expected.items() if counts.n_ops}


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), ops, max_size=8), max_size=8))
def test_a_judge_who_has_seen_other_moments_says_what_one_says_who_has_not(moments):
    judge = SlotJudge()
    for moment in moments:
        run = [brute_force(history, 0, slot_id) for slot_id, history in moment.items()]
        assert judge.judge(run) == judge_slots(run)


def test_each_further_slot_that_can_be_judged_moves_the_others_bounds_and_nothing_else():
    judge = SlotJudge()
    level = [1, 2, 1, 2, 1, 2, 3, 2] * 4
    history: list[Op] = [("a", 0, n, level[n], level[n + 1], 4) for n in range(30)]
    before = None
    for looks in range(1, 30):
        run = [brute_force(history, env, "x") for env in range(looks)]
        found = judge.judge(run)
        assert found == judge_slots(run)
        if before is not None:
            assert found[0].corrected_low < before.corrected_low
            assert replace(found[0], corrected_low=before.corrected_low, thrashing=True, label="") == replace(
                before, thrashing=True, label=""
            )
        before = found[0]
    assert {verdict.thrashing for verdict in judge.judge(run[:1])} | {before.thrashing} == {True, False}


def test_slots_of_one_name_are_judged_each_by_itself():
    once = brute_force([("a", 0, n, 1 + n % 2, 2 - n % 2, 4) for n in range(20)], None, "x")
    twice = [once, brute_force([("a", 0, 0, 1, 2, 4)], None, "x")]
    judge = SlotJudge()
    for run in ([once], twice, twice, [once]):
        assert judge.judge(run) == judge_slots(run)
    assert [verdict.n_ops for verdict in judge.judge(twice)] == [20, 1]
