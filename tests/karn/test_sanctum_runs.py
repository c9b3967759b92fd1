"""Choosing among runs, and looking at two of them side by side."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from sanctum_screens import screen_text, viewer
from sanctum_support import LATER, fixed_recorder, play, read, thrashing_run, zigzag

from esper.karn.sanctum.screens.compare import ComparePage, paired
from esper.karn.sanctum.screens.runs import RunChooser

HIGH = (140, 44)


def one_slot(folder, name, slot="r0c0", levels=(1, 2, 3), *, env=0):
    recorder = fixed_recorder(folder, name)
    recorder.training_started()
    recorder.seed_added(env, slot, levels[0], 4)
    play(recorder, env, slot, levels)
    recorder.training_finished()


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c"):
        one_slot(tmp_path, name)
    return tmp_path


def chosen(app) -> str:
    return app.screen._runs[app.screen._list.highlighted].run_dir


class TestChooser:
    async def test_shows_runs_as_they_come_and_go(self, folder):
        clock = [LATER]
        app = viewer(folder, "b", now=lambda: clock[0])

        async def later():
            clock[0] += timedelta(seconds=2)
            app._poll_and_refresh()
            await pilot.pause()

        async with app.run_test() as pilot:
            await pilot.press("r")
            assert chosen(app) == "b"
            one_slot(folder, "new")
            await later()
            assert "new" in screen_text(app)
            assert chosen(app) == "b", "the cursor stays on its run"
            shutil.rmtree(folder / "c")
            (folder / "a" / "events.jsonl").write_bytes(b"")
            await later()
            page = screen_text(app)
            assert "c  " not in page
            assert "a    □ empty" in page
            shutil.rmtree(folder / "b")
            await later()
            assert chosen(app) in ("a", "new")
            shutil.rmtree(folder / "a")
            shutil.rmtree(folder / "new")
            await later()
            assert "no run here yet" in screen_text(app)
            one_slot(folder, "again")
            await later()
            await pilot.press("enter")
            assert app.snapshot.run.run_dir == "again"

    async def test_paints_nothing_while_nothing_changes(self, folder, monkeypatch):
        app = viewer(folder)
        async with app.run_test() as pilot:
            await pilot.press("r")
            await pilot.pause()
            painted = []
            monkeypatch.setattr(app.screen._list, "refresh", lambda *_, **__: painted.append(1))
            app.screen.tick(app.snapshot, LATER + timedelta(seconds=1))
            assert painted == []

    @pytest.mark.parametrize(("here", "proposed"), [("c", "b"), ("b", "a"), ("a", "c")])
    async def test_proposes_another_run_to_compare_with(self, folder, here, proposed):
        app = viewer(folder, here)
        async with app.run_test() as pilot:
            await pilot.press("c")
            assert isinstance(app.screen, RunChooser)
            assert chosen(app) == proposed

    async def test_there_is_nothing_to_compare_a_single_run_with(self, tmp_path):
        one_slot(tmp_path, "alone")
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            await pilot.press("c")
            assert [note.message for note in app._notifications] == [
                "there is no other run in this folder to put beside this one"
            ]
            assert len(app.screen_stack) == 1


class TestComparison:
    async def test_slots_stand_beside_themselves(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "left"))
        recorder = fixed_recorder(tmp_path, "right")
        recorder.training_started()
        for env, levels in ((0, [1, 2, 3]), (1, zigzag(1, 2, 30)), (7, zigzag(2, 3, 30))):
            recorder.seed_added(env, "r0c0", levels[0], 4)
            play(recorder, env, "r0c0", levels)
        recorder.training_finished()
        app = viewer(tmp_path, "left")
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("c", "enter")
            await pilot.pause()
            assert isinstance(app.screen, ComparePage)
            lines = screen_text(app).splitlines()
        head = next(line for line in lines if line.count("Slot") == 2)
        middle = head.index("Env", head.index("Slot"))
        beside = [
            (line[:middle].split()[1:3], line[middle:].split()[:2])
            for line in lines[lines.index(head) + 1 :]
            if "r0c" in line
        ]
        assert len(beside) == 13
        assert all(one == other for one, other in beside)
        assert beside[0][0] in (["0", "r0c0"], ["1", "r0c0"], ["7", "r0c0"])

    def test_the_worst_of_either_run_come_first(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "left"))
        one_slot(tmp_path, "right", "r9c9", zigzag(1, 2, 30), env=5)
        keys = paired(read(tmp_path, "left"), read(tmp_path, "right"))
        assert set(keys[:2]) == {(0, "r0c0"), (5, "r9c9")}
        assert len(keys) == len(set(keys)) == 13

    async def test_says_how_many_slots_it_leaves_out(self, tmp_path):
        for name in ("left", "right"):
            recorder = fixed_recorder(tmp_path, name)
            for slot in range(23):
                recorder.seed_added(0, f"{name}{slot}", 1, 4)
        app = viewer(tmp_path, "left")
        async with app.run_test(size=HIGH) as pilot:
            await pilot.press("c", "enter")
            await pilot.pause()
            assert "and 26 more slots, none of them worse" in screen_text(app)
            assert "none can be judged yet" in screen_text(app)
