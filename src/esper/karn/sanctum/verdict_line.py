"""Whether the policy thrashes, in a line or two: as many words as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich._wrap import divide_line
from rich.cells import cell_len
from rich.text import Text

from esper.karn.diagnosis import SlotVerdict
from esper.karn.diagnosis.run import is_judged
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.text import STYLES, count, label_style, where
from esper.leyline.thresholds import INDICATORS, indicator

NAMED = 3
"""Thrashing slots that the verdict line names."""
NO_EVENT = "it appears here as soon as a training writes its first event"
NO_OP = "no internal op yet"
NONE_JUDGED = "no slot has enough pairs to be judged yet"


def verdict_text(snapshot: SanctumSnapshot, glyphs: Glyphs = UNICODE) -> Text:
    """All of it: whether the policy thrashes, and in which slots."""
    return next(_shorter_and_shorter(snapshot, glyphs))


def fitting_verdict(snapshot: SanctumSnapshot, width: int, lines: int, glyphs: Glyphs = UNICODE) -> Text:
    """As much of it as fits, so that what matters most is never cut off.

    Args:
        snapshot: what is judged.
        width: terminal cells of a line.
        lines: how many lines there are.
        glyphs: to draw with.
    """
    text = Text()
    for text in _shorter_and_shorter(snapshot, glyphs):
        if cell_len(text.plain) <= width or len(divide_line(text.plain, max(1, width))) < lines:
            break
    return text


def _shorter_and_shorter(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Iterator[Text]:
    if snapshot.run.status == "waiting":
        yield Text(NO_EVENT, "dim")
        yield Text("no event yet", "dim")
    elif not snapshot.verdicts:
        yield Text(NO_OP, "dim")
    elif snapshot.thrashing:
        yield from _thrashing(snapshot, snapshot.thrashing, glyphs)
    else:
        yield from _of_the_band(snapshot, glyphs)


def _thrashing(snapshot: SanctumSnapshot, named: Sequence[SlotVerdict], glyphs: Glyphs) -> Iterator[Text]:
    worst = max((verdict.indicator or "" for verdict in named), key=("", *INDICATORS).index)
    style, sign, judged = STYLES[worst or None], glyphs.bands["thrash"], _judged(snapshot)
    pooled = (f"; {_pooled(snapshot)}", "dim")
    start = (f"{sign} thrashing in {share_named(snapshot)}", style)
    for shown in range(min(NAMED, len(named)), 0, -1):
        places = ", ".join(_evidence(verdict, glyphs) for verdict in named[:shown])
        yield Text.assemble(start, f": {places}{_more(len(named) - shown)}", pooled)
    first = where(named[0].env_id, named[0].slot_id, glyphs=glyphs)
    yield Text.assemble(start, f": {first}{_more(len(named) - 1)}", pooled)
    yield Text.assemble(start, pooled)
    yield Text(f"{sign} {len(named):,} of {judged:,} thrash", style)
    yield Text(f"{sign} {len(named):,}/{judged:,} thrash", style)


def _of_the_band(snapshot: SanctumSnapshot, glyphs: Glyphs) -> Iterator[Text]:
    rate, band = snapshot.reversal_rate, snapshot.band
    style = STYLES[indicator(rate, snapshot.n_pairs)]
    sign, word = glyphs.bands[band], band.replace("_", " ")
    short = "too few pairs" if band == "insufficient_data" or rate is None else f"{word} {rate:.2f}"
    if snapshot.thrashing_together:
        sign, word, short = glyphs.bands["thrash"], "thrashing, taken together", "thrash together"
    start, pooled = (f"{sign} {word}", style), f": {_pooled(snapshot)}"
    judged = f"; {share_named(snapshot)} named thrashing" if _judged(snapshot) else f"; {NONE_JUDGED}"
    n_sweeping = sum(verdict.label == "sweeping" for verdict in snapshot.verdicts)
    sweeping = (f", {n_sweeping:,} sweeping", label_style("sweeping", None)) if n_sweeping else ""
    yield Text.assemble(start, pooled, (judged, "dim"), sweeping)
    yield Text.assemble(start, pooled, sweeping)
    yield Text(f"{sign} {short}", style)


def share_named(snapshot: SanctumSnapshot) -> str:
    """How many of the slots that can be judged at all are named: "1 of 3 judged slots", as in reports."""
    judged = _judged(snapshot)
    if judged == 0:
        return "none can be judged yet"
    return f"{len(snapshot.thrashing) or 'none'} of {count(judged, 'judged slot')}"


def _judged(snapshot: SanctumSnapshot) -> int:
    return sum(map(is_judged, snapshot.verdicts))


def _pooled(snapshot: SanctumSnapshot) -> str:
    rate = snapshot.reversal_rate
    if rate is None:
        return "not one pair of ops yet"
    return f"reversal rate {rate:.2f} over {count(snapshot.n_pairs, 'pair')}"


def _more(others: int) -> str:
    return f" and {others:,} more" if others else ""


def _evidence(verdict: SlotVerdict, glyphs: Glyphs) -> str:
    place = where(verdict.env_id, verdict.slot_id, glyphs=glyphs)
    return f"{place} (free rate {verdict.free_reversal_rate:.2f}, n {verdict.n_free_pairs})"
