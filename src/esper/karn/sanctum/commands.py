"""The one table of commands: keys, footer and help page are made from it."""

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
    """For the footer."""
    help: str
    """For the help page."""
    in_footer: bool = True


COMMANDS = (
    Command("q", "q", "quit", "Quit", "leave; the training is not touched"),
    Command("p", "p", "pause", "Pause", "stop reading, so that the screen stands still; again to go on"),
    Command("t", "t", "light", "Theme", "change between the dark and the light look"),
    Command("question_mark,f1", "? F1", "help", "Help", "this page; again, or Escape, to close it"),
    Command("down,j", "↓ j", "scroll('down')", "Down", "scroll the slots down", False),
    Command("up,k", "↑ k", "scroll('up')", "Up", "scroll the slots up", False),
    Command("pagedown,space", "PgDn Space", "scroll('page_down')", "Page down", "a page further", False),
    Command("pageup,b", "PgUp b", "scroll('page_up')", "Page up", "a page back", False),
    Command("home,g", "Home g", "scroll('home')", "Top", "go to the worst slot", False),
    Command("end,G", "End G", "scroll('end')", "Bottom", "go to the last slot", False),
)


def bindings() -> list[BindingType]:
    """The table as textual's bindings."""
    return [
        Binding(command.keys, command.action, command.label, show=command.in_footer) for command in COMMANDS
    ]
