"""The one table of commands: keys, footer, help page and command palette are made from it."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType


class Command(NamedTuple):
    """Something that keys do."""

    keys: str
    """Separated by commas, as textual names them."""
    shown_keys: str
    """As people know them."""
    action: str
    label: str
    """For the footer and the command palette."""
    help: str
    """For the help page and the command palette."""
    in_footer: bool = False
    everywhere: bool = False
    """Whether the keys mean this on every page, and while a line asks for something."""


GROUPS: dict[str, tuple[Command, ...]] = {
    "Move": (
        Command("down,j", "↓ j", "move('down')", "Down", "to the slot below"),
        Command("up,k", "↑ k", "move('up')", "Up", "to the slot above"),
        Command("pagedown,space", "PgDn Space", "move('page_down')", "Page down", "a page further"),
        Command("pageup,b", "PgUp b", "move('page_up')", "Page up", "a page back"),
        Command("home,g", "Home g", "move('home')", "Top", "to the first slot"),
        Command("end,G", "End G", "move('end')", "Bottom", "to the last slot"),
        Command("enter,l", "Enter l", "open", "Open", "the slot's own page; folded slots unfold", True),
    ),
    "Choose": (
        Command("slash", "/", "search", "Search", "go to the slot that matches what you type", True),
        Command("n", "n", "next(1)", "Next match", "to the next match of the search"),
        Command("N", "N", "next(-1)", "Previous match", "to the one before"),
        Command("f", "f", "filter", "Filter", "hide all but: env:3 slot:r0 blueprint:conv band:thrash", True),
        Command("escape", "Esc", "clear", "Clear", "leave the filter, then the history"),
        Command("s", "s", "sort", "Sort", "by thrash, by level, by last change", True),
        Command("m", "m", "pin", "Pin", "keep this slot at the top; again to let it go"),
        Command("z", "z", "fold", "Fold", "unfold the healthy slots of every rank, or fold them"),
    ),
    "Time": (
        Command("p", "p", "pause", "Pause", "stop reading; again to go on", True),
        Command("left_square_bracket", "[", "step(-1)", "Step back", "look at the epoch before"),
        Command("right_square_bracket", "]", "step(1)", "Step on", "look at the epoch after"),
        Command("left_curly_bracket", "{", "leap(-1)", "Leap back", "a twentieth of the run back"),
        Command("right_curly_bracket", "}", "leap(1)", "Leap on", "a twentieth of the run on"),
        Command("A", "A", "begin", "Beginning", "look at the run's first epoch"),
        Command("L", "L", "live", "Live", "back to the end of the run"),
        Command("T", "T", "first_thrash", "First thrash", "look at where the first slot began to thrash"),
    ),
    "Runs": (
        Command("r", "r", "runs", "Runs", "choose another run", True),
        Command("c", "c", "compare", "Compare", "put another run beside this one"),
    ),
    "Take away": (
        Command("x", "x", "export('csv')", "Export CSV", "write these rows as CSV into the current folder"),
        Command("X", "X", "export('json')", "Export JSON", "write these rows as JSON"),
        Command("v", "v", "export('svg')", "Export picture", "write the screen as SVG"),
        Command("y", "y", "copy('sql')", "Copy SQL", "the query behind this view, to the clipboard"),
        Command("Y", "Y", "copy('mcp')", "Copy MCP call", "the call of Karn's MCP server behind it"),
    ),
    "Sanctum": (
        Command("t", "t", "light", "Theme", "change between the dark and the light look"),
        Command("colon,ctrl+p", ": Ctrl-P", "command_palette", "Commands", "find any of these by name"),
        Command("question_mark,f1", "? F1", "help", "Help", "this page", True),
        Command("q", "q", "quit", "Quit", "leave; the training is not touched", True),
        Command(
            "ctrl+z", "Ctrl-Z", "stop", "Stop", "back to the shell; fg there comes back", everywhere=True
        ),
        Command("ctrl+c", "Ctrl-C", "quit", "Quit at once", "leave, from any page too", everywhere=True),
    ),
}
"""Commands of the main screen, as the help page groups them."""

PAGE_COMMANDS = (
    Command("escape,q,h", "Esc q h", "close", "Back", "close a page, or a line that asks", True),
    Command("down,j", "↓ j", "page('down')", "Down", "a line down on a page, or to the next run"),
    Command("up,k", "↑ k", "page('up')", "Up", "a line up"),
    Command("pagedown,space", "PgDn Space", "page('page_down')", "Page down", "a page further"),
    Command("pageup,b", "PgUp b", "page('page_up')", "Page up", "a page back"),
    Command("home,g", "Home g", "page('home')", "Top", "to the beginning of a page"),
    Command("end,G", "End G", "page('end')", "Bottom", "to its end"),
    Command("question_mark,f1", "? F1", "help", "Help", "the help, from any page; again to close it", True),
)
"""Commands of the pages over the main screen: help, slot, runs and comparison."""
CHOOSE_COMMANDS = (Command("enter,l", "Enter l", "choose", "Choose", "the run under the cursor", True),)
"""Of the page on which a run is chosen."""
COPY_COMMANDS = (
    Command("y", "y", "app.copy('sql')", "Copy SQL", "the query behind a slot or a comparison", True),
    Command("Y", "Y", "app.copy('mcp')", "Copy MCP call", "the MCP call behind it", True),
)
"""Of the pages of a slot and of a comparison."""

COMMANDS = tuple(command for group in GROUPS.values() for command in group)


def bindings(commands: tuple[Command, ...] = COMMANDS) -> list[BindingType]:
    """Commands as textual's bindings."""
    return [
        Binding(
            command.keys,
            command.action,
            command.label,
            show=command.in_footer,
            key_display=_key(command),
            priority=command.everywhere,
        )
        for command in commands
    ]


def _key(command: Command) -> str:
    return command.shown_keys.split()[0]
