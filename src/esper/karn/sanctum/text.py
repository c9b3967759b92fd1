"""Words, glyphs and one-line texts, the same on the screen and in ``karn sanctum --once``."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import LevelChange, Position, SlotOp
from esper.karn.textout import clean
from esper.leyline.thresholds import (
    CAUTION_AT,
    MIN_PAIRS,
    RED_AT,
    STABLE_EPOCHS,
    THRASH_ABOVE,
    WATCH_AT,
)

GLYPHS = UNICODE.bands
"""The shape of each band, so that it reads without colour."""
TREND_STYLES = {
    "grow": "green",
    "shrink": "red",
    "stable": "dim",
    "germinated": "cyan",
    "pruned": "yellow",
    "fossilized": "blue",
}
STYLES = {"green": "green", "yellow": "yellow", "red": "red bold", None: "dim"}
"""The style of each indicator; None has no colour."""
_LABEL_STYLES = {"sweeping": STYLES["yellow"]}
"""Of judgements that call for a look whatever the reversal rate, and so its indicator, says."""


def legend(glyphs: Glyphs = UNICODE) -> str:
    """What the glyphs mean, and that red starts within the caution zone."""
    band = glyphs.bands
    return (
        f"{band['healthy']} healthy <{WATCH_AT}  {band['watch']} watch <{CAUTION_AT}  "
        f"{band['caution']} caution {glyphs.at_most}{THRASH_ABOVE}  {band['thrash']} thrash >{THRASH_ABOVE}  "
        f"{band['insufficient_data']} under {MIN_PAIRS} pairs  red from {RED_AT}"
    )


def legend_short(glyphs: Glyphs = UNICODE) -> str:
    """The same for 80 columns."""
    band = glyphs.bands
    return (
        f"{band['healthy']} healthy  {band['watch']} watch {WATCH_AT}  "
        f"{band['caution']} caution {CAUTION_AT}  {band['thrash']} thrash {THRASH_ABOVE}  "
        f"{band['insufficient_data']} too few  red {RED_AT}"
    )


def trend_legend(glyphs: Glyphs = UNICODE) -> str:
    """What the signs of a trend mean."""
    trend = glyphs.trends
    return (
        f"{trend['grow']} last grew, {trend['shrink']} last shrank, {trend['stable']} no op in the "
        f"last {STABLE_EPOCHS} epochs, {trend['fossilized']} fossilized"
    )


LEGEND = legend()
RATE = "share of reversals among pairs of consecutive ops, over the whole run"
FREE_RATE = "the same where the second op could have gone either way; a coin flip gives 0.5"
"""What the reversal rate is, and the free rate beside it."""


def label_style(label: str, indicator: str | None) -> str:
    """The style of a judgement's word: that of the slot's indicator, or caution for a slot that sweeps."""
    return _LABEL_STYLES[label] if label in _LABEL_STYLES else STYLES[indicator]


def plain(name: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """A name from telemetry, fit for a terminal: nothing in it is interpreted.

    Control characters, escape codes and invisible format characters become U+FFFD, or "?" on a terminal
    that shows nothing but ASCII.

    Args:
        name: as the file has it, of any length.
        width: terminal cells that it may fill; a longer one ends with an ellipsis.
        glyphs: what the terminal can show.
    """
    # Combining characters fill no cell, so that cells alone would not bound the length.
    start = clean(name[: 2 * width + 1])
    if glyphs.only_ascii:
        start = start.encode("ascii", "replace").decode()
    if cell_len(start) <= width and len(name) <= 2 * width:
        return start
    return set_cell_size(start, max(0, width - 1)).rstrip() + glyphs.ellipsis


def slot_name(name: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """A slot's name, fit for a terminal as ``plain``; of a longer one, its begin and its end.

    Slots of one host often differ in the last part of their path alone.

    Args:
        name: as the file has it; the empty one is shown as two quotes.
        width: terminal cells that it may fill.
        glyphs: what the terminal can show.
    """
    if len(name) <= 2 * width and cell_len(whole := plain(name, 2 * width, glyphs)) <= width:
        return whole or "''"
    room = max(0, width - cell_len(glyphs.ellipsis))
    end = plain(name[-room:], 2 * room + 1, glyphs) if room > 1 else ""
    while cell_len(end) > room - room // 2:
        end = end[1:]
    start = plain(name[: 2 * width], 4 * width, glyphs)
    return set_cell_size(start, room - cell_len(end)).rstrip() + glyphs.ellipsis + end


def where(env_id: int | None, slot_id: str | None, width: int = 16, glyphs: Glyphs = UNICODE) -> str:
    """A slot's place: "env 3 r0c1"."""
    slot = "" if slot_id is None else slot_name(slot_id, width, glyphs)
    return slot if env_id is None else f"env {env_id} {slot}"


def age(seconds: float) -> str:
    """Seconds in the largest unit that fits, for example "3 min"; a clock set back gives 0."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def count(n: int, word: str) -> str:
    """A number of things: "1 rank", "2,000 events"."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def size_text(n_bytes: int) -> str:
    """A size in the unit that suits it: "3.1 kB", "48.0 MB"."""
    return f"{n_bytes / 1e3:,.1f} kB" if n_bytes < 999_950 else f"{n_bytes / 1e6:,.1f} MB"


def change_text(change: LevelChange, glyphs: Glyphs = UNICODE) -> Text:
    """One line of the event log."""
    text = Text(no_wrap=True, overflow="ellipsis")
    trend, words = what_happened(change, glyphs)
    if change.from_level is not None and change.max_level is not None:
        words += f" of {change.max_level}"
    text.append(f"{plain((change.timestamp or '')[11:19], 8, glyphs):8}  ", "dim")
    text.append(f"{glyphs.trends[trend]} ", TREND_STYLES[trend])
    text.append(f"{where(change.env_id, change.slot_id, glyphs=glyphs):<14}", "cyan")
    text.append(f"  {words:<11}")
    episode = "" if change.episode_idx is None else f"episode {change.episode_idx} "
    epoch = "" if change.epoch is None else f"epoch {change.epoch}"
    text.append(f"  {episode}{epoch}", "dim")
    return text


def what_happened(change: LevelChange | SlotOp, glyphs: Glyphs) -> tuple[str, str]:
    """The name of its sign and its style, and the words for it: "3 > 4", "germinated"."""
    before, after = change.from_level, change.to_level
    if before is None or after is None:
        return change.kind, change.kind
    return "grow" if after > before else "shrink", f"{before} {glyphs.to} {after}"


def slots_text(slots: int, without_seed: int) -> str:
    """How many slots have a row, and how many more had ops but hold no seed now, and so have none.

    Args:
        slots: with a row.
        without_seed: the others.
    """
    if without_seed and not slots:
        return f"{count(without_seed, 'slot')} {_hold(without_seed)} no seed"
    return count(slots, "slot") + _more_without_seed(without_seed)


def _more_without_seed(slots: int) -> str:
    return f", {slots:,} more {_hold(slots)} no seed" if slots else ""


def _hold(slots: int) -> str:
    return "holds" if slots == 1 else "hold"


def table_title(
    sort: str,
    query: str,
    shown: int,
    slots: int,
    glyphs: Glyphs = UNICODE,
    *,
    without_seed: int = 0,
    cells: int | None = None,
) -> str:
    """The table's heading: how many slots there are, how it is sorted, what is hidden.

    Args:
        sort: by what.
        query: the filter.
        shown: slots that match it.
        slots: of the run, with a row.
        glyphs: to draw with.
        without_seed: slots without a row that had ops, and match the filter.
        cells: room for it, None for any; where some slots have no row, it is kept to by saying that in short.
    """
    order = [f"by {sort}"] if sort != "thrash" else []
    if query.strip():
        counted = f"{shown:,} of {slots:,}"
        found = f"filter {plain(query.strip(), 40, glyphs)}: {counted}{_more_without_seed(without_seed)}"
        parts = [*order, found]
    else:
        counted = count(slots, "slot")
        found = slots_text(slots, without_seed)
        parts = [found, *order] if slots or without_seed else order
    title = f" {glyphs.separator} ".join(["Internal Levels", *parts])
    if not without_seed or cells is None:
        return title
    # Cut off, it would look as if the rows were all that there is.
    last = count(without_seed, "empty slot")
    shorter = (title, found, f"{counted}, {without_seed:,} empty", last)
    return next((words for words in shorter if cell_len(words) <= cells), last)


def time_text(
    moment: Position, progress: tuple[int, int], glyphs: Glyphs = UNICODE, *, narrow: bool = False
) -> Text:
    """A line for a moment of the run's history.

    Args:
        moment: episode and epoch.
        progress: epochs up to it, and epochs in all.
        glyphs: to draw with.
        narrow: whether there is room for the numbers alone: "at 3:12  37/400".
    """
    done, total = progress
    if narrow:
        place = (f"at {moment[0]}:{moment[1]}", "bold yellow")
        return Text.assemble(place, (f"  {done:,}/{total:,}", "dim"), no_wrap=True)
    cells = 24
    full = min(cells, round(cells * done / max(1, total)))
    return Text.assemble(
        (f"at episode {moment[0]} epoch {moment[1]}  ", "bold yellow"),
        (glyphs.bar_full * full, "yellow"),
        (glyphs.bar_empty * (cells - full), "dim"),
        (f"  {done:,} of {total:,} epochs  L: the end", "dim"),
        no_wrap=True,
    )
