"""Every key of the main screen and of the pages, pressed by a pilot."""

from __future__ import annotations

import json

import pytest
from sanctum_screens import levels, screen_text, slots, text_of, viewer
from sanctum_support import fixed_recorder, play, thrashing_run, training
from textual.command import CommandPalette

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum.commands import CHOOSE_COMMANDS, COMMANDS, COPY_COMMANDS, PAGE_COMMANDS
from esper.karn.sanctum.screens.compare import ComparePage
from esper.karn.sanctum.screens.help import HelpScreen
from esper.karn.sanctum.screens.runs import RunChooser
from esper.karn.sanctum.screens.slot import SlotPage
from esper.simic.training.recorder import InternalOpRecorder

HIGH = (100, 36)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that nobody changes."""
    folder = tmp_path_factory.mktemp("telemetry")
    thrashing_run(fixed_recorder(folder, "oscillate"))
    calm = fixed_recorder(folder, "calm")
    calm.training_started()
    calm.seed_added(0, "r0c0", 1, 4)
    play(calm, 0, "r0c0", [1, 2, 3])
    calm.training_finished()
    return folder


@pytest.fixture
def app(runs):
    return viewer(runs, "oscillate")


@pytest.fixture
def many(tmp_path):
    with training(tmp_path) as recorder:
        for slot in range(100):
            recorder.seed_added(0, f"r{slot}", 1, 4)
    app = viewer(tmp_path)
    app.viewing.fold_all(frozenset({0}))
    return app


def notes(app) -> list[str]:
    return [note.message for note in app._notifications]


class TestMove:
    @pytest.mark.parametrize(
        ("there", "back", "far"),
        [("down", "up", False), ("j", "k", False), ("pagedown", "pageup", True), ("space", "b", True)],
    )
    async def test_goes_there_and_back(self, many, there, back, far):
        async with many.run_test() as pilot:
            await pilot.press(there)
            assert many.table.cursor > 2 if far else many.table.cursor == 1
            await pilot.press(back)
            assert many.table.cursor == 0

    @pytest.mark.parametrize(("there", "back"), [("end", "home"), ("G", "g")])
    async def test_goes_from_end_to_end_and_scrolls(self, many, there, back):
        async with many.run_test() as pilot:
            await pilot.press(there)
            assert many.table.cursor == 100
            assert many.table.scroll_y == many.table.max_scroll_y > 0
            await pilot.press(back)
            assert many.table.scroll_y == 0

    async def test_follows_its_slot_but_stays_on_top(self, runs):
        app = viewer(runs, "oscillate")
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("s")
            assert app.table.cursor == 0
            await pilot.press("j", "j", "j")
            there = app.rows[3].key
            app.viewing.next_sort()
            app.show_rows()
            assert app.rows[app.table.cursor].key == there

    @pytest.mark.parametrize("key", ["enter", "l"])
    async def test_opens_the_slot(self, app, key):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("j", key)
            assert isinstance(app.screen, SlotPage)
            assert app.screen.key == (1, "r0c0")
            assert "sweeping" in screen_text(app)

    async def test_unfolds_a_rank(self, tmp_path):
        with training(tmp_path) as recorder:
            for slot in range(100):
                recorder.seed_added(0, f"r{slot}", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test(size=HIGH) as pilot:
            assert "▸ rank 0: 100 with insufficient data" in screen_text(app)
            await pilot.press("enter")
            assert len(slots(app)) == 100
            await pilot.press("enter")
            assert len(app.rows) == 1
            await pilot.press("z")
            assert len(app.rows) == 101
            await pilot.press("z")
            assert len(app.rows) == 1

    async def test_a_click_chooses_and_a_second_one_opens(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.click("#internal-levels", offset=(10, 4))
            assert app.table.cursor == 2
            await pilot.click("#internal-levels", offset=(10, 4))
            assert isinstance(app.screen, SlotPage)
            assert app.screen.key == (2, "r0c0")


class TestChoose:
    async def test_slash_goes_to_the_first_match_and_n_to_the_next(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("n")
            assert "nothing is searched for yet" in notes(app)[-1]
            await pilot.press("slash", *"r0c1", "enter")
            found = [app.table.cursor]
            for key in ("n", "n", "n", "N"):
                await pilot.press(key)
                found.append(app.table.cursor)
            assert {app.rows[place].key[1] for place in found} == {"r0c1"}
            assert found[0] == found[3]
            assert found[2] == found[4]
            assert len(set(found)) == 3

    async def test_a_search_without_match_says_so(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("slash", *"[x]", "enter")
            assert notes(app) == ["no slot matches '[x]'"]
            assert app.table.cursor == 0

    @pytest.mark.parametrize("size", [(80, 24), HIGH], ids=str)
    async def test_a_band_that_there_is_not_is_answered_with_those_that_there_are(self, app, size):
        async with app.run_test(size=size) as pilot:
            await pilot.press("f", *"band:helthy", "enter")
            assert "unknown band 'helthy'; did you mean healthy?" in screen_text(app)
            await pilot.press("f", *(["backspace"] * 6), *"xy", "enter")
            await pilot.pause()
            assert "unknown band 'xy'; there is thrash, caution, watch, healthy" in screen_text(app)
            await pilot.press("escape", "slash", *"band:helthy", "enter")
            assert notes(app) == ["unknown band 'helthy'; did you mean healthy?"]
            await pilot.press("f", *"band:cau", "enter")
            assert "no slot matches 'band:cau' (Esc clears the filter)" in screen_text(app)

    async def test_what_is_said_takes_the_place_of_what_was_said_before(self, app):
        async with app.run_test(size=HIGH, notifications=True) as pilot:
            await pilot.press("y", "n")
            app.action_next(1)
            app.action_copy("sql")  # keys may come faster than what is said about them
            app.action_next(1)
            await pilot.pause()
            assert notes(app) == ["nothing is searched for yet: / asks"]
            assert len(app.screen.query("Toast")) == 1

    async def test_f_filters_while_typing(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"env:1")
            await pilot.pause()
            assert {slot[0] for slot in slots(app)} == {"1"}
            assert "filter env:1: 4 of 12" in app.table.border_title
            await pilot.press("enter", "q")
            assert not app.is_running

    async def test_escape_leaves_the_filter_as_it_was_and_then_none(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"env:1", "enter", "f", *"0", "escape")
            await pilot.pause()
            assert app.viewing.options.filter == "env:1"
            await pilot.press("escape")
            assert len(slots(app)) == 12

    async def test_s_sorts_in_three_ways(self, app):
        async with app.run_test(size=HIGH) as pilot:
            by_thrash = slots(app)
            await pilot.press("s")
            assert slots(app)[:3] == ["0 r0c3", "1 r0c3", "2 r0c3"]
            assert "by level" in app.table.border_title
            await pilot.press("s")
            assert slots(app)[0] == "0 r0c0"
            assert "by last change" in app.table.border_title
            await pilot.press("s")
            assert slots(app) == by_thrash

    async def test_m_pins_and_lets_go(self, app):
        async with app.run_test(size=HIGH) as pilot:
            before = slots(app)
            await pilot.press("j", "j", "m")
            assert app.rows[0].key == (2, "r0c0")
            assert "★ r0c0" in screen_text(app)
            assert app.table.cursor == 0
            await pilot.press("m")
            assert slots(app) == before


class TestTime:
    async def test_p_pauses_and_goes_on(self, tmp_path):
        with TelemetryCollector(tmp_path, "live") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.seed_added(0, "r0c0", 1, 4)
            app = viewer(tmp_path)
            async with app.run_test() as pilot:
                await pilot.press("p")
                assert "paused" in text_of(app, "#run")
                play(recorder, 0, "r0c0", [1, 2])
                app._poll_and_refresh()
                await pilot.pause()
                assert "1/4" in levels(app)
                await pilot.press("p")
                assert "paused" not in text_of(app, "#run")
                assert "2/4" in levels(app)

    async def test_brackets_step_through_history(self, app):
        async with app.run_test(size=HIGH) as pilot:
            places = app.viewing.follower.positions()
            await pilot.press("left_square_bracket")
            assert app.snapshot.moment == places[-2]
            await pilot.press("left_square_bracket")
            assert app.snapshot.moment == places[-3]
            assert f"at episode 0 epoch {places[-3][1]}" in text_of(app, "#time")
            await pilot.press("right_square_bracket")
            assert app.snapshot.moment == places[-2]
            await pilot.press("right_square_bracket")
            assert app.snapshot.moment is None
            assert not app.screen.query_one("#time").display

    async def test_braces_leap_and_shift_a_and_l_go_to_the_ends(self, app):
        async with app.run_test(size=HIGH) as pilot:
            places = app.viewing.follower.positions()
            await pilot.press("left_curly_bracket")
            assert app.snapshot.moment == places[-6]
            await pilot.press("A")
            assert app.snapshot.moment == places[0]
            assert app.snapshot.n_pairs < 10
            await pilot.press("right_curly_bracket")
            assert app.snapshot.moment == places[5]
            await pilot.press("L")
            assert app.snapshot.moment is None
            assert app.snapshot.n_pairs == 78

    async def test_shift_t_goes_to_the_first_thrash(self, app):
        async with app.run_test(size=HIGH) as pilot:
            first = app.snapshot.first_thrash
            await pilot.press("T")
            assert first is not None
            assert app.snapshot.moment == first

    async def test_shift_t_says_where_nothing_thrashes(self, runs):
        app = viewer(runs, "calm")
        async with app.run_test() as pilot:
            await pilot.press("T")
            assert notes(app) == ["no slot is named as thrashing"]

    async def test_escape_goes_back_to_the_end(self, app):
        async with app.run_test() as pilot:
            await pilot.press("A", "escape")
            assert app.snapshot.moment is None

    async def test_history_stands_still_while_the_run_goes_on(self, tmp_path):
        with TelemetryCollector(tmp_path, "live") as collector:
            recorder = InternalOpRecorder(collector)
            recorder.seed_added(0, "r0c0", 1, 4)
            last = play(recorder, 0, "r0c0", [1, 2, 3])
            app = viewer(tmp_path)
            async with app.run_test() as pilot:
                await pilot.press("A")
                before = levels(app)
                play(recorder, 0, "r0c0", [3, 4], first_epoch=last + 1)
                app._poll_and_refresh()
                assert levels(app) == before
                await pilot.press("L")
                assert "4/4" in levels(app)


class TestRuns:
    async def test_r_chooses_another_run(self, app):
        async with app.run_test() as pilot:
            await pilot.press("r")
            assert isinstance(app.screen, RunChooser)
            page = screen_text(app)
            assert "oscillate" in page
            assert "calm" in page
            await pilot.press("g", "j", "k", "G", "enter")
            assert app.snapshot.run.run_dir == "calm"
            assert "3/4" in levels(app)

    async def test_c_puts_two_runs_side_by_side(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("c", "G", "l")
            await pilot.pause()
            assert isinstance(app.screen, ComparePage)
            page = screen_text(app)
            assert "oscillate" in page
            assert "calm" in page
            app._poll_and_refresh()
            await pilot.press("y")
            assert "calm" in app.clipboard

    async def test_an_empty_folder_offers_no_run(self, tmp_path):
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            await pilot.press("r")
            assert "no run here yet" in screen_text(app)
            await pilot.press("j", "enter", "h")
            assert not isinstance(app.screen, RunChooser)


class TestTakeAway:
    async def test_x_writes_the_rows_as_csv_and_json(self, app, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"env:1", "enter", "x", "X")
            await pilot.pause()
            (csv,), (data,) = tmp_path.glob("*.csv"), tmp_path.glob("*.json")
            assert len(csv.read_text().splitlines()) == 1 + 4
            assert len(json.loads(data.read_text())["rows"]) == 4
            assert notes(app) == [f"written: {tmp_path / data.name}"]

    @pytest.mark.parametrize("key", ["x", "X", "v"])
    async def test_without_a_run_there_is_nothing_to_write(self, tmp_path, monkeypatch, key):
        monkeypatch.chdir(tmp_path)
        app = viewer(tmp_path / "telemetry")
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press(key)
            assert notes(app) == ["there is no run to export yet"]
        assert list(tmp_path.iterdir()) == []

    async def test_rows_of_the_past_say_so(self, app, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("A", "x")
            episode, epoch = app.viewing.moment
            await pilot.pause()
        (path,) = tmp_path.glob("*.csv")
        head, *rows = (line.split(",") for line in path.read_text().splitlines())
        assert {row[head.index("moment_epoch")] for row in rows} == {str(epoch)}
        assert {row[head.index("moment_episode")] for row in rows} == {str(episode)}

    async def test_v_writes_the_screen(self, app, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("v")
            (picture,) = tmp_path.glob("*.svg")
            assert "r0c0" in picture.read_text()

    async def test_an_export_that_fails_says_why(self, app, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tmp_path.chmod(0o500)
        monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("x")
            assert "No space left" in notes(app)[-1] or "Permission" in notes(app)[-1]
        tmp_path.chmod(0o700)

    async def test_y_copies_the_query_behind_the_view(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("y")
            assert app.clipboard.startswith("SELECT")
            assert "'oscillate'" in app.clipboard
            await pilot.press("Y")
            assert app.clipboard.startswith("thrash_verdict(")
            await pilot.press("enter", "y")
            assert "r0c0" in app.clipboard

    async def test_there_is_nothing_to_copy_without_a_run(self, tmp_path):
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            await pilot.press("y")
            assert notes(app) == ["there is no run to ask about yet"]


class TestSanctum:
    async def test_q_quits(self, app):
        async with app.run_test() as pilot:
            await pilot.press("q")
            assert not app.is_running

    @pytest.mark.parametrize(
        "there", [(), ("question_mark",), ("enter",), ("r",), ("f", "x"), ("colon",)], ids=str
    )
    async def test_ctrl_c_quits_from_anywhere(self, app, there):
        async with app.run_test() as pilot:
            await pilot.press(*there, "ctrl+c")
            assert not app.is_running

    async def test_t_changes_the_theme_and_back(self, app):
        async with app.run_test() as pilot:
            dark = app.theme
            await pilot.press("t")
            assert app.theme != dark
            assert not app.current_theme.dark
            await pilot.press("t")
            assert app.theme == dark

    @pytest.mark.parametrize(
        ("opens", "closes"),
        [("question_mark", "question_mark"), ("f1", "f1"), ("f1", "escape"), ("f1", "q"), ("f1", "h")],
    )
    async def test_help_opens_and_closes(self, app, opens, closes):
        async with app.run_test() as pilot:
            await pilot.press(opens)
            assert isinstance(app.screen, HelpScreen)
            app._poll_and_refresh()
            await pilot.press(closes)
            assert not isinstance(app.screen, HelpScreen)
            assert app.is_running

    @pytest.mark.parametrize(("there", "back"), [("j", "k"), ("down", "up"), ("space", "b"), ("G", "g")])
    async def test_pages_scroll(self, app, there, back):
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("question_mark", there)
            page = app.screen.query_one("#page")
            assert page.scroll_y > 0
            await pilot.press(back)
            assert page.scroll_y == 0

    @pytest.mark.parametrize("key", ["colon", "ctrl+p"])
    async def test_the_palette_opens(self, app, key):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press(key)
            assert isinstance(app.screen, CommandPalette)

    async def test_the_palette_obeys(self, app):
        async with app.run_test(size=HIGH) as pilot:
            command = next(c for c in app.get_system_commands(app.screen) if c.title.startswith("Sort"))
            await command.callback()
            await pilot.pause()
            assert "by level" in app.table.border_title


class TestOneTable:
    async def test_every_binding_is_in_the_help(self, app):
        async with app.run_test(size=(120, 100)) as pilot:
            await pilot.press("question_mark")
            await pilot.pause()
            page = screen_text(app)
            for command in (*COMMANDS, *PAGE_COMMANDS, *CHOOSE_COMMANDS, *COPY_COMMANDS):
                assert any(
                    command.shown_keys in line and command.help in line for line in page.splitlines()
                ), command

    async def test_every_command_is_a_binding_and_in_the_palette(self, app):
        async with app.run_test() as pilot:
            bound = set(app._bindings.key_to_bindings)
            listed = {key for command in COMMANDS for key in command.keys.split(",")}
            assert listed <= bound
            # Textual's own.
            assert bound - listed <= {"ctrl+q"}
            offered = [command.help for command in app.get_system_commands(app.screen)]
            assert offered == [command.help for command in COMMANDS]
            await pilot.press("question_mark")
            on_page = {key for command in PAGE_COMMANDS for key in command.keys.split(",")}
            assert on_page <= set(app.screen._bindings.key_to_bindings)

    def test_no_key_means_two_things(self):
        for commands in (COMMANDS, (*PAGE_COMMANDS, *CHOOSE_COMMANDS, *COPY_COMMANDS)):
            keys = [key for command in commands for key in command.keys.split(",")]
            assert len(keys) == len(set(keys))

    async def test_pages_that_can_be_copied_say_so_in_the_footer(self, app):
        async with app.run_test(size=(80, 24)) as pilot:
            for key, copies in (("enter", True), ("question_mark", False), ("r", False)):
                await pilot.press(key)
                await pilot.pause()
                assert ("y Copy SQL  Y Copy MCP call" in screen_text(app).splitlines()[-1]) == copies
                assert ("Enter Choose" in screen_text(app).splitlines()[-1]) == (key == "r")
                await pilot.press("escape")
            await pilot.press("c", "enter")
            await pilot.pause()
            assert "y Copy SQL  Y Copy MCP call" in screen_text(app).splitlines()[-1]

    async def test_the_footer_fits_80_columns(self, app):
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert screen_text(app).splitlines()[-1].endswith("q Quit")
