"""The widget that the seed asks for: its two tests word for word, then what it promises beyond them."""

from __future__ import annotations

import pytest
from rich.text import Text

from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.text import GLYPHS, LEGEND, age, plain
from esper.karn.sanctum.widgets.internal_level import MAX_ROWS, InternalLevelWidget
from esper.karn.sanctum.widgets.level_table import PlainTable, level_table
from esper.leyline.thresholds import BANDS


def test_internal_level_widget_render():
    """Verify widget renders correctly (per Python specialist: use typed state)."""
    widget = InternalLevelWidget()
    widget._slot_states = {
        "r0c0": SlotInternalState(level=2, max_level=4, trend="grow", reversal_rate=0.1),
        "r0c1": SlotInternalState(level=0, max_level=4, trend="shrink", reversal_rate=0.8),
    }

    table = widget.render()
    assert "r0c0" in str(table)
    assert "r0c1" in str(table)


def test_internal_level_widget_update():
    """Verify widget updates on new data (per Python specialist: use typed state)."""
    widget = InternalLevelWidget()

    widget.update_slot("r0c0", level=2, max_level=4, trend="grow", reversal_rate=0.1)

    assert "r0c0" in widget._slot_states
    assert widget._slot_states["r0c0"].level == 2  # Direct attribute access


def cells(table: PlainTable, title: str) -> list[Text]:
    """The cells of one column."""
    column = next(column for column in table.columns if column.header == title)
    return list(column.cells)


def one_row(width: int = 100, **fields: object) -> PlainTable:
    values = {"level": 2, "max_level": 4, "trend": "grow", "reversal_rate": 0.1} | fields
    return level_table([("r0c0", SlotInternalState(**values))], width)


class TestRow:
    def test_shows_what_the_seed_draws(self):
        (row,) = str(one_row(width=30)).splitlines()[1:]
        assert row.split() == ["r0c0", "2/4", "██░░", "▲", "●"]

    def test_is_keyed_by_slot_or_by_environment_and_slot(self):
        widget = InternalLevelWidget()
        widget.update_slot("r0c0", 1, 4, "grow", 0.0)
        widget.update_slot("r0c0", 2, 4, "grow", 0.0, env_id=3)
        widget.update_slot("r0c0", 3, 4, "grow", 0.0, env_id=3)
        assert {key: state.level for key, state in widget._slot_states.items()} == {"r0c0": 1, (3, "r0c0"): 3}

    @pytest.mark.parametrize(
        ("rate", "glyph", "style"),
        [
            (0.0, "●", "green"),
            (0.299, "●", "green"),
            (0.3, "◐", "yellow"),
            (0.5, "◆", "yellow"),
            (0.599, "◆", "yellow"),
            (0.6, "◆", "red bold"),
            (0.7, "◆", "red bold"),
            (0.701, "✖", "red bold"),
            (1.0, "✖", "red bold"),
        ],
    )
    def test_has_its_shape_from_the_band_and_its_colour_from_the_indicator(self, rate, glyph, style):
        (cell,) = cells(one_row(reversal_rate=rate), "Thrash")
        assert (cell.plain, cell.style) == (glyph, style)

    def test_has_no_colour_without_enough_pairs(self):
        (cell,) = cells(one_row(reversal_rate=1.0, n_pairs=9), "Thrash")
        assert (cell.plain, cell.style) == ("○", "dim")

    @pytest.mark.parametrize(("trend", "glyph"), [("grow", "▲"), ("shrink", "▼"), ("stable", "─")])
    def test_shows_the_trend(self, trend, glyph):
        (cell,) = cells(one_row(trend=trend), "Trend")
        assert cell.plain == glyph

    @pytest.mark.parametrize(
        ("level", "max_level", "bar"),
        [
            (0, 4, "░░░░"),
            (4, 4, "████"),
            (9, 4, "████"),
            (1, 1000, "█░░░░░░░"),
            (500, 1000, "████░░░░"),
            (999, 1000, "███████░"),
            (1000, 1000, "████████"),
            (2**31 - 1, 2**31 - 1, "████████"),
            (0, 0, "no ladder"),
        ],
    )
    def test_draws_any_ladder_in_eight_cells(self, level, max_level, bar):
        (cell,) = cells(one_row(level=level, max_level=max_level), "Bar")
        assert cell.plain == bar

    def test_of_a_fossilized_seed_is_dim(self):
        assert one_row(fossilized=True).rows[0].style == "dim"
        assert one_row(outdated=True).rows[0].style == "dim"
        assert one_row().rows[0].style is None

    def test_of_a_seed_without_a_ladder_claims_nothing(self):
        (row,) = str(one_row(level=0, max_level=0, trend="stable", n_pairs=0)).splitlines()[1:]
        assert row.split() == ["r0c0", "·", "no", "ladder", "·", "─", *"······"]


class TestTable:
    def test_opens_with_the_worst(self):
        states = {
            f"r0c{index}": SlotInternalState(1, 4, "grow", rate)
            for index, rate in enumerate([0.1, 0.9, 0.5, 0.1])
        }
        lines = str(level_table(states.items(), 100)).splitlines()[1:]
        assert [line.split()[0] for line in lines] == ["r0c1", "r0c2", "r0c0", "r0c3"]

    def test_counts_as_people_do(self):
        states = {name: SlotInternalState(1, 4, "grow", 0.0) for name in ("r0c10", "r0c9", "x", "r0c1")}
        lines = str(level_table(states.items(), 100)).splitlines()[1:]
        assert [line.split()[0] for line in lines] == ["r0c1", "r0c9", "r0c10", "x"]

    def test_has_more_columns_the_more_room_there_is(self):
        state = SlotInternalState(1, 4, "grow", 0.1, env_id=0)
        headings = [
            [column.header for column in level_table([((0, "r0c0"), state)], width).columns]
            for width in (10, 34, 74, 200)
        ]
        assert headings[0] == ["Slot", "Lvl", "Thrash"]
        assert headings[1] == ["Env", "Slot", "Level", "Bar", "Trend", "Thrash"]
        assert headings[2] == [*headings[1][:4], "History", "Trend", "Thrash", "Rate", "Pairs", "Verdict"]
        assert headings[3] == [*headings[2], "Free rate [95 %]", "Ops", "Undone", "Changed"]

    def test_names_the_environment_even_where_there_is_no_column_for_it(self):
        state = SlotInternalState(1, 4, "grow", 0.1, env_id=7)
        assert "7:r0c0" in str(level_table([((7, "r0c0"), state)], 16))

    def test_says_how_many_rows_it_leaves_out(self):
        states = {f"r{index}": SlotInternalState(1, 4, "grow", 0.0) for index in range(5000)}
        widget = InternalLevelWidget()
        widget._slot_states = dict(states)
        lines = str(widget.render()).splitlines()
        assert len(lines) == 1 + MAX_ROWS + 1
        assert lines[-1].strip() == "and 4,800 more slots, none of them worse"

    def test_without_slots_says_so(self):
        assert str(InternalLevelWidget().render()) == "no seed yet"


class TestNames:
    def test_are_never_markup(self):
        table = level_table([("[red]x[/red]", SlotInternalState(1, 4, "grow", 0.0))], 100)
        assert "[red]x[/red]" in str(table)

    @pytest.mark.parametrize("name", ["\x1b[31mred\x1b[0m", "a\nb\r", "\x07", "‮evil", "a\u200bb", "\ud800"])
    def test_lose_everything_that_a_terminal_would_obey(self, name):
        shown = plain(name, 20)
        assert shown.isprintable()
        assert "\N{REPLACEMENT CHARACTER}" in shown

    @pytest.mark.parametrize("name", ["x" * 10_000, "漢" * 10_000, "e" + "\u0301" * 10_000])
    def test_that_are_long_end_with_an_ellipsis(self, name):
        shown = plain(name, 16)
        assert shown.endswith("…")
        assert len(shown) <= 34
        assert Text(shown).cell_len <= 16

    @pytest.mark.parametrize("name", ["", "r0c0", "x" * 16, "漢" * 8])
    def test_that_fit_stay_as_they_are(self, name):
        assert plain(name, 16) == name


def test_every_band_has_a_glyph_of_its_own_and_the_legend_shows_it():
    assert set(GLYPHS) == set(BANDS)
    assert len(set(GLYPHS.values())) == len(BANDS)
    assert all(glyph in LEGEND for glyph in GLYPHS.values())


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_an_age_is_given_in_the_largest_unit_that_fits(seconds, text):
    assert age(seconds) == text
