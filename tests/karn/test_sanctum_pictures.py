"""What the screen looks like in every state, size and look: pictures that somebody has looked at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from picture_album import SCREENS, album, album_text, difference
from picture_states import STATES, THREE_SIZES, State, Terminal
from picture_text import Picture, picture, screen_lines
from sanctum_screens import settle, viewer

from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.glyphs import ASCII, UNICODE
from esper.karn.sanctum.theme import DARK, LIGHT

TELEMETRY = Path("telemetry")
BY_NAME = {state.name: state for state in STATES}
PROMISED = (
    "healthy",
    "caution",
    "thrash",
    "insufficient_data",
    "stalled",
    "crashed",
    "bad_lines",
    "empty_folder",
    "filter_without_match",
    "slot",
    "comparison",
    "rows_1152",
)
"""The states that have a picture in each size."""
MOST_BYTES = 600_000
"""Of all pictures together."""
BLOCKS = {*UNICODE.bar_full, *UNICODE.bar_empty, *UNICODE.sparkline, " "}


def open_viewer(state: State, **options: Any) -> SanctumApp:
    return viewer(TELEMETRY, state.run_dir, now=state.now, **options)


def name_of(look: str, size: Terminal) -> str:
    return f"{look} {size[0]}x{size[1]}"


async def dark_and_light(state: State) -> dict[str, Picture]:
    """As the window is made smaller and smaller, and then, in the other look, larger and larger."""
    pictures: dict[str, Picture] = {}
    async with open_viewer(state).run_test(size=state.sizes[0]) as pilot:
        await settle(pilot)
        await pilot.press(*state.keys)
        for size in state.sizes:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            pictures[name_of("dark", size)] = picture(pilot.app)
        pilot.app.action_light()
        for size in reversed(state.sizes):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            pictures[name_of("light", size)] = picture(pilot.app)
    return pictures


async def opened(state: State, size: Terminal, **options: Any) -> Picture:
    """In a terminal that has this size from the beginning."""
    async with open_viewer(state, **options).run_test(size=size) as pilot:
        await settle(pilot)
        await pilot.press(*state.keys)
        await pilot.pause()
        return picture(pilot.app)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a state's telemetry in a folder that is called the same everywhere."""
    monkeypatch.chdir(tmp_path)

    def made(name: str) -> State:
        state = BY_NAME[name]
        state.make(TELEMETRY)
        return state

    return made


@pytest.mark.parametrize("name", BY_NAME)
async def test_looks_as_it_did_when_somebody_looked(name, make):
    state = make(name)
    pictures = await dark_and_light(state)
    for size in state.sizes:
        shown = pictures[name_of("ascii", size)] = await opened(state, size, glyphs=ASCII, colors="none")
        assert "".join(shown.text).isascii()
        assert pictures[name_of("light", size)].text == pictures[name_of("dark", size)].text
    if state.few_colours:
        for look, colors in (("16 colours", "16"), ("no colours", "none")):
            shown = pictures[name_of(look, (80, 24))] = await opened(state, (80, 24), colors=colors)
            assert shown.text == pictures["dark 80x24"].text
    if found := difference(name, pictures):
        pytest.fail(found, pytrace=False)


def test_every_state_was_looked_at_in_every_size_and_look():
    for name in PROMISED:
        heads = set((SCREENS / f"{name}.txt").read_text(encoding="utf-8").splitlines())
        for look in ("dark", "light", "ascii"):
            assert {f"@@ {name_of(look, size)}" for size in THREE_SIZES} <= heads


def test_no_picture_is_left_over_and_all_are_small():
    files = list(SCREENS.iterdir())
    assert {file.name for file in files} == {f"{name}.txt" for name in BY_NAME}
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


@pytest.mark.parametrize("colors", ["16", "none"])
@pytest.mark.parametrize(
    ("name", "first", "second"), [("thrash", "0 r0c0", "1 r0c0"), ("runs", "oscillate", "short")]
)
async def test_the_chosen_line_is_seen_with_few_colours_and_with_none(name, first, second, colors, make):
    async with open_viewer(make(name), colors=colors).run_test() as pilot:
        await settle(pilot)
        await pilot.press(*BY_NAME[name].keys)
        assert [chosen(pilot.app, line) for line in (first, second)] == [True, False]
        await pilot.press("j")
        await pilot.pause()
        assert [chosen(pilot.app, line) for line in (first, second)] == [False, True]


def chosen(app: SanctumApp, start: str) -> bool:
    """Whether the line that begins with ``start`` in its frame stands out, beside blocks."""
    shown = picture(app)
    frame = "\N{BOX DRAWINGS LIGHT VERTICAL} "
    place = next(n for n, line in enumerate(shown.text) if line.lstrip(frame).startswith(start))
    letters = {line[0] for line in shown.legend if "reverse" in line or "on color(4)" in line}
    cells = zip(shown.text[place][2:70], shown.styles[place][2:70], strict=True)
    return all(style in letters or sign in BLOCKS for sign, style in cells)


async def test_the_palette_too_is_drawn_in_ascii(make):
    async with open_viewer(make("thrash"), glyphs=ASCII, colors="none").run_test() as pilot:
        await settle(pilot)
        await pilot.press("colon")
        async with asyncio.timeout(60):
            while not any("Beginning (A)" in line for line in screen_lines(pilot.app)):
                await pilot.pause(0.01)
        assert "\n".join(screen_lines(pilot.app)).isascii()


@pytest.mark.parametrize("change", ["text", "colour", "another state"])
async def test_a_change_is_told_with_its_line(change, make, tmp_path, monkeypatch):
    monkeypatch.delenv("UPDATE_SNAPSHOTS", raising=False)
    pictures = await dark_and_light(make("empty_folder"))
    assert "nobody has looked" in difference("empty_folder", pictures, tmp_path)
    (tmp_path / "empty_folder.txt").write_text(album_text(pictures))
    assert difference("empty_folder", pictures, tmp_path) == ""
    old, light = pictures["dark 80x24"], pictures["light 80x24"]
    if change == "text":
        pictures["dark 80x24"] = old._replace(text=("waiting for another", *old.text[1:]))
        expected = {f"-{old.text[0]}", "+waiting for another"}
    elif change == "colour":
        pictures["dark 80x24"] = light
        dark = f"bold {DARK.foreground} on {DARK.background}"
        bright = f"bold {LIGHT.foreground} on {LIGHT.background}"
        expected = {f"line 1 from cell 2, '… waiting for the first run': {dark}, now {bright}"}
    else:
        pictures["dark 40x24"] = pictures.pop("dark 80x24")
        expected = {"empty_folder, dark 40x24: is new", "empty_folder, dark 80x24: is there no more"}
    lines = difference("empty_folder", pictures, tmp_path).splitlines()
    assert expected <= set(lines)
    assert lines[0].startswith("empty_folder, dark ")


async def test_an_album_gives_back_its_pictures_and_has_each_once(make):
    pictures = await dark_and_light(make("empty_folder"))
    text = album_text(pictures)
    assert album(text) == pictures
    assert "text as in dark 80x24" in text.splitlines()
    assert text.count("waiting for the first run") == 2
