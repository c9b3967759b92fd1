"""The screen, driven by a pilot over real folders: it never waits for time."""

from __future__ import annotations

import re
import shutil

import pytest
from sanctum_screens import NEVER_S, levels, screen_text, text_of, viewer
from sanctum_support import fixed_now, fixed_recorder, play, thrashing_run, training, zigzag
from textual.widgets import Static

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum import app as app_module
from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.widgets.event_log import EventLogWidget
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.simic.training.recorder import InternalOpRecorder


@pytest.fixture
def folder(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "oscillate"))
    return tmp_path


class TestScreen:
    async def test_shows_run_verdict_slots_and_changes(self, folder):
        app = viewer(folder)
        async with app.run_test(size=(120, 36)):
            assert "oscillate  ■ finished" in text_of(app, "#run")
            verdict = text_of(app, "#verdict")
            assert "thrashing in 1 of 1 judged slot: env 0 r0c0 (free rate 0.97, n 31)" in verdict
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
            assert "oscillate  ∅ gone" in text_of(app, "#run")
            assert "the folder is gone: what is shown is the last that was read" in text_of(app, "#run")
            assert app.snapshot.run.status == "gone"
            assert "r0c0" in levels(app)
            thrashing_run(fixed_recorder(folder, "oscillate"))
            app._poll_and_refresh()
            await pilot.pause()
            assert "oscillate  ■ finished" in text_of(app, "#run")

    async def test_reads_a_long_run_bit_by_bit(self, tmp_path, monkeypatch):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            play(recorder, 0, "r0c0", zigzag(1, 2, 1500))
        monkeypatch.setattr(app_module, "BYTES_PER_TICK", 1 << 18)
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            assert app.behind
            assert re.search(r"▶ reading \d+ %", text_of(app, "#run"))
            assert "up to " in text_of(app, "#run")
            assert not re.search(r"/s\b|running|ago", text_of(app, "#run")), "nobody trains at this pace"
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
                assert name[:7].replace("\x1b", "\N{REPLACEMENT CHARACTER}") in text_of(app, place)
            assert len(levels(app)) < 500


class TestTerminal:
    @pytest.mark.parametrize(
        ("environment", "sign", "theme", "coloured"),
        [
            ({"TERM": "xterm-256color", "LANG": "C.UTF-8"}, "█", "sanctum", True),
            ({"TERM": "xterm", "LANG": "C.UTF-8"}, "█", "sanctum-16", True),
            ({"TERM": "linux"}, "#", "sanctum-16", True),
            ({"TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_COLOR": "1"}, "█", "sanctum-16", False),
            ({"TERM": "xterm-256color", "LANG": "C.UTF-8", "KARN_ASCII": "1"}, "#", "sanctum", True),
        ],
    )
    async def test_gets_what_its_environment_says_that_it_can_show(
        self, folder, monkeypatch, environment, sign, theme, coloured
    ):
        for name in ("LC_ALL", "LC_CTYPE", "LANG", "COLORTERM", "NO_COLOR", "KARN_ASCII"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        app = SanctumApp(folder, refresh_s=NEVER_S, now=fixed_now)
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            assert app.theme == theme
            shown = screen_text(app)
            assert sign * 3 in shown
            assert shown.isascii() == (sign == "#")
            styles = [
                segment.style
                for strip in app.screen._compositor.render_strips()
                for segment in strip
                if segment.style is not None
            ]
            assert any(style.color or style.bgcolor for style in styles) == coloured
            await pilot.press("t")
            assert not app.current_theme.dark
