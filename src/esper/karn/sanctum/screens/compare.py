"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from esper.karn.sanctum.effects import effect_short
from esper.karn.sanctum.follow import RunFollower
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.screens.page import Page
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.text import STATUS_STYLES, STYLES, plain
from esper.karn.sanctum.view import ViewOptions, arrange
from esper.karn.sanctum.widgets.level_table import row_table
from esper.leyline.thresholds import indicator

BYTES_PER_TICK = 2 << 20
SLOTS_SHOWN = 20
_LABEL_CELLS = 16


class ComparePage(Page[None]):
    """The run on the main screen, and another beside it.

    Args:
        snapshot: what the main screen shows.
        other: reads the other run.
        now: UTC.
        glyphs: to draw with.
    """

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
        width = max(20, self.size.width - 4)
        page = comparison(self._left, self._right, width, self.glyphs)
        self.query_one("#comparison", Static).update(page)


def comparison(left: SanctumSnapshot, right: SanctumSnapshot, width: int, glyphs: Glyphs) -> Group:
    """The whole page: number beside number, then the worst slots of both."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", width=_LABEL_CELLS, no_wrap=True)
    half = max(8, (width - _LABEL_CELLS - 4) // 2)
    for _ in range(2):
        facts.add_column(width=half, overflow="ellipsis", no_wrap=True)
    for label, cell in _FACTS:
        facts.add_row(label, cell(left, glyphs), cell(right, glyphs))
    slots = Table.grid(padding=(0, 2))
    room = max(8, (width - 2) // 2)
    for _ in range(2):
        slots.add_column(width=room, overflow="ellipsis", no_wrap=True)
    slots.add_row(*(_slots(snapshot, room, glyphs) for snapshot in (left, right)))
    return Group(facts, Text(), slots)


def _slots(snapshot: SanctumSnapshot, width: int, glyphs: Glyphs) -> Table:
    return row_table(arrange(snapshot, ViewOptions(fold_above=SLOTS_SHOWN)), width, SLOTS_SHOWN, glyphs)


def _name(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    return Text(plain(snapshot.run.run_dir or "", 48, glyphs), "bold cyan")


def _status(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Text:
    status = snapshot.run.status
    text = Text(f"{glyphs.statuses[status]} {status}", STATUS_STYLES[status])
    if snapshot.run.behind:
        share = 100 * snapshot.run.bytes_read // max(1, snapshot.run.bytes_total)
        text.append(f", read {share} %", "bold cyan")
    return text


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


def _labelled(label: str) -> Callable[[SanctumSnapshot, Glyphs], Text]:
    def cell(snapshot: SanctumSnapshot, _: Glyphs) -> Text:
        named = sum(verdict.label == label for verdict in snapshot.verdicts)
        return Text(f"{named:,} of {len(snapshot.verdicts):,} slots")

    return cell


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
    ("Thrashing", _labelled("thrashing")),
    ("Sweeping", _labelled("sweeping")),
    ("Ops", _ops),
    ("Beyond NOOP", _effects),
)
