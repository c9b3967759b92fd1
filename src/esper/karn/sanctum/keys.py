"""Keys one after the other: each means what it means after all that were typed before it."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.actions import ActionParseResult
from textual.app import App
from textual.dom import DOMNode
from textual.events import Event
from textual.widgets import Input


class KeysInOrder(App[None]):
    """An app for people who type ahead, and for pasted keys.

    Textual hands a key on to what has the focus, and runs its command when it has come back from there. Of
    several keys in one read, all are handed on before the first command runs: those after ``/`` would be
    commands, and those after ``q`` would open pages in an app that is on its way out.
    """

    async def on_event(self, event: Event) -> None:
        """Run the command of a key of the main screen at once, or type it into the line that is open."""
        if self._exit and isinstance(event, events.InputEvent):
            return
        if not isinstance(event, events.Key) or event.is_forwarded or len(self.screen_stack) != 1:
            await super().on_event(event)
        elif not await self._check_bindings(event.key, priority=True):
            line = self.focused
            if isinstance(line, Input) and event.is_printable and event.character is not None:
                line.replace(event.character, *line.selection)
            else:
                await self._check_bindings(event.key)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run a command, unless the app was told to end: its pages are no more."""
        return not self._exit and await super().run_action(action, default_namespace, namespaces)
