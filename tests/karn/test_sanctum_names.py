"""Slots with long names can be told apart wherever they are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from sanctum_support import LATER, fixed_recorder, play, read, zigzag

from esper.karn.sanctum.columns import SLOT_CELLS, SlotRow
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.glyphs import ASCII, UNICODE
from esper.karn.sanctum.once import once_text
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.text import change_text, slot_name, where
from esper.karn.sanctum.verdict_line import verdict_text
from esper.karn.sanctum.widgets.level_table import row_table

LONG = [f"encoder.layers.{layer}.feed_forward.slot" + end for layer in (3, 4) for end in ("_a", "_b")]


def rows(names: list[str]) -> list[SlotRow]:
    return [
        SlotRow((0, name), SlotInternalState(2, 4, "grow", 0.1, env_id=0, slot_id=name, n_pairs=20))
        for name in names
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two slots that thrash, and whose names differ at their ends alone."""
    folder = tmp_path_factory.mktemp("telemetry")
    recorder = fixed_recorder(folder, "run")
    recorder.training_started()
    epoch = 0
    for name in LONG[:2]:
        recorder.seed_added(0, name, 2, 4)
        epoch = play(recorder, 0, name, zigzag(2, 3, 40), first_epoch=epoch + 1)
    recorder.training_finished()
    return folder


class TestNames:
    def test_a_short_one_is_whole(self):
        assert slot_name("r0c1", SLOT_CELLS) == "r0c1"

    def test_of_a_long_one_begin_and_end_are_kept(self):
        assert slot_name(LONG[0], 16) == "encoder…d.slot_a"

    def test_the_empty_one_is_seen(self):
        assert slot_name("", SLOT_CELLS) == where(None, "") == "''"

    @given(st.text(max_size=200), st.integers(4, 60), st.sampled_from([UNICODE, ASCII]))
    def test_any_fills_its_cells_at_most(self, name, width, glyphs):
        shown = slot_name(name, width, glyphs)
        assert cell_len(shown) <= width
        assert shown.isprintable()

    def test_a_huge_one_is_cut_at_once(self):
        assert cell_len(slot_name("x" * 1_000_000 + "end", 16)) == 16


class TestTable:
    @pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
    def test_no_two_slots_look_alike(self, width):
        table = str(row_table(rows(["slot_a" + "x" * 30 + end for end in ("1", "2")]), width))
        assert len({line[: width // 2] for line in table.splitlines()[1:]}) == 2

    def test_names_take_what_is_left_before_the_history_does(self):
        least = next(width for width in range(80, 400) if LONG[0] in str(row_table(rows(LONG), width)))
        layout = lay_out(rows(LONG), least)
        assert layout.look.history_cells == 8
        assert lay_out(rows(LONG), least + 40).look.history_cells > 8


class TestElsewhere:
    def test_the_log_tells_them_apart(self, folder):
        changes = read(folder).changes
        shown = {where(change.env_id, change.slot_id) for change in changes}
        assert len(shown) == 2
        for change in changes:
            assert where(change.env_id, change.slot_id) in change_text(change).plain

    def test_the_verdict_and_the_text_do(self, folder):
        snapshot = read(folder)
        assert len(snapshot.thrashing) == 2
        for verdict in snapshot.thrashing:
            place = where(verdict.env_id, verdict.slot_id)
            assert place in verdict_text(snapshot).plain
            assert place in once_text(folder, "run", width=100, now=lambda: LATER)
