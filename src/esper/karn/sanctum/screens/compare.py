"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from esper.karn.sanctum.columns import SLOT_CELLS, Layout, SlotRow, is_dim
from esper.karn.sanctum.commands import COPY_COMMANDS, bindings
from esper.karn.sanctum.effects import effect_short
from esper.karn.sanctum.fitting import lay_out
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.header import status_text
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.state import SanctumSnapshot, SlotInternalState, SlotKey
from esper.karn.sanctum.text import STYLES, count, plain, slot_name
from esper.karn.sanctum.verdict_line import share_named
from esper.karn.sanctum.view import ViewOptions, arrange
from esper.karn.sanctum.widgets.level_table import NO_SEED, NO_SEED_NOW
from esper.leyline.thresholds import indicator

BYTES_PER_TICK = 2 << 20
SLOTS_SHOWN = 20
_LABEL_CELLS = 16
_LEAST_BAR = 4
_NARROW, _LABEL_CELLS_NARROW = 50, 6


class ComparePage(Page[None]):
    """The run on the main screen, and another beside it.

    Args:
        snapshot: what the main screen shows.
        other: reads the other run.
        now: UTC.
        glyphs: to draw with.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(COPY_COMMANDS)

    def __init__(self, snapshot: SanctumSnapshot, other: RunFollower, now: datetime, glyphs: Glyphs) -> None:
        super().__init__("Two runs side by side", glyphs)
        self._other = other
        self._now = now
        self._shown: tuple[SanctumSnapshot, SanctumSnapshot] | None = None
        self._left = snapshot
        self._right = SanctumSnapshot()

    @property
    def other_run(self) -> str | None:
        """The run on the right."""
        return self._right.run.run_dir

    def compose_body(self) -> ComposeResult:
        """The text."""
        yield Static(id="comparison", markup=False)

    def on_mount(self) -> None:
        """Fill it at once."""
        self.tick(self._left, self._now)

    def on_resize(self) -> None:
        """Fit both sides anew."""
        self._draw()

    def tick(self, snapshot: SanctumSnapshot, now: datetime) -> None:
        """Read on in the other run, and show both."""
        changed = self._other.poll(BYTES_PER_TICK, now)
        if changed or self._shown is None:
            self._right = self._other.snapshot(now)
        self._left = snapshot
        if self._shown is None or changed or snapshot is not self._shown[0]:
            self._draw()

    def _draw(self) -> None:
        self._shown = self._left, self._right
        width = max(20, self.size.width - 5)  # without frame and scrollbar
        page = comparison(self._left, self._right, width, self.glyphs)
        self.query_one("#comparison", Static).update(page)


def comparison(left: SanctumSnapshot, right: SanctumSnapshot, width: int, glyphs: Glyphs) -> Group:
    """The whole page: number beside number, then slot beside slot, the worst of either run first."""
    # In a narrow window what is known of the runs needs the room more than what it is called.
    gap, label_cells = (2, _LABEL_CELLS) if width > _NARROW else (1, _LABEL_CELLS_NARROW)
    facts = Table.grid(padding=(0, gap))
    facts.add_column(style="dim", width=label_cells, no_wrap=True)
    half = max(6, (width - label_cells - 2 * gap) // 2)
    for _ in range(2):
        facts.add_column(width=half, overflow="ellipsis", no_wrap=True)
    for label, cell in _FACTS:
        facts.add_row(label, cell(left, glyphs), cell(right, glyphs))
    keys = paired(left, right)
    if not keys:
        none = NO_SEED_NOW if left.without_seed or right.without_seed else NO_SEED
        return Group(facts, Text(), Text(none, "dim"))
    shown = keys[:SLOTS_SHOWN]
    both = [SlotRow(key, side.slots[key]) for side in (left, right) for key in shown if key in side.slots]
    gap, room, layout = _side_by_side(both, width, glyphs)
    slots = Table.grid(padding=(0, gap))
    for _ in range(2):
        slots.add_column(width=room, overflow="ellipsis", no_wrap=True)
    slots.add_row(*(_slots(snapshot.slots, shown, layout, glyphs) for snapshot in (left, right)))
    if len(keys) > len(shown):
        more = Text(f"and {count(len(keys) - len(shown), 'more slot')}, none of them worse", "dim")
        return Group(facts, Text(), slots, more)
    return Group(facts, Text(), slots)


def _side_by_side(rows: Sequence[SlotRow], width: int, glyphs: Glyphs) -> tuple[int, int, Layout]:
    """Cells between both sides, those of a side, and a layout for both, so that like stands beside like."""
    rooms = {gap: max(8, (width - gap) // 2) for gap in (2, 1)}
    layouts = {gap: lay_out(rows, room, glyphs, least_bar=_LEAST_BAR) for gap, room in rooms.items()}
    gap = max(layouts, key=lambda gap: (len(layouts[gap].columns), gap))
    return gap, rooms[gap], layouts[gap]


def paired(left: SanctumSnapshot, right: SanctumSnapshot) -> list[SlotKey]:
    """The slots of both runs, each once, by the place that it has in the run where it is worse."""
    best: dict[SlotKey, tuple[int, int]] = {}
    for side, snapshot in enumerate((left, right)):
        rows = arrange(snapshot, ViewOptions(fold_above=None))
        for place, row in enumerate(rows):
            if isinstance(row, SlotRow) and not isinstance(row.key, str):
                best[row.key] = min((place, side), best[row.key]) if row.key in best else (place, side)
    return sorted(best, key=lambda key: best[key])


def _slots(
    states: Mapping[SlotKey, SlotInternalState], keys: Sequence[SlotKey], layout: Layout, glyphs: Glyphs
) -> Table:
    """A run's slots, a line for each of ``keys``; one that this run has not leaves its line to the other."""
    rows = {key: SlotRow(key, states[key]) for key in keys if key in states}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, layout.gap, 0, 0))
    for column, cells in zip(layout.columns, layout.widths, strict=True):
        table.add_column(column.title, justify=column.justify, no_wrap=True, min_width=cells)
    for key in keys:
        if key in rows:
            cells_of_row = [Text.assemble(*column.cell(rows[key], layout.look)) for column in layout.columns]
            table.add_row(*cells_of_row, style="dim" if is_dim(states[key]) else None)
        else:
            table.add_row(*(_absent(column.title, key, glyphs) for column in layout.columns))
    return table


def _absent(title: str, key: SlotKey, glyphs: Glyphs) -> Text:
    """A cell of a slot that the other run alone has."""
    env_id, slot_id = key
    if title == "Env" and env_id is not None:
        return Text(str(env_id), "dim")
    return Text(slot_name(slot_id, SLOT_CELLS, glyphs) if title == "Slot" else glyphs.nothing, "dim")


def _name(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    return Text(plain(snapshot.run.run_dir or "", 48, glyphs), "bold cyan")


def _status(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    return status_text(snapshot.run, glyphs)


def _events(snapshot: SanctumSnapshot, _: Glyphs) -> Text:
    text = Text(f"{snapshot.run.events:,}")
    bad = snapshot.run.bad_lines + snapshot.run.missing + snapshot.run.dropped
    return text.append(f", {bad:,} bad or missing", "bold yellow") if bad else text


def _band(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    style = STYLES[indicator(snapshot.reversal_rate, snapshot.n_pairs)]
    return Text(f"{glyphs.bands[snapshot.band]} {snapshot.band.replace('_', ' ')}", style)


def _rate(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    rate = snapshot.reversal_rate
    if rate is None:
        return Text(glyphs.nothing, "dim")
    return Text(f"{rate:.2f} over {snapshot.n_pairs:,} pairs")


def _free(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    pairs = snapshot.n_free_pairs
    if pairs == 0:
        return Text(glyphs.nothing, "dim")
    return Text(f"{snapshot.n_free_reversals / pairs:.2f} over {pairs:,} pairs")


def _thrashing(snapshot: SanctumSnapshot, _: Glyphs) -> Text:
    return Text(share_named(snapshot))


def _sweeping(snapshot: SanctumSnapshot, _: Glyphs) -> Text:
    return Text(count(sum(verdict.label == "sweeping" for verdict in snapshot.verdicts), "slot"))


def _ops(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    grown = sum(verdict.grow_count for verdict in snapshot.verdicts)
    shrunk = sum(verdict.shrink_count for verdict in snapshot.verdicts)
    return Text(f"{grown:,}{glyphs.trends['grow']} {shrunk:,}{glyphs.trends['shrink']}")


def _effects(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    return effect_short(snapshot.effects, glyphs)


_FACTS: tuple[tuple[str, Callable[[SanctumSnapshot, Glyphs], Text]], ...] = (
    ("Run", _name),
    ("Status", _status),
    ("Events", _events),
    ("Band", _band),
    ("Reversal rate", _rate),
    ("Free rate", _free),
    ("Thrashing", _thrashing),
    ("Sweeping", _sweeping),
    ("Ops", _ops),
    ("Beyond NOOP", _effects),
)
