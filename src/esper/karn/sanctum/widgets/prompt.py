"""The line at the bottom that asks for a filter or for what to search."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

Purpose = Literal["filter", "search"]

_HINTS = {
    "filter": "env:3 rank:0 slot:r0 blueprint:conv band:thrash,caution, or any text",
    "search": "as for a filter; then n and N",
}
_HOW = {"filter": "Enter keeps, Esc leaves", "search": "Enter finds, Esc leaves"}
_WIDE = 50
"""Cells from which on there is room for both the text and what the keys do."""


class _Line(Input):
    """Where it is typed."""

    async def action_submit(self) -> None:
        """Answer at once: the next key is none of the line's."""
        prompt = self.parent
        assert isinstance(prompt, Prompt), "the line stands in its prompt"
        prompt.answer(self.value)


class Prompt(Horizontal):
    """Asks for one line of text; hidden until ``ask``."""

    DEFAULT_CSS = """
    Prompt { display: none; height: 1; padding: 0 1; background: $panel; }
    Prompt.-asking { display: block; }
    Prompt Static { width: auto; color: $primary; text-style: bold; background: $panel; }
    Prompt #how { color: $foreground 70%; text-style: none; }
    Prompt Input, Prompt Input:focus {
        width: 1fr; height: 1; border: none; padding: 0 1; background: $panel;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    class Changed(Message):
        """The text is another one now."""

        def __init__(self, purpose: Purpose, text: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.text = text

    class Answered(Changed):
        """The text is finished."""

    class Cancelled(Message):
        """The person wants to leave things as they were."""

        def __init__(self, purpose: Purpose, before: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.before = before

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._purpose: Purpose = "filter"
        self._before = ""

    def compose(self) -> ComposeResult:
        """What is asked for, and the answer."""
        yield Static("", id="asked", markup=False)
        line = _Line(select_on_focus=False)
        # Blinking would paint for as long as the line is open.
        line.cursor_blink = False
        yield line
        yield Static("", id="how", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        """The text goes before what the keys do."""
        if self.is_attached:  # in an app that was told to end, nothing is in it
            self.query_one("#how").display = event.size.width >= _WIDE

    def ask(self, purpose: Purpose, before: str) -> None:
        """Open the line with the text that holds now."""
        self._purpose, self._before = purpose, before
        self.query_one("#asked", Static).update(f"{purpose}:")
        self.query_one("#how", Static).update(_HOW[purpose])
        line = self.query_one(Input)
        with line.prevent(Input.Changed):
            line.value = before
        line.cursor_position = len(before)
        line.placeholder = _HINTS[purpose]
        self.add_class("-asking")
        self.screen.add_class("-asking")
        # At once: the next key may have come already.
        self.screen.set_focus(line)

    def action_cancel(self) -> None:
        """Close the line."""
        self._close()
        self.post_message(self.Cancelled(self._purpose, self._before))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell while the person types."""
        event.stop()
        self.post_message(self.Changed(self._purpose, event.value))

    def answer(self, text: str) -> None:
        """Close the line with an answer."""
        self._close()
        self.post_message(self.Answered(self._purpose, text))

    def _close(self) -> None:
        self.remove_class("-asking")
        self.screen.remove_class("-asking")
        self.screen.set_focus(None)
