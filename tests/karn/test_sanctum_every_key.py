"""Whatever is bound to a key, now or later: it does something that can be seen, and the help names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from picture_states import one_slot
from picture_text import picture, screen_lines
from sanctum_screens import settle, viewer
from sanctum_support import fixed_recorder, thrashing_run
from textual.app import App
from textual.containers import Horizontal
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from esper.karn.sanctum import commands
from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.commands import Command
from esper.karn.sanctum.screens.compare import ComparePage
from esper.karn.sanctum.screens.help import HelpScreen
from esper.karn.sanctum.screens.main import MainScreen
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.screens.runs import RunChooser
from esper.karn.sanctum.screens.slot import SlotPage
from esper.karn.sanctum.widgets.prompt import Prompt


class Place(NamedTuple):
    """Where keys can be pressed.

    Attributes:
        bound: what has the bindings.
        textuals: of which textual's class.
        keys: that lead there.
    """

    bound: type[DOMNode]
    textuals: type[DOMNode]
    keys: tuple[str, ...] = ()


PLACES = {
    "main": Place(SanctumApp, App),
    "screen": Place(MainScreen, Screen),
    "slot": Place(SlotPage, ModalScreen, ("enter",)),
    "comparison": Place(ComparePage, ModalScreen, ("c", "enter")),
    "runs": Place(RunChooser, ModalScreen, ("r",)),
    "help": Place(HelpScreen, ModalScreen, ("question_mark",)),
    "prompt": Place(Prompt, Horizontal, ("f",)),
}
FIRST = {
    **dict.fromkeys(("up", "k", "pageup", "b", "home", "g"), ("G",)),
    **dict.fromkeys(("n", "N"), ("slash", *"r0c1", "enter")),
    **dict.fromkeys(("right_square_bracket", "right_curly_bracket", "L"), ("A",)),
    "escape": ("A",),
}
"""Keys without which another would have nothing to do."""
SCROLLING = ("down", "j", "pagedown", "space", "end", "G", "up", "k", "pageup", "b", "home", "g")
LOW = (80, 14)
"""Too low for what there is, so that everything can scroll."""


def own_keys(place: Place) -> dict[str, str]:
    """The keys that Sanctum itself binds there, and their actions."""
    bound, textuals = place.bound._merged_bindings, place.textuals._merged_bindings
    assert bound is not None
    known = {} if textuals is None else textuals.key_to_bindings
    return {
        key: found[0].action
        for key, found in bound.key_to_bindings.items()
        if key not in known or found != known[key]
    }


def tables() -> Iterator[Command]:
    """Every command of every table, also of those that are still to come."""
    for value in vars(commands).values():
        if isinstance(value, tuple):
            yield from (command for command in value if isinstance(command, Command))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, in the later one slots that thrash and more than forty that need no look."""
    folder = tmp_path_factory.mktemp("telemetry")
    one_slot(folder, "short", [1, 2, 1, 2])
    recorder = fixed_recorder(folder, "oscillate")
    for slot in range(60):
        recorder.seed_added(3, f"r1c{slot}", 1, 4)
    thrashing_run(recorder)
    return folder


def seen(app: SanctumApp) -> object:
    """All that a key could change."""
    if not app.is_running:
        return "left"
    said = [note.message for note in app._notifications]
    return picture(app), app.theme, app.clipboard, said, sorted(os.listdir())


@pytest.fixture
def app(runs, tmp_path, monkeypatch):
    """With a folder of its own for what is written."""
    monkeypatch.chdir(tmp_path)
    return viewer(runs, "oscillate")


@pytest.mark.parametrize("key", own_keys(PLACES["main"]))
async def test_every_key_of_the_main_screen_does_something_that_can_be_seen(key, app):
    async with app.run_test(size=LOW) as pilot:
        await settle(pilot)
        await pilot.press(*FIRST.get(key, ()))
        before = seen(app)
        await pilot.press(key)
        await pilot.pause()
        assert seen(app) != before


@pytest.mark.parametrize(
    "name", [name for name, place in PLACES.items() if name != "main" and own_keys(place)]
)
async def test_every_key_of_a_page_does_something_that_can_be_seen(name, app):
    place = PLACES[name]
    async with app.run_test(size=LOW) as pilot:
        await settle(pilot)
        for key in own_keys(place):
            if len(app.screen_stack) == 1:
                await pilot.press(*place.keys)
            if key in SCROLLING:
                await pilot.press(*FIRST.get(key, ("g",)))
            await pilot.pause()
            before = seen(app)
            await pilot.press(key)
            await pilot.pause()
            assert seen(app) != before, key


def test_no_page_is_left_out():
    assert set(Page.__subclasses__()) == {
        place.bound for place in PLACES.values() if issubclass(place.bound, Page)
    }


def test_every_key_is_in_a_table_with_what_it_does():
    listed = {(key, command.action) for command in tables() for key in command.keys.split(",")}
    # The line that asks is closed like a page.
    listed.add(("escape", "cancel"))
    bound = {each for place in PLACES.values() for each in own_keys(place).items()}
    assert bound == listed


async def test_every_command_of_every_table_is_in_the_help(runs):
    app = viewer(runs, "oscillate")
    async with app.run_test(size=(120, 120)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        page = screen_lines(app)
        for command in tables():
            assert any(f" {command.shown_keys} " in line and command.help in line for line in page), command
