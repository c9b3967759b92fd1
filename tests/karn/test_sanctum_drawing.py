"""How single lines are drawn, piece by piece."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import set_cell_size
from rich.console import Console
from rich.style import Style
from rich.text import Text

from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.widgets.lines import in_pieces, wrapped
from esper.karn.sanctum.widgets.row_strip import RowDrawer, row_strip


def state(level: int = 2) -> SlotInternalState:
    return SlotInternalState(level, 4, "grow", 0.1, env_id=0, slot_id="r0", n_pairs=20)


class TestRows:
    LAYOUT = lay_out([SlotRow((0, "r0"), state())], 90)

    @pytest.mark.parametrize("width", [60, 90, 91, 92, 120])
    def test_are_drawn_as_wide_as_the_table_with_every_cell_in_its_column(self, width):
        layout = lay_out([SlotRow((0, "r0"), state())], width)
        drawn = RowDrawer(layout, width, Style()).draw(self.cells(layout))
        assert drawn.strip.cell_length == width
        assert drawn.strip.text == row_strip(self.cells(layout), layout, width, Style()).text

    def test_tell_the_columns_that_differ(self):
        drawer = RowDrawer(self.LAYOUT, 90, Style())
        old, new = drawer.draw(self.cells(self.LAYOUT)), drawer.draw(self.cells(self.LAYOUT, level=3))
        spans = new.changes(old)
        assert old.changes(old) == []
        differs = [x for x, (a, b) in enumerate(zip(old.strip.text, new.strip.text, strict=True)) if a != b]
        assert differs
        assert all(any(start <= x < end for start, end in spans) for x in differs)
        for start, end in spans:
            assert "".join(segment.text for segment in new.between(start, end)) == new.strip.text[start:end]

    def test_tell_only_of_whole_columns(self):
        drawn = RowDrawer(self.LAYOUT, 90, Style()).draw(self.cells(self.LAYOUT))
        assert drawn.between(1, 4) is None
        assert drawn.between(0, 3) is None

    def test_that_are_too_long_are_none_or_cut(self):
        drawer = RowDrawer(self.LAYOUT, 90, Style())
        row = [((("9" * 50), ""),), *self.cells(self.LAYOUT)[1:]]
        assert drawer.draw(row) is None
        assert drawer.cut(row).strip.cell_length == 90

    @staticmethod
    def cells(layout, level=2):
        row = SlotRow((0, "r0"), state(level))
        return [column.cell(row, layout.look) for column in layout.columns]


@given(
    st.lists(
        st.tuples(st.text("ab  ●漢,", min_size=1, max_size=30), st.sampled_from(["bold", "dim", ""])),
        min_size=1,
    ),
    st.integers(4, 40),
)
def test_long_lines_break_where_richs_break(parts, width):
    text = Text()
    for part, style in parts:
        text.append(part, style)
    (line,) = in_pieces(text)
    ours = ["".join(part for part, _ in broken) for broken in wrapped(line, width)]
    richs = [broken.plain for broken in text.wrap(Console(), width)]
    assert [set_cell_size(broken, width) for broken in ours] == [
        set_cell_size(broken, width) for broken in richs
    ]
