"""The screen, driven by a pilot over real folders: it never waits for time."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sanctum_support import fixed_now, fixed_recorder, play, thrashing_run, training, zigzag
from textual.containers import VerticalScroll
from textual.widgets import Static

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum import app as app_module
from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.commands import COMMANDS
from esper.karn.sanctum.widgets.event_log import EventLogWidget
from esper.karn.sanctum.widgets.help import HelpScreen
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.simic.training.recorder import InternalOpRecorder

NEVER_S = 10_000.0
"""Refresh interval of an app whose every poll is the test's own."""


def viewer(folder, run_dir=None):
    return SanctumApp(folder, run_dir, refresh_s=NEVER_S, now=fixed_now)


def levels(app) -> str:
    return str(app.query_one("#internal-levels", InternalLevelWidget).render())


def text_of(app, selector: str) -> str:
    return str(app.screen_stack[0].query_one(selector, Static).render())


@pytest.fixture
def folder(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "oscillate"))
    return tmp_path


class TestScreen:
    async def test_shows_run_verdict_slots_and_changes(self, folder):
        app = viewer(folder)
        async with app.run_test(size=(120, 36)):
            assert "oscillate  ■ finished" in text_of(app, "#run")
            assert "thrashing in 1 of 9 slots: env 0 r0c0 (free rate 0.97, n 31)" in text_of(app, "#verdict")
            assert levels(app).splitlines()[1].split()[:2] == ["0", "r0c0"]
            assert "episode 0 epoch 22" in text_of(app, "#changes")

    async def test_grows_with_the_file(self, tmp_path):
        with TelemetryCollector(tmp_path, "live") as collector:
            recorder = InternalOpRecorder(collector)
            app = viewer(tmp_path)
            async with app.run_test() as pilot:
                recorder.seed_added(0, "r0c0", 1, 4)
                app._poll_and_refresh()
                await pilot.pause()
                assert "1/4" in levels(app)
                play(recorder, 0, "r0c0", [1, 2, 3])
                app._poll_and_refresh()
                await pilot.pause()
                assert "3/4" in levels(app)
                assert "2 → 3 of 4" in text_of(app, "#changes")
                recorder.seed_removed(0, "r0c0", "no gain")
                app._poll_and_refresh()
                await pilot.pause()
                assert levels(app) == "no seed yet"

    async def test_waits_for_a_folder_that_is_not_there(self, tmp_path):
        app = viewer(tmp_path / "later")
        async with app.run_test() as pilot:
            assert "waiting for the first run" in text_of(app, "#run")
            with training(tmp_path / "later", "first") as recorder:
                recorder.seed_added(0, "r0c0", 1, 4)
            app._poll_and_refresh()
            await pilot.pause()
            assert "first" in text_of(app, "#run")
            assert "r0c0" in levels(app)

    async def test_waits_for_a_named_run(self, folder):
        app = viewer(folder, "mine")
        async with app.run_test():
            assert "waiting for run mine" in text_of(app, "#run")

    async def test_outlives_a_run_that_is_deleted(self, folder):
        app = viewer(folder)
        async with app.run_test() as pilot:
            shutil.rmtree(folder / "oscillate")
            app._poll_and_refresh()
            await pilot.pause()
            assert "waiting" in text_of(app, "#run")
            assert levels(app) == "no seed yet"

    async def test_reads_a_long_run_bit_by_bit(self, tmp_path, monkeypatch):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 1500))
        monkeypatch.setattr(app_module, "BYTES_PER_TICK", 1 << 18)
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            assert app.behind
            assert re.search(r"read \d+ %", text_of(app, "#run"))
            while app.behind:
                app._poll_and_refresh()
                await pilot.pause()
            assert "read" not in text_of(app, "#run").splitlines()[1]
            assert app.snapshot.n_pairs == 1499

    async def test_refreshes_only_what_changed(self, folder, monkeypatch):
        app = viewer(folder)
        async with app.run_test() as pilot:
            await pilot.pause()
            widgets = [*app.query(InternalLevelWidget), *app.query(EventLogWidget), *app.query(Static)]
            refreshed = []
            for widget in widgets:
                monkeypatch.setattr(widget, "refresh", lambda *_, **__: refreshed.append(1))
            for _ in range(20):
                app._poll_and_refresh()
            assert refreshed == []

    @pytest.mark.parametrize("size", [(20, 5), (45, 12), (80, 24), (220, 70), (1, 1)])
    async def test_fits_any_terminal(self, folder, size):
        app = viewer(folder)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.resize_terminal(20, 5)
            await pilot.resize_terminal(*size)
            assert app.screen.query_one("#verdict").region.y < size[1] or size == (1, 1)

    @pytest.mark.parametrize(
        "name", ["[red]x[/red]", "\x1b[31m\x1b]0;title\x07", "y" * 10_000, "[/]", "@click=app.quit"]
    )
    async def test_interprets_nothing_in_a_name(self, tmp_path, name):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, name, 1, 4)
            play(recorder, 0, name, zigzag(2, 3, 40))
        app = viewer(tmp_path)
        async with app.run_test(size=(120, 30)):
            shown = app.export_screenshot()
            assert "\x1b" not in shown
            for place in ("#verdict", "#changes"):
                assert name[:12].replace("\x1b", "\N{REPLACEMENT CHARACTER}") in text_of(app, place)
            assert len(levels(app)) < 500


class TestKeys:
    async def test_q_quits(self, folder):
        app = viewer(folder)
        async with app.run_test() as pilot:
            await pilot.press("q")
            assert not app.is_running

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

    async def test_t_changes_the_theme_and_back(self, folder):
        app = viewer(folder)
        async with app.run_test() as pilot:
            dark = app.theme
            await pilot.press("t")
            assert app.theme != dark
            assert not app.current_theme.dark
            await pilot.press("t")
            assert app.theme == dark

    @pytest.mark.parametrize("opens", ["question_mark", "f1"])
    @pytest.mark.parametrize("closes", ["question_mark", "f1", "escape", "q"])
    async def test_help_opens_and_closes(self, folder, opens, closes):
        app = viewer(folder)
        async with app.run_test() as pilot:
            await pilot.press(opens)
            assert isinstance(app.screen, HelpScreen)
            app._poll_and_refresh()
            await pilot.press(closes)
            assert not isinstance(app.screen, HelpScreen)
            assert app.is_running

    @pytest.mark.parametrize(
        ("there", "back", "far"),
        [("down", "up", False), ("j", "k", False), ("pagedown", "pageup", True), ("space", "b", True)],
    )
    async def test_slots_scroll(self, tmp_path, there, back, far):
        with training(tmp_path) as recorder:
            for slot in range(100):
                recorder.seed_added(0, f"r{slot}", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            pane = app.query_one("#slots", VerticalScroll)
            await pilot.press(there)
            assert pane.scroll_y > 1 if far else pane.scroll_y == 1
            await pilot.press(back)
            assert pane.scroll_y == 0

    @pytest.mark.parametrize(("there", "back"), [("end", "home"), ("G", "g")])
    async def test_slots_scroll_from_end_to_end(self, tmp_path, there, back):
        with training(tmp_path) as recorder:
            for slot in range(100):
                recorder.seed_added(0, f"r{slot}", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            pane = app.query_one("#slots", VerticalScroll)
            await pilot.press(there)
            assert pane.scroll_y == pane.max_scroll_y > 0
            await pilot.press(back)
            assert pane.scroll_y == 0

    async def test_each_one_is_in_the_help(self, folder):
        app = viewer(folder)
        async with app.run_test(size=(120, 60)) as pilot:
            await pilot.press("question_mark")
            await pilot.pause()
            page = app.export_screenshot().replace("&#160;", " ")
            for command in COMMANDS:
                assert command.help.replace("'", "&#x27;")[:30] in page
            bound = {key for keys in app._bindings.key_to_bindings for key in keys.split(",")}
            assert {key for command in COMMANDS for key in command.keys.split(",")} <= bound | {"ctrl+c"}


SCREENS = Path(__file__).parent / "screens"
"""What the screen should look like, as text. KARN_UPDATE_SCREENS=1 writes them anew: look at each."""


def screen_text(app) -> str:
    """The screen as lines of text, taken from its picture."""
    picture = ElementTree.fromstring(app.export_screenshot())
    lines: dict[int, list[str]] = {}
    for part in picture.iter("{http://www.w3.org/2000/svg}text"):
        found = re.search(r"line-(\d+)", part.get("clip-path") or "")
        if found is not None:
            line = lines.setdefault(int(found[1]), [" "] * app.size.width)
            start = round(float(part.get("x")) / 12.2)
            text = (part.text or "").replace("\xa0", " ")
            line[start : start + len(text)] = text
    rows = ["".join(lines.get(row, [])).rstrip() for row in range(app.size.height)]
    return "\n".join(rows) + "\n"


class TestPictures:
    async def look(self, name, app, size, *keys):
        async with app.run_test(size=size) as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            shown = screen_text(app)
        path = SCREENS / f"{name}.txt"
        if "KARN_UPDATE_SCREENS" in os.environ:
            path.parent.mkdir(exist_ok=True)
            path.write_text(shown, encoding="utf-8")
        assert shown == path.read_text(encoding="utf-8")

    @pytest.mark.parametrize("size", [(140, 40), (110, 32), (80, 24), (45, 16), (20, 5)], ids=str)
    async def test_of_a_thrashing_run(self, folder, size):
        await self.look(f"thrashing_{size[0]}x{size[1]}", viewer(folder), size)

    async def test_of_the_help(self, folder):
        await self.look("help", viewer(folder), (100, 44), "question_mark")

    async def test_of_an_empty_folder(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        await self.look("empty_folder", viewer(Path("telemetry")), (80, 24))

    async def test_of_a_file_with_bad_lines(self, folder):
        path = folder / "oscillate" / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:5], b"garbage\n", *lines[9:-1]]))
        await self.look("bad_lines", viewer(folder), (80, 24))
