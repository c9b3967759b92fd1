"""What a person may type or come upon while looking at a run that is not the only one."""

from __future__ import annotations

import shutil

from sanctum_screens import screen_text, text_of, viewer
from sanctum_support import fixed_recorder, play, thrashing_run, training

from esper.karn.sanctum.screens.compare import ComparePage

HIGH = (120, 36)


def one_run(folder, name="early"):
    thrashing_run(fixed_recorder(folder, name))


async def test_a_filter_that_reads_like_markup_is_a_filter(tmp_path):
    one_run(tmp_path)
    app = viewer(tmp_path)
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("f", "left_square_bracket", "slash")
        assert app.viewing.options.filter == "[/"
        assert "[/" in screen_text(app)


async def test_a_slot_that_reads_like_markup_has_its_page(tmp_path):
    with training(tmp_path) as recorder:
        recorder.seed_added(0, "[/red]", 1, 4)
        play(recorder, 0, "[/red]", [1, 2, 3])
    app = viewer(tmp_path)
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("enter")
        assert "env 0 [/red]" in screen_text(app)


async def test_who_looks_at_the_past_is_not_taken_to_a_newer_run(tmp_path):
    one_run(tmp_path)
    app = viewer(tmp_path)
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("A")
        moment = app.viewing.moment
        assert moment is not None
        one_run(tmp_path / "aside", "later")
        shutil.copytree(tmp_path / "aside/later", tmp_path / "later")
        for _ in range(20):
            app._poll_and_refresh()
        assert "early" in text_of(app, "#run")
        assert app.viewing.moment == moment
        await pilot.press("L")
        for _ in range(20):
            app._poll_and_refresh()
        assert "later" in text_of(app, "#run")
        assert app.snapshot.run.run_dir == "later"


async def test_two_runs_are_compared_at_their_ends(tmp_path):
    one_run(tmp_path, "a")
    one_run(tmp_path, "b")
    app = viewer(tmp_path, "a")
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("A", "c", "enter")
        assert isinstance(app.screen, ComparePage)
        assert app.viewing.moment is None
        left, right = app.screen._shown
        assert (left.n_pairs, left.moment) == (right.n_pairs, None)


async def test_the_first_thrash_is_found_from_any_moment(tmp_path):
    one_run(tmp_path)
    app = viewer(tmp_path)
    async with app.run_test(size=HIGH) as pilot:
        await pilot.press("T")
        first = app.viewing.moment
        assert first is not None
        await pilot.press("A", "T")
        assert app.viewing.moment == first


async def test_a_search_looks_into_what_is_folded(tmp_path):
    with training(tmp_path) as recorder:
        for slot in range(60):
            recorder.seed_added(0, f"r{slot}", 1, 4)
    app = viewer(tmp_path)
    async with app.run_test(size=HIGH) as pilot:
        assert len(app.rows) == 1
        await pilot.press("slash", *"nothing", "enter")
        assert len(app.rows) == 1, "folded again where nothing was found"
        await pilot.press("slash", *"r42", "enter")
        assert app.rows[app.table.cursor].key == (0, "r42")


async def test_a_paused_run_shows_a_time_and_no_age(tmp_path):
    with training(tmp_path) as recorder:
        recorder.seed_added(0, "r0c0", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("p")
            assert " ago" not in text_of(app, "#run")
            assert "UTC" in text_of(app, "#run")
