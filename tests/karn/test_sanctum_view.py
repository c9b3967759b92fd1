"""Which slots are shown, in which order, and what a filter or a search finds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sanctum_support import START

from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.state import RunPosition, SanctumSnapshot, SlotInternalState
from esper.karn.sanctum.view import (
    HELD_S,
    Arranger,
    FoldRow,
    ViewOptions,
    arrange,
    find,
    parse_query,
)


def slot(env=0, name="r0c0", rate=0.1, **fields):
    state = SlotInternalState(2, 4, "grow", rate, env_id=env, slot_id=name, n_pairs=20)
    for field, value in fields.items():
        setattr(state, field, value)
    return (env, name), state


def snapshot(*slots, status="running"):
    return SanctumSnapshot(run=RunPosition(run_dir="run", status=status), slots=dict(slots))


def keys(rows):
    return [row.key for row in rows]


MANY = snapshot(
    slot(0, "worst", 0.9),
    *(slot(env, f"r0c{index}", rank=env // 2) for env in range(4) for index in range(20)),
    slot(1, "few", n_pairs=3),
    slot(3, "none", max_level=0, rank=1),
)


class TestOrder:
    def test_opens_with_the_worst(self):
        rows = arrange(snapshot(slot(0, "a", 0.2), slot(1, "b", 0.8)), ViewOptions())
        assert keys(rows) == [(1, "b"), (0, "a")]

    def test_puts_a_judged_slot_where_the_verdict_puts_it(self):
        rows = arrange(snapshot(slot(0, "a", 0.9, place=1), slot(0, "b", 0.1, place=0)), ViewOptions())
        assert keys(rows) == [(0, "b"), (0, "a")]

    def test_by_level_has_the_highest_first(self):
        rows = arrange(snapshot(slot(0, "a", 0.9), slot(0, "b", level=4)), ViewOptions(sort="level"))
        assert keys(rows) == [(0, "b"), (0, "a")]

    def test_by_last_change_has_the_newest_first(self):
        rows = arrange(
            snapshot(
                slot(0, "never"),
                slot(0, "old", episode_idx=1, last_change_epoch=90),
                slot(0, "new", episode_idx=2, last_change_epoch=1),
            ),
            ViewOptions(sort="last change"),
        )
        assert keys(rows) == [(0, "new"), (0, "old"), (0, "never")]

    def test_has_pinned_slots_first_whatever_the_sort(self):
        slots = snapshot(slot(0, "a", 0.2), slot(0, "b", 0.8), slot(0, "c", 0.5))
        rows = arrange(slots, ViewOptions(pinned=frozenset({(0, "a")})))
        assert keys(rows) == [(0, "a"), (0, "b"), (0, "c")]
        assert [row.pinned for row in rows] == [True, False, False]

    def test_holds_for_a_moment_so_that_it_can_be_read(self):
        arranger, options = Arranger(), ViewOptions()
        before = snapshot(slot(0, "a", 0.9), slot(0, "b", 0.2))
        after = snapshot(slot(0, "a", 0.1), slot(0, "b", 0.2))
        assert keys(arranger.rows(before, options, START)) == [(0, "a"), (0, "b")]
        assert not arranger.due(START + timedelta(hours=1))
        soon = START + timedelta(seconds=HELD_S / 2)
        rows = arranger.rows(after, options, soon)
        assert keys(rows) == [(0, "a"), (0, "b")]
        assert rows[0].state.reversal_rate == 0.1
        assert not arranger.due(soon)
        later = START + timedelta(seconds=HELD_S)
        assert arranger.due(later)
        assert keys(arranger.rows(after, options, later)) == [(0, "b"), (0, "a")]

    def test_is_not_held_for_hours_by_a_clock_that_is_set_back(self):
        arranger, options = Arranger(), ViewOptions()
        arranger.rows(snapshot(slot(0, "a", 0.9), slot(0, "b", 0.2)), options, START)
        after = snapshot(slot(0, "a", 0.1), slot(0, "b", 0.2))
        assert keys(arranger.rows(after, options, START - timedelta(hours=3))) == [(0, "b"), (0, "a")]

    @pytest.mark.parametrize("change", [{"options": ViewOptions(sort="level")}, {"status": "finished"}])
    def test_is_renewed_at_once_where_waiting_would_be_wrong(self, change):
        arranger = Arranger()
        arranger.rows(snapshot(slot(0, "a", 0.9), slot(0, "b", 0.2)), ViewOptions(), START)
        changed = {"options": ViewOptions(), "status": "running"} | change
        after = snapshot(slot(0, "a", 0.1), slot(0, "b", 0.2), status=changed["status"])
        assert keys(arranger.rows(after, changed["options"], START)) == [(0, "b"), (0, "a")]

    def test_has_new_slots_at_the_end_at_once_and_gone_ones_no_more(self):
        arranger, options = Arranger(), ViewOptions(filter="r0")
        arranger.rows(snapshot(slot(0, "r0a", 0.2), slot(0, "r0b", 0.1)), options, START)
        after = snapshot(slot(0, "r0b", 0.1), slot(0, "r0new", 0.9), slot(0, "hidden", 0.9))
        for _ in range(2):
            assert keys(arranger.rows(after, options, START)) == [(0, "r0b"), (0, "r0new")]

    def test_has_new_slots_above_the_folds_where_they_need_a_look(self):
        arranger = Arranger()
        arranger.rows(MANY, ViewOptions(), START)
        more = snapshot(*MANY.slots.items(), slot(0, "loud", 0.8), slot(0, "quiet", 0.1))
        assert keys(arranger.rows(more, ViewOptions(), START)) == [(0, "worst"), (0, "loud"), 0, 1]


class TestFolds:
    def test_are_one_row_for_the_quiet_slots_of_each_rank(self):
        rows = arrange(MANY, ViewOptions())
        assert keys(rows) == [(0, "worst"), 0, 1]
        assert rows[1].text == "rank 0: 40 healthy slots, 1 with insufficient data"
        assert rows[2].text == "rank 1: 40 healthy slots, 1 without a ladder"

    def test_never_hide_a_slot_that_is_named_or_pinned(self):
        rows = arrange(MANY, ViewOptions(pinned=frozenset({(2, "r0c7")})))
        assert keys(rows) == [(2, "r0c7"), (0, "worst"), 0, 1]

    def test_open_one_by_one(self):
        rows = arrange(MANY, ViewOptions(unfolded=frozenset({1})))
        assert keys(rows)[:3] == [(0, "worst"), 0, 1]
        assert len(rows) == 3 + 41
        assert all(row.state.rank == 1 for row in rows[3:])

    def test_are_made_only_of_many(self):
        assert not any(isinstance(row, FoldRow) for row in arrange(MANY, ViewOptions(fold_above=83)))

    @pytest.mark.parametrize("options", [ViewOptions(filter="band:healthy"), ViewOptions(sort="level")])
    def test_are_not_made_where_somebody_asks_for_slots(self, options):
        rows = arrange(MANY, options)
        assert not any(isinstance(row, FoldRow) for row in rows)
        assert len(rows) >= 80

    def test_say_one_slot_as_people_do(self):
        assert FoldRow(3, 1, 0, 0, unfolded=False).text == "rank 3: 1 healthy slot"


class TestFilter:
    SLOTS = snapshot(
        slot(1, "r0c1", 0.8, blueprint_id="conv", rank=0),
        slot(11, "r0c2", 0.4, blueprint_id="norm", rank=1),
        slot(2, "[red]x[/red]", 0.1, blueprint_id="conv", rank=1),
        slot(3, "none", max_level=0),
    )

    @pytest.mark.parametrize(
        ("query", "envs"),
        [
            ("", [1, 11, 2, 3]),
            ("env:1", [1]),
            ("env:", [1, 11, 2, 3]),
            ("rank:1", [11, 2]),
            ("slot:R0C", [1, 11]),
            ("blueprint:conv", [1, 2]),
            ("band:thrash", [1]),
            ("band:watch,heal", [11, 2]),
            ("band:nothing", []),
            ("r0c rank:1", [11]),
            ("[red]", [2]),
            ("conv", [1, 2]),
            ("what:ever", []),
        ],
    )
    def test_hides_the_other_slots(self, query, envs):
        rows = arrange(self.SLOTS, ViewOptions(filter=query))
        assert [row.key[0] for row in rows] == envs

    def test_is_taken_apart(self):
        query = parse_query("env:3 band:ca,thr Slot:R0 conv x")
        assert (query.env, query.bands, query.slot) == ("3", ("caution", "thrash"), "r0")
        assert query.words == ("conv", "x")


class TestSearch:
    ROWS = tuple(SlotRow(*slot(0, name)) for name in ("x1", "b", "x2", "q"))

    @pytest.mark.parametrize(
        ("start", "step", "found"), [(0, 1, 2), (2, 1, 0), (0, -1, 2), (3, -1, 2), (1, -1, 0)]
    )
    def test_goes_round(self, start, step, found):
        assert find(self.ROWS, "x", start, step) == found

    def test_finds_the_only_match_again(self):
        assert find(self.ROWS, "q", 3, 1) == 3

    @pytest.mark.parametrize("query", ["nothing", "", "  "])
    def test_may_find_nothing(self, query):
        assert find(self.ROWS, query, 0, 1) is None
        assert find((), query, 0, 1) is None

    def test_passes_over_folded_rows(self):
        assert find((FoldRow(0, 3, 0, 0, unfolded=False), *self.ROWS), "x", 0, -1) == 3
