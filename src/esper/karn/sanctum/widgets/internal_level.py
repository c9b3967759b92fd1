"""The seed's widget: internal level, trend and thrash of every slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.containers import VerticalScroll
from textual.widgets import Static

from esper.karn.sanctum.state import SlotInternalState, SlotKey
from esper.karn.sanctum.text import LEGEND, LEGEND_SHORT
from esper.karn.sanctum.widgets.level_table import PlainTable, level_table

TITLE = "Internal Levels"
MAX_ROWS = 200
"""Rows drawn at most, the worst first; drawing thousands would make the screen stutter."""
_UNMOUNTED_WIDTH = 100


class InternalLevelWidget(Static):
    """Widget displaying internal level state for all slots.

    Shows:
    - Current level / max level per slot
    - Visual bar representation
    - Recent op direction (▲ grow, ▼ shrink, ─ stable)
    - Anti-thrash status: shape by band, colour (green/yellow/red) by indicator
    - With room for them: the rate, its evidence and the verdict

    It is refreshed explicitly, by ``update_slot`` and ``show``, and has no reactive attributes.
    """

    DEFAULT_CSS = """
    InternalLevelWidget {
        height: auto;
        border: round $primary 60%;
        border-title-style: bold;
        padding: 0 1;
    }
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slot_states: dict[SlotKey | str, SlotInternalState] = {}
        self.border_title = TITLE

    def render(self) -> PlainTable:
        """The table, in as many columns as there is room for."""
        return level_table(self._slot_states.items(), self.size.width or _UNMOUNTED_WIDTH, MAX_ROWS)

    def update_slot(
        self,
        slot_id: str,
        level: int,
        max_level: int,
        trend: str,
        reversal_rate: float,
        env_id: int | None = None,
    ) -> None:
        """Update state for a slot and trigger refresh.

        Args:
            slot_id: the slot; with ``env_id`` the row is that of (env_id, slot_id).
            level: current level.
            max_level: highest level, 0 for a seed without a ladder.
            trend: grow, shrink or stable.
            reversal_rate: 0 to 1; coloured as it is, whatever evidence is behind it.
            env_id: the environment, where slot names repeat.
        """
        key = slot_id if env_id is None else (env_id, slot_id)
        new_row = key not in self._slot_states
        self._slot_states[key] = SlotInternalState(
            level=level,
            max_level=max_level,
            trend=trend,
            reversal_rate=reversal_rate,
            env_id=env_id,
            slot_id=slot_id,
        )
        self.refresh(layout=new_row)

    def show(self, slots: Mapping[SlotKey, SlotInternalState]) -> None:
        """Show exactly these slots, and refresh if anything is different."""
        if slots == self._slot_states:
            return
        resized = len(slots) != len(self._slot_states)
        self._slot_states = dict(slots.items())
        self.refresh(layout=resized)


class LevelsPane(VerticalScroll, can_focus=False):
    """Scrolls the widget inside a border of its own, so that title and legend stay in sight."""

    def on_mount(self) -> None:
        """Take over the title."""
        self.border_title = TITLE

    def on_resize(self) -> None:
        """Show as much of the legend as fits."""
        width = self.size.width
        self.border_subtitle = LEGEND if width > len(LEGEND) else LEGEND_SHORT if width > 44 else ""
