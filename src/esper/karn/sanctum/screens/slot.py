"""The page of one slot: its numbers and its history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from esper.karn.diagnosis.run import is_judged
from esper.karn.sanctum.commands import COPY_COMMANDS, bindings
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.screens.page import BAR_CELLS, FRAME_CELLS, LOW, Page
from esper.karn.sanctum.screens.slot_text import slot_text
from esper.karn.sanctum.state import SanctumSnapshot, SlotKey, SlotOp
from esper.karn.sanctum.text import where
from esper.karn.sanctum.widgets.lines import Lines


class SlotPage(Page[None]):
    """One slot of the run on the main screen.

    Args:
        key: environment and slot.
        snapshot: what the main screen shows.
        history: gives the slot's ops up to the moment that is looked at, the newest last.
        glyphs: to draw with.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(COPY_COMMANDS)

    def __init__(
        self,
        key: SlotKey,
        snapshot: SanctumSnapshot,
        history: Callable[[], Sequence[SlotOp]],
        glyphs: Glyphs,
    ) -> None:
        super().__init__(where(*key, glyphs=glyphs), glyphs)
        self.key = key
        self._snapshot = snapshot
        self._history = history

    def compose_body(self) -> ComposeResult:
        """The text."""
        yield Lines(id="slot")

    def on_mount(self) -> None:
        """Fill it at once."""
        self._show(self._snapshot)

    def on_resize(self) -> None:
        """Fit it to the new width."""
        self._show(self._snapshot)

    def tick(self, snapshot: SanctumSnapshot, now: datetime) -> None:
        """Show what is known now."""
        if snapshot is not self._snapshot:
            self._show(snapshot)

    def _show(self, snapshot: SanctumSnapshot) -> None:
        self._snapshot = snapshot
        state = next((state for key, state in snapshot.slots.items() if key == self.key), None)
        found = (verdict for verdict in snapshot.verdicts if (verdict.env_id, verdict.slot_id) == self.key)
        width = max(1, self.size.width - (FRAME_CELLS if self.size.height >= LOW else BAR_CELLS))
        text = slot_text(
            self.key,
            state,
            next(found, None),
            self._history(),
            width,
            self.glyphs,
            n_judged=sum(map(is_judged, snapshot.verdicts)),
        )
        self.query_one("#slot", Lines).show(text)
