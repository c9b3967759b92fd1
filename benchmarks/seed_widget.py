"""The widget as it was first written down, in the least app around it: what Sanctum is measured against.

Widget, aggregator and refresh are kept to the letter: every event is decoded and handed over, and every poll
updates every slot. What the letter leaves open is done so that it works: rows are named by environment and
slot, since slots of one name would share a row, and the widget is given the whole screen, since its
``refresh()`` makes no room for new rows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.widgets import Static

from esper.leyline.codec import decode_event
from esper.leyline.events import TelemetryEvent, TelemetryEventType

REFRESH_S = 0.25


@dataclass
class SlotInternalState:
    level: int
    max_level: int
    trend: str
    reversal_rate: float


class InternalLevelWidget(Static):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slot_states: dict[str, SlotInternalState] = {}

    def render(self) -> Table:
        table = Table(title="Internal Levels", box=None)
        table.add_column("Slot", style="cyan")
        table.add_column("Level", justify="center")
        table.add_column("Bar", justify="left")
        table.add_column("Trend", justify="center")
        table.add_column("Thrash", justify="center")

        for slot_id, state in sorted(self._slot_states.items()):
            level = state.level
            max_level = state.max_level
            trend = state.trend
            reversal_rate = state.reversal_rate

            level_text = f"{level}/{max_level}"

            filled = "█" * level
            empty = "░" * (max_level - level)
            bar = Text(filled, style="green") + Text(empty, style="dim")

            trend_icons = {
                "grow": Text("▲", style="green"),
                "shrink": Text("▼", style="red"),
                "stable": Text("─", style="dim"),
            }
            trend_text = trend_icons.get(trend, "─")

            if reversal_rate < 0.3:
                thrash_text = Text("●", style="green")
            elif reversal_rate < 0.6:
                thrash_text = Text("●", style="yellow")
            else:
                thrash_text = Text("●", style="red bold")

            table.add_row(slot_id, level_text, bar, trend_text, thrash_text)

        return table

    def update_slot(self, slot_id: str, level: int, max_level: int, trend: str, reversal_rate: float) -> None:
        self._slot_states[slot_id] = SlotInternalState(
            level=level, max_level=max_level, trend=trend, reversal_rate=reversal_rate
        )
        self.refresh()


class InternalLevelAggregator:
    def __init__(self) -> None:
        self._slot_states: dict[str, SlotInternalState] = {}

    def handle_seed_internal_level_changed(self, event: TelemetryEvent) -> None:
        payload: Any = event.data
        if payload.to_level > payload.from_level:
            trend = "grow"
        elif payload.to_level < payload.from_level:
            trend = "shrink"
        else:
            trend = "stable"
        existing = self._slot_states.get(_row(payload))
        reversal_rate = existing.reversal_rate if existing else 0.0
        self._slot_states[_row(payload)] = SlotInternalState(
            level=payload.to_level, max_level=payload.max_level, trend=trend, reversal_rate=reversal_rate
        )

    def handle_internal_op_metrics(self, event: TelemetryEvent) -> None:
        payload: Any = event.data
        if _row(payload) in self._slot_states:
            existing = self._slot_states[_row(payload)]
            self._slot_states[_row(payload)] = SlotInternalState(
                level=existing.level,
                max_level=existing.max_level,
                trend=existing.trend,
                reversal_rate=payload.reversal_rate,
            )

    def to_snapshot(self) -> dict[str, SlotInternalState]:
        return dict(self._slot_states)


class SanctumApp(App[None]):
    CSS = "#internal-levels { height: 1fr; }"

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._files = {path: path.open("rb") for path in sorted(run.glob("events*.jsonl"))}
        self.internal_level_aggregator = InternalLevelAggregator()

    def compose(self) -> ComposeResult:
        yield InternalLevelWidget(id="internal-levels")

    def on_mount(self) -> None:
        self.set_interval(REFRESH_S, self._poll_and_refresh)

    def _poll_and_refresh(self) -> None:
        for file in self._files.values():
            self._read(file.read())
        internal_levels = self.query_one("#internal-levels", InternalLevelWidget)
        snapshot = self.internal_level_aggregator.to_snapshot()
        for slot_id, state in snapshot.items():
            internal_levels.update_slot(
                slot_id=slot_id,
                level=state.level,
                max_level=state.max_level,
                trend=state.trend,
                reversal_rate=state.reversal_rate,
            )

    def _read(self, data: bytes) -> None:
        for line in data.splitlines():
            event = decode_event(line)[0]
            if event.event_type == TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED:
                self.internal_level_aggregator.handle_seed_internal_level_changed(event)
            elif event.event_type == TelemetryEventType.INTERNAL_OP_METRICS:
                self.internal_level_aggregator.handle_internal_op_metrics(event)


def _row(payload: Any) -> str:
    return f"{payload.env_id:04d} {payload.slot_id}"


if __name__ == "__main__":
    SanctumApp(Path(sys.argv[1])).run()
