"""What Sanctum says, and how much of it where there is little room."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from picture_states import one_slot
from rich.cells import cell_len
from rich.console import Console
from sanctum_screens import screen_text, settle, text_of, viewer
from sanctum_support import COURSES, LATER, START, fixed_recorder, play, read, thrashing_run, zigzag

from esper.karn.diagnosis import Effect
from esper.karn.sanctum.columns import Look, SlotRow, column_named
from esper.karn.sanctum.commands import COMMANDS
from esper.karn.sanctum.effects import effect_line, effect_lines
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.glyphs import ASCII, UNICODE
from esper.karn.sanctum.header import header_text
from esper.karn.sanctum.screens.help import help_text
from esper.karn.sanctum.screens.slot_text import op_text
from esper.karn.sanctum.state import RunPosition, SlotInternalState, SlotOp
from esper.karn.sanctum.text import size_text, table_title, trend_legend
from esper.karn.sanctum.verdict_line import fitting_verdict, share_named, verdict_text
from esper.karn.sanctum.widgets.lines import broken


@pytest.fixture
def eight_thrash(tmp_path):
    recorder = fixed_recorder(tmp_path, "run")
    for env in range(8):
        recorder.seed_added(env, "r0c0", 1, 4)
        play(recorder, env, "r0c0", zigzag(1, 2, 30))
    recorder.training_finished()
    return read(tmp_path)


class TestVerdict:
    def test_says_all_of_it_where_there_is_room(self, eight_thrash):
        assert fitting_verdict(eight_thrash, 200, 1) == verdict_text(eight_thrash)
        assert "thrashing in 8 of 8 judged slots: env 0 r0c0 (free rate 1.00, n 29), " in str(
            verdict_text(eight_thrash)
        )
        assert str(verdict_text(eight_thrash)).endswith(" and 5 more; reversal rate 1.00 over 232 pairs")

    @pytest.mark.parametrize("width", range(18, 160))
    @pytest.mark.parametrize("lines", [1, 2])
    def test_always_fits_and_keeps_its_end(self, eight_thrash, width, lines):
        said = fitting_verdict(eight_thrash, width, lines).plain
        assert len(broken(said, width, 99, "…")) <= lines
        assert said.endswith(("over 232 pairs", "thrash"))

    def test_leaves_names_out_before_the_pooled_rate(self, eight_thrash):
        said = fitting_verdict(eight_thrash, 78, 2).plain
        assert said.endswith("and 6 more; reversal rate 1.00 over 232 pairs")

    @pytest.mark.parametrize(
        ("levels", "max_level", "short"),
        [
            ([1, 2, 1, 2], 4, "○ too few pairs"),
            ([1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 7, 8, 9, 8], 12, "● healthy 0.25"),
            (zigzag(1, 2, 30), 4, "✖ 1 of 1 thrash"),
            ([1], 4, "no internal op yet"),
        ],
    )
    def test_is_short_in_a_narrow_window(self, tmp_path, levels, max_level, short):
        one_slot(tmp_path, "run", levels, max_level=max_level)
        assert fitting_verdict(read(tmp_path), 18, 1).plain == short

    async def test_is_as_long_as_the_window_is_wide(self, eight_thrash, tmp_path):
        app = viewer(tmp_path)
        async with app.run_test(size=(20, 5)) as pilot:
            await pilot.pause()
            assert text_of(app, "#verdict") == "✖ 8 of 8 thrash"
            await pilot.resize_terminal(160, 40)
            await pilot.pause()
            assert text_of(app, "#verdict") == verdict_text(eight_thrash).plain

    def test_says_that_no_slot_can_be_judged_yet(self, tmp_path):
        one_slot(tmp_path, "run", [1, 2, 1, 2])
        snapshot = read(tmp_path)
        assert verdict_text(snapshot).plain.endswith("; no slot has enough pairs to be judged yet")
        assert share_named(snapshot) == "none can be judged yet"


class TestSweeping:
    def test_looks_like_caution_and_leaves_the_indicator_as_it_is(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        rows = [SlotRow(*item) for item in read(tmp_path).slots.items()]
        row = next(row for row in rows if row.key == (2, "r0c0"))
        assert len(COURSES) == 3
        assert row.state.indicator == "green"
        assert column_named("Verdict").cell(row, Look()) == (("sweeping", "yellow"),)
        assert column_named("Rate").cell(row, Look())[0][1] == "green"


class TestHeader:
    @pytest.mark.parametrize(
        ("status", "after", "said"),
        [
            ("finished", 99, "last event 2026-03-01 12:00:00 UTC"),
            ("silent", 99, "last event 1 min ago, 2026-03-01 12:00:00 UTC"),
            ("crashed", 29 * 60, "last event 29 min ago, 2026-03-01 12:00:00 UTC"),
            ("crashed", 3, "last event under a minute ago, 2026-03-01 12:00:00 UTC"),
            ("running", 3, "last event 3 s ago"),
        ],
    )
    def test_tells_the_age_of_what_is_not_over(self, status, after, said):
        run = RunPosition(run_dir="run", status=status, last_event_at=START)
        now = START + timedelta(seconds=after)
        assert header_text(run, "telemetry", now).plain.splitlines()[0].endswith(f"  {said}")
        paused = header_text(run, "telemetry", now, paused=True).plain
        assert "last event 2026-03-01 12:00:00 UTC" in paused

    async def test_of_a_silent_run_is_painted_once_a_minute(self, tmp_path):
        one_slot(tmp_path, "run", [1, 2, 1, 2], finished=False)
        seconds = [0]
        app = viewer(tmp_path, now=lambda: LATER + timedelta(seconds=seconds[0]))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            dirty = []
            for seconds[0] in range(180):
                app._poll_and_refresh()
                if app.screen._dirty_widgets:
                    dirty.append([widget.id for widget in app.screen._dirty_widgets])
                    await pilot.pause()
            assert dirty == [["run"]] * 3


def effect(op: str, n: int, loss: float | None) -> Effect:
    return msgspec.convert(
        dict.fromkeys(Effect.__struct_fields__)
        | {"op_name": op, "n": n, "n_all": 57, "loss_advantage": loss, "text": ""},
        Effect,
    )


class TestEffects:
    def test_say_that_nothing_can_be_measured_yet(self):
        none = [effect("GROW_INTERNAL", 0, None), effect("SHRINK_INTERNAL", 0, None)]
        assert effect_line(none).plain == (
            "loss beyond NOOP  not measurable yet: GROW 0 of 57, SHRINK 0 of 57 warm"
        )
        assert effect_lines(none).plain.startswith("GROW   loss not measurable yet  0 of 57 ops warm")

    def test_fit_one_line_of_80_columns(self):
        some = [effect("GROW_INTERNAL", 18, 0.161), effect("SHRINK_INTERNAL", 0, None)]
        assert effect_line(some).plain == (
            "loss beyond NOOP  GROW +0.1610, 18 of 57  ·  SHRINK not yet, 0 of 57 warm"
        )


class TestSlotPage:
    @pytest.mark.parametrize(
        ("loss", "shown", "style"),
        [
            (0.0, "+0.0000", "dim"),
            (-0.00001, "+0.0000", "dim"),
            (0.5, "+0.5000", "red"),
            (-0.5, "-0.5000", "green"),
        ],
    )
    def test_a_loss_that_did_not_change_is_neither_good_nor_bad(self, loss, shown, style):
        op = SlotOp(0, 1, 1, 2, reversal=False, free=True, seed_id=None, kind="changed", loss_advantage=loss)
        text = op_text(op, UNICODE)
        at = text.plain.index(shown)
        assert [span.style for span in text.spans if span.start <= at < span.end] == [style]

    async def test_is_of_use_in_20_columns(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path)
        async with app.run_test(size=(20, 40)) as pilot:
            await pilot.press("enter")
            await pilot.pause()
            page = screen_text(app)
            await pilot.press("G")
            await pilot.pause()
            ops = screen_text(app)
        assert "✖ thrashing" in page
        assert "Rate   0.97" in page
        assert "0:11 ▲ 2 → 3" in ops
        assert "…" not in page + ops


class TestNarrow:
    def test_help_has_the_words_below_the_keys(self):
        console = Console(width=20)
        with console.capture() as shown:
            console.print(help_text(width=20))
        lines = [line.rstrip() for line in shown.get().splitlines()]
        at = lines.index("PgDn Space")
        assert lines[at + 1] == "  a page further"
        assert max(map(cell_len, lines)) <= 20
        said = "".join(shown.get().split())
        assert all("".join(command.help.split()) in said for command in COMMANDS)

    def test_no_match_is_said_in_as_many_lines_as_it_takes(self):
        words = "no slot matches 'band:caution' (Esc clears the filter)"
        assert " ".join(broken(words, 20, 3, "…")).split() == words.split()
        assert broken(words, 20, 2, "~")[-1].endswith("~")
        assert all(cell_len(line.rstrip()) <= 20 for line in broken(words, 20, 2, "~"))

    def test_no_heading_is_cut_in_20_columns(self):
        state = SlotInternalState(1, 4, "grow", 0.1, env_id=127, slot_id="r0c0")
        layout = lay_out([SlotRow((127, "r0c0"), state)], 19)
        assert [column.title for column in layout.columns] == ["Slot", "Lvl", "Thrash"]
        assert sum(layout.widths) + layout.gap * 2 <= 19
        assert column_named("Slot").cell(SlotRow((127, "r0c0"), state), layout.look)[0][0] == "127:r0c0"

    def test_a_long_name_gives_way_to_the_other_columns(self):
        row = SlotRow((5, "encoder.block.7"), SlotInternalState(1, 4, "grow", 0.1, env_id=5))
        layout = lay_out([row], 20)
        assert sum(layout.widths) + layout.gap * 2 <= 20
        assert column_named("Slot").cell(row, layout.look)[0][0] == "5:enc…k.7"

    async def test_a_comparison_has_bar_and_rate_in_80_columns(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "left"))
        thrashing_run(fixed_recorder(tmp_path, "right"))
        app = viewer(tmp_path, "left")
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("c", "enter")
            await pilot.pause()
            head = next(line for line in screen_text(app).splitlines() if " Slot " in line)
        assert head.split().count("Bar") == head.split().count("Rate") == 2


class TestFrames:
    def test_the_table_says_how_many_slots_there_are(self):
        assert table_title("thrash", "", 9, 1152) == "Internal Levels · 1,152 slots"
        assert table_title("level", "", 1, 1) == "Internal Levels · 1 slot · by level"
        assert table_title("thrash", "env:1", 9, 1152) == "Internal Levels · filter env:1: 9 of 1,152"
        assert table_title("thrash", "", 0, 0) == "Internal Levels"

    @pytest.mark.parametrize(
        ("cells", "title"),
        [
            (None, "Internal Levels · 4 slots, 1 more holds no seed"),
            (47, "Internal Levels · 4 slots, 1 more holds no seed"),
            (46, "4 slots, 1 more holds no seed"),
            (28, "4 slots, 1 empty"),
            (15, "1 empty slot"),
        ],
    )
    def test_the_table_says_how_many_slots_have_no_row_in_as_many_words_as_fit(self, cells, title):
        assert table_title("thrash", "", 4, 4, without_seed=1, cells=cells) == title

    def test_slots_without_a_row_are_counted_beside_a_filter_and_where_there_is_no_other(self):
        title = table_title("level", "env:1", 2, 9, without_seed=2)
        assert title == "Internal Levels · by level · filter env:1: 2 of 9, 2 more hold no seed"
        assert table_title("level", "env:1", 2, 9, without_seed=2, cells=20) == "2 of 9, 2 empty"
        assert table_title("thrash", "", 0, 0, without_seed=1) == "Internal Levels · 1 slot holds no seed"

    async def test_a_pruned_seed_leaves_the_table_but_not_its_heading(self, tmp_path):
        recorder = fixed_recorder(tmp_path, "run")
        for env in range(2):
            recorder.seed_added(env, "r0", 2, 4)
            play(recorder, env, "r0", zigzag(2, 3, 30))
        app = viewer(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            assert "Internal Levels · 2 slots ─" in screen_text(app)
            recorder.seed_removed(0, "r0", "no gain")
            app._poll_and_refresh()
            await pilot.pause()
            assert "✖ thrashing in 2 of 2 judged slots" in screen_text(app)
            assert "Internal Levels · 1 slot, 1 more holds no seed ─" in screen_text(app)
            for columns, heading in {
                53: "Internal Levels · 1 slot, 1 more holds no seed",
                20: "1 empty slot",
            }.items():
                await pilot.resize_terminal(columns, 24)
                await pilot.pause()
                assert f"─ {heading} ─" in screen_text(app)
            await pilot.resize_terminal(80, 24)
            for query, heading in {
                "env:0": "filter env:0: 0 of 1, 1 more holds no seed",
                "env:1": "filter env:1: 1 of 1 ─",
                "thrashing": "filter thrashing: 1 of 1, 1 more holds no seed",
                "rank:0": "filter rank:0: 1 of 1 ─",
            }.items():
                await pilot.press("f", *query, "enter")
                await pilot.pause()
                assert heading in screen_text(app)
                await pilot.press("escape")
            recorder.seed_removed(1, "r0", "no gain")
            app._poll_and_refresh()
            await pilot.pause()
            assert "Internal Levels · 2 slots hold no seed ─" in screen_text(app)
            assert "no slot holds a seed now" in screen_text(app)

    async def test_another_heading_paints_the_frame_alone(self, tmp_path):
        recorder = fixed_recorder(tmp_path, "run")
        recorder.seed_added(0, "r0", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            before = screen_text(app).splitlines()
            recorder.seed_added(0, "r1", 1, 4)
            app._poll_and_refresh()
            await pilot.pause()
            after = screen_text(app).splitlines()
        assert any("Internal Levels · 1 slot ─" in line for line in before)
        assert any("Internal Levels · 2 slots ─" in line for line in after)

    @pytest.mark.parametrize("keys", [[], ["question_mark"], ["enter"]])
    async def test_an_ascii_page_tells_that_there_is_more(self, tmp_path, keys):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path, glyphs=ASCII, colors="none")
        async with app.run_test(size=(80, 20)) as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            bar = [line[77:78] for line in screen_text(app).splitlines() if line[77:78] in ("#", "|")]
            assert bar[0] == "#"
            assert bar[-1] == "|"
            await pilot.press("G")
            await pilot.pause()
            bar = [line[77:78] for line in screen_text(app).splitlines() if line[77:78] in ("#", "|")]
            assert bar[0] == "|"
            assert bar[-1] == "#"

    async def test_the_prompt_says_what_its_keys_do_while_one_types(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("f", *"env:1")
            await pilot.pause()
            assert screen_text(app).splitlines()[-1].split("  ")[-1].strip() == "Enter keeps, Esc leaves"
            await pilot.press("escape", "slash", "r")
            await pilot.pause()
            assert "Enter finds, Esc leaves" in screen_text(app).splitlines()[-1]


def test_a_small_size_is_not_nothing():
    sizes = [size_text(n) for n in (0, 4_900, 999_900, 999_999, 48_000_000)]
    assert sizes == ["0.0 kB", "4.9 kB", "999.9 kB", "1.0 MB", "48.0 MB"]


def test_the_sign_of_a_seed_without_an_op_is_explained_as_what_it_is(tmp_path):
    recorder = fixed_recorder(tmp_path, "run")
    recorder.seed_added(0, "r0", 1, 4)
    for epoch in range(1, 4):
        recorder.epoch_end(0, epoch, 1.0, 0.5)
    (row,) = read(tmp_path).slots.values()
    assert row.trend == "stable"
    assert f"{UNICODE.trends['stable']} no op in the last 10 epochs" in trend_legend()
    assert "unchanged" not in trend_legend()
