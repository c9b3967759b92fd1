"""The row under the cursor: seen without colours, and put where a command leads."""

from __future__ import annotations

import os

import pytest
from sanctum_screens import screen_text, text_of, viewer
from sanctum_support import fixed_recorder, thrashing_run

from esper.karn.sanctum.glyphs import UNICODE
from esper.karn.sanctum.screens.help import HelpScreen
from esper.karn.sanctum.screens.slot import SlotPage
from esper.karn.sanctum.widgets.event_log import NO_MATCH

HIGH = (100, 36)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that nobody changes."""
    folder = tmp_path_factory.mktemp("telemetry")
    for name in ("oscillate", "other"):
        thrashing_run(fixed_recorder(folder, name))
    return folder


@pytest.fixture
def app(runs):
    return viewer(runs, "oscillate")


def notes(app) -> list[str]:
    return [note.message for note in app._notifications]


class TestFewColours:
    @pytest.mark.parametrize("colors", ["none", "few"])
    async def test_a_bar_under_the_cursor_is_not_turned_round(self, runs, colors):
        app = viewer(runs, "oscillate", colors=colors)
        async with app.run_test(size=HIGH) as pilot:
            await pilot.pause()
            line = app.table.render_line(1)
            reversed_text = "".join(s.text for s in line if s.style is not None and s.style.reverse)
            kept = "".join(s.text for s in line if s.style is None or not s.style.reverse)
            assert "r0c0" in reversed_text
            assert set(UNICODE.bar_full + UNICODE.sparkline) & set(reversed_text) <= {" "}
            assert UNICODE.bar_full in kept


class TestFirstThrash:
    async def test_is_named_and_under_the_cursor(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("s", "G", "T")
            slot = app.viewing.follower.snapshot(app.now()).first_thrash_slot
            assert slot == (0, "r0c0")
            assert app.rows[app.table.cursor].key == slot
            assert "env 0 r0c0" in notes(app)[-1]


class TestHelp:
    @pytest.mark.parametrize("page", [["enter"], ["r"], ["c", "enter"]])
    async def test_opens_over_a_page_and_closes_to_it(self, app, page):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press(*page)
            await pilot.pause()
            below = app.screen
            await pilot.press("question_mark")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("question_mark")
            assert app.screen is below


class TestFilter:
    async def test_leaves_the_changes_of_its_slots_in_the_log(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"slot:r0c3", "enter")
            await pilot.pause()
            assert "r0c3" in text_of(app, "#changes")
            assert "r0c0" not in text_of(app, "#changes")
            await pilot.press("escape")
            assert "r0c0" in text_of(app, "#changes")

    async def test_says_where_the_log_has_nothing_of_them(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"nothing", "enter")
            await pilot.pause()
            assert text_of(app, "#changes") == NO_MATCH

    async def test_by_an_unknown_field_is_answered_with_the_known_ones(self, app):
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("f", *"evn:3", "enter")
            await pilot.pause()
            assert "no slot matches 'evn:3'; a filter can ask for env:, slot:" in screen_text(app)


class TestSlotPage:
    async def test_says_for_how_many_slots_the_bound_is_corrected(self, app):
        async with app.run_test(size=(140, 36)) as pilot:
            await pilot.press("enter")
            await pilot.pause()
            assert isinstance(app.screen, SlotPage)
            verdict = app.snapshot.verdicts[0]
            n_judged = sum(verdict.n_free_pairs >= 10 for verdict in app.snapshot.verdicts)
            line = next(line for line in screen_text(app).splitlines() if "its lower bound" in line)
            assert f"{verdict.corrected_low:.2f}   when corrected for {n_judged} slot" in line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_a_folder_that_takes_no_file_is_named_in_full(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The name that the unfinished file will have, led to a device without room.
    (tmp_path / f".sanctum-oscillate.csv.{os.getpid()}").symlink_to("/dev/full")
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("x")
        assert notes(app)[-1].startswith(f"can't write into {tmp_path}: ")


async def test_a_folder_that_is_gone_is_said_to_be(app, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("x")
        assert notes(app)[-1] == "the current folder is gone: nothing is written"


async def test_a_picture_holds_no_message(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with app.run_test(size=HIGH, notifications=True) as pilot:
        await pilot.press("n")
        await pilot.pause(0.1)
        assert "nothing is searched for yet" in screen_text(app)
        await pilot.press("v")
        await pilot.pause(0.1)
        picture = (tmp_path / "sanctum-oscillate.svg").read_text()
        assert "searched" not in picture
        assert "r0c0" in picture
        assert "written" in notes(app)[-1]


class TestPast:
    async def test_is_told_by_its_numbers_in_the_smallest_window(self, app):
        async with app.run_test(size=(20, 5)) as pilot:
            await pilot.press("A", "right_square_bracket")
            await pilot.pause()
            episode, epoch = app.viewing.moment
            done, total = app.viewing.progress()
            assert f"at {episode}:{epoch}  {done}/{total}" in screen_text(app)
