"""What is painted: only rows within sight, only what differs, and the same picture as textual's own."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from sanctum_screens import levels, screen_text, viewer
from sanctum_support import fixed_recorder, play, thrashing_run, training, zigzag
from textual._compositor import Compositor
from textual.app import App
from textual.strip import Strip
from textual.widgets import Static

from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.screens.frugal import FrugalCompositor
from esper.karn.sanctum.state import SlotInternalState
from esper.karn.sanctum.widgets import internal_level
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget
from esper.karn.sanctum.widgets.lines import Lines, changed_spans
from esper.simic.training.recorder import InternalOpRecorder

TRUE_COLOR = Console(force_terminal=True, color_system="truecolor")


class TableApp(App[None]):
    """The widget of the seed, alone."""

    def compose(self):
        yield InternalLevelWidget(id="internal-levels")


def state(env: int, slot: int, level: int = 2) -> SlotInternalState:
    return SlotInternalState(level, 4, "grow", 0.1, env_id=env, slot_id=f"r{slot}", n_pairs=20)


@pytest.fixture
def drawn(monkeypatch):
    """Names of the slots whose rows were drawn."""
    names: list[str] = []
    original = internal_level.InternalLevelWidget._slot_strip

    def draw(self, row: SlotRow, width: int) -> Strip:
        names.append(row.name)
        return original(self, row, width)

    monkeypatch.setattr(internal_level.InternalLevelWidget, "_slot_strip", draw)
    return names


class TestTable:
    async def test_draws_only_rows_within_sight(self, drawn):
        app = TableApp()
        async with app.run_test(size=(80, 24)) as pilot:
            table = app.query_one(InternalLevelWidget)
            table.show({(0, f"r{slot}"): state(0, slot) for slot in range(5000)})
            await pilot.pause()
            assert 20 <= len(drawn) <= 30
            drawn.clear()
            table.move_to(4000)
            await pilot.pause()
            assert "r4000" in drawn
            assert len(drawn) <= 30

    async def test_draws_only_rows_that_changed(self, drawn):
        app = TableApp()
        async with app.run_test(size=(80, 24)) as pilot:
            table = app.query_one(InternalLevelWidget)
            slots = {(0, f"r{slot}"): state(0, slot) for slot in range(100)}
            table.show(slots)
            await pilot.pause()
            drawn.clear()
            table.show({key: replace(old) for key, old in slots.items()})
            await pilot.pause()
            assert drawn == []
            table.show(slots | {(0, "r3"): state(0, 3, level=1), (0, "r99"): state(0, 99, level=1)})
            await pilot.pause()
            assert drawn == ["r3"]

    async def test_shows_the_words_of_its_text(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "oscillate"))
        app = viewer(tmp_path)
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.pause()
            shown = [line.strip("│ ").split() for line in screen_text(app).splitlines()]
            for line in levels(app).splitlines():
                assert line.split() in shown

    async def test_updates_slot_by_slot(self):
        app = TableApp()
        async with app.run_test(size=(60, 10)) as pilot:
            table = app.query_one(InternalLevelWidget)
            await pilot.pause()
            assert "no seed yet" in screen_text(app)
            table.update_slot("r0c0", 1, 4, "grow", 0.1)
            table.update_slot("r0c1", 3, 4, "shrink", 0.9)
            await pilot.pause()
            lines = screen_text(app).splitlines()
            assert "r0c1" in lines[2]
            assert "███░" in lines[2]
            assert "█░░░" in lines[3]
            table.update_slot("r0c0", 2, 4, "grow", 0.1)
            await pilot.pause()
            assert "██░░" in screen_text(app).splitlines()[3]

    async def test_widens_a_column_whose_number_has_grown(self):
        app = TableApp()
        async with app.run_test(size=(100, 10)) as pilot:
            table = app.query_one(InternalLevelWidget)
            for pairs in (9, 123_456_789):
                table.show({(0, "r0"): replace(state(0, 0), n_pairs=pairs)})
                await pilot.pause()
                head, row = screen_text(app).splitlines()[1:3]
                assert head.index("Pairs") + 5 == row.index(f"{pairs:,}") + len(f"{pairs:,}")

    async def test_takes_the_colours_of_the_theme(self, tmp_path):
        thrashing_run(fixed_recorder(tmp_path, "oscillate"))
        app = viewer(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            dark = app.export_screenshot()
            await pilot.press("t")
            await pilot.pause()
            light = app.export_screenshot()
            assert "#12141c" in dark
            assert "#12141c" not in light


class TestIdle:
    @pytest.mark.parametrize("paused", [False, True])
    async def test_nothing_is_painted(self, tmp_path, monkeypatch, paused):
        thrashing_run(fixed_recorder(tmp_path, "oscillate"))
        app = viewer(tmp_path)
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.press(*"p" * paused)
            await pilot.pause()
            painted = []
            for widget in app.screen.query("*"):
                monkeypatch.setattr(widget, "refresh", lambda *_, **__: painted.append(1))
            for _ in range(20):
                app._poll_and_refresh()
            assert painted == []
            assert not app.screen._dirty_widgets

    async def test_a_finished_run_is_not_judged_again(self, tmp_path, monkeypatch):
        thrashing_run(fixed_recorder(tmp_path, "oscillate"))
        app = viewer(tmp_path)
        async with app.run_test() as pilot:
            await pilot.pause()
            monkeypatch.setattr(app, "show_now", lambda: pytest.fail("nothing is new"))
            for _ in range(20):
                app._poll_and_refresh()


class LinesApp(App[None]):
    """A text over another."""

    CSS = "Lines { height: auto; }"

    def compose(self):
        yield Lines(id="above", keeps_room=True)
        yield Lines(id="below")


class TestLines:
    async def test_keep_the_room_that_was_needed_once(self):
        app = LinesApp()
        async with app.run_test(size=(20, 10)) as pilot:
            above, below = (app.query_one(f"#{name}", Lines) for name in ("above", "below"))
            for text, height in (("one line", 1), ("two lines " * 3, 2), ("one line", 2)):
                above.show(Text(text))
                below.show(Text(text))
                await pilot.pause()
                assert (above.size.height, below.region.y) == (height, height)
            assert below.size.height == 1
            await pilot.resize_terminal(40, 10)
            assert above.size.height == 1

    async def test_ask_for_another_layout_only_with_another_height(self, monkeypatch):
        app = LinesApp()
        async with app.run_test(size=(20, 10)) as pilot:
            lines = app.query_one("#below", Lines)
            lines.show(Text("1 pair"))
            await pilot.pause()
            monkeypatch.setattr(app.screen, "_refresh_layout", lambda **_: pytest.fail("nothing has moved"))
            lines.show(Text("2 pairs"))
            await pilot.pause()
            assert "2 pairs" in "".join(segment.text for segment in lines.render_line(0))


class TestSpans:
    def strip(self, *parts: tuple[str, str]) -> Strip:
        return Strip([Segment(text, Style.parse(style)) for text, style in parts])

    def test_of_equal_strips_are_none(self):
        old = self.strip(("env ", ""), ("r0c0", "cyan"))
        assert changed_spans(old, self.strip(("env ", ""), ("r0c0", "cyan"))) == []

    def test_hold_what_differs_in_text_or_style(self):
        old = self.strip(("a" * 4, ""), ("b" * 20, ""), ("c", "red"), ("d", ""))
        new = self.strip(("A" * 4, ""), ("b" * 20, ""), ("c", "green"), ("d", ""))
        assert changed_spans(old, new) == [(0, 4), (24, 25)]

    def test_are_joined_where_little_is_between(self):
        old, new = self.strip(("a", ""), ("bb", ""), ("c", "")), self.strip(("x", ""), ("bb", ""), ("y", ""))
        assert changed_spans(old, new) == [(0, 4)]

    def test_of_strips_in_other_pieces_are_everything(self):
        assert changed_spans(self.strip(("ab", ""), ("c", "")), self.strip(("abc", ""))) == [(0, 3)]


class Terminal:
    """Cells with the style that each was written in, as far as Sanctum's updates need it."""

    def __init__(self) -> None:
        self.cells: defaultdict[tuple[int, int], tuple[str, str]] = defaultdict(lambda: (" ", ""))

    def write(self, data: str) -> None:
        x = y = 0
        style: list[str] = []
        for codes, move, text in re.findall(r"\x1b\[([\d;]*)m|\x1b\[(\d+;\d+)H|([^\x1b]+)", data):
            if move:
                y, x = (int(part) - 1 for part in move.split(";"))
            elif text:
                for character in text.replace("\n", ""):
                    self.cells[y, x] = (character, ";".join(sorted(style)))
                    x += 1
            else:
                style = _applied(style, codes)


def _applied(style: list[str], codes: str) -> list[str]:
    parts = re.findall(r"[34]8;2;\d+;\d+;\d+|\d+", codes) or ["0"]
    for part in parts:
        if part == "0":
            style = []
        else:
            kind = part[:2] if part[:2] in ("38", "48") else part
            style = [*(other for other in style if not other.startswith(kind)), part]
    return style


class TestFrugality:
    @pytest.mark.parametrize("slots", [8, 40])
    async def test_the_picture_is_textuals_with_fewer_bytes(self, slots, tmp_path, monkeypatch):
        recorder = InternalOpRecorder(fixed_recorder(tmp_path, "live")._sink)
        for slot in range(slots):
            recorder.seed_added(0, f"r{slot}", 1, 4)
        sizes = {"textual": 0, "frugal": 0}
        terminals = {"textual": Terminal(), "frugal": Terminal()}
        original = FrugalCompositor.render_partial_update

        def both(self):
            regions = self._dirty_regions.copy()
            plain = Compositor.render_partial_update(self)
            self._dirty_regions = regions
            update = original(self)
            if update is not None:
                for name, one in (("frugal", update), ("textual", plain)):
                    data = one.render_segments(TRUE_COLOR)
                    sizes[name] += len(data)
                    terminals[name].write(data)
            return update

        monkeypatch.setattr(FrugalCompositor, "render_partial_update", both)
        app = viewer(tmp_path)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            epoch = 0
            for turn in range(6):
                epoch = play(recorder, 0, f"r{turn}", zigzag(1, 2, 5), first_epoch=epoch + 1)
                app._poll_and_refresh()
                await pilot.press("j")
                await pilot.pause()
        assert sizes["textual"] > sizes["frugal"] > 0
        frugal, textual = (terminals[name].cells for name in ("frugal", "textual"))
        assert {place: textual[place] for place in frugal} == frugal


class TestHostileRuns:
    async def test_5000_slots(self, tmp_path):
        with training(tmp_path) as recorder:
            for slot in range(5000):
                recorder.seed_added(0, f"r{slot}", 1, 4)
        app = viewer(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            while app.behind:
                app._poll_and_refresh()
                await pilot.pause()
            assert "▸ rank 0: 5,000 with insufficient data" in screen_text(app)
            await pilot.press("enter", "G")
            await pilot.pause()
            assert "r4999" in screen_text(app)

    @pytest.mark.parametrize("keys", [("enter",), ("c", "enter"), ("r",), ("s", "m", "z")])
    @pytest.mark.parametrize("name", ["[red]x[/red]", "\x1b[31m\x1b]0;title\x07", "y" * 10_000])
    async def test_names_stay_names_on_every_page(self, tmp_path, name, keys):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, name, 1, 4, blueprint=name)
            play(recorder, 0, name, zigzag(2, 3, 20))
        app = viewer(tmp_path)
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            assert "\x1b" not in app.export_screenshot()
            shown = screen_text(app)
            if keys != ("r",):
                assert name[:12].replace("\x1b", "\N{REPLACEMENT CHARACTER}") in shown
            await pilot.resize_terminal(20, 5)
            await pilot.resize_terminal(200, 50)
            assert app.is_running

    @pytest.mark.parametrize("keys", [("enter",), ("c", "enter"), ("A",), ("f", "x")])
    async def test_a_run_is_deleted_while_a_page_is_open(self, tmp_path, keys):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path)
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press(*keys)
            (tmp_path / "run" / "events.jsonl").unlink()
            (tmp_path / "run").rmdir()
            for _ in range(2):
                app._poll_and_refresh()
                await pilot.pause()
            await pilot.press("escape", "escape", "L", "T", "left_square_bracket", "enter", "m", "n")
            assert app.is_running

    @pytest.mark.parametrize(
        "keys", [(), ("enter",), ("c", "enter"), ("r",), ("A",), ("f", "x"), ("f1",), (":",)]
    )
    async def test_no_terminal_is_too_small(self, tmp_path, keys):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path)
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.press(*keys)
            for size in ((20, 5), (1, 1), (2, 3), (4, 2), (200, 50)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
            await pilot.press("escape", "escape")
            await pilot.resize_terminal(3, 1)
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert "r0c0" in screen_text(app)

    async def test_an_error_ends_loudly(self, tmp_path, monkeypatch):
        thrashing_run(fixed_recorder(tmp_path, "run"))
        app = viewer(tmp_path)

        async def fail():
            async with app.run_test() as pilot:
                monkeypatch.setattr(app, "show_now", lambda: 1 // 0)
                await pilot.press("L")

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert app.return_code == 1


def test_the_widget_is_what_the_seed_asks_for():
    assert issubclass(InternalLevelWidget, Static)
