"""Words, glyphs and one-line texts, the same on the screen and in ``karn sanctum --once``."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import LevelChange, Position, RunPosition, SanctumSnapshot
from esper.karn.textout import clean
from esper.leyline.thresholds import (
    CAUTION_AT,
    INDICATORS,
    MIN_PAIRS,
    RED_AT,
    THRASH_ABOVE,
    WATCH_AT,
    indicator,
)

GLYPHS = UNICODE.bands
"""The shape of each band, so that it reads without colour."""
TREND_STYLES = {"grow": "green", "shrink": "red", "stable": "dim"}
STYLES = {"green": "green", "yellow": "yellow", "red": "red bold", None: "dim"}
"""The style of each indicator; None has no colour."""
STATUS_STYLES = {
    "waiting": "dim",
    "empty": "dim",
    "running": "green",
    "silent": "yellow",
    "crashed": "bold red",
    "finished": "cyan",
}


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


LEGEND = legend()
NAMED = 3
"""Thrashing slots that the verdict line names."""


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


def where(env_id: int | None, slot_id: str | None, width: int = 16, glyphs: Glyphs = UNICODE) -> str:
    """A slot's place: "env 3 r0c1"."""
    slot = plain(slot_id or "", width, glyphs)
    return slot if env_id is None else f"env {env_id} {slot}"


def header_text(
    run: RunPosition, telemetry_dir: str, now: datetime, glyphs: Glyphs = UNICODE, *, paused: bool = False
) -> Text:
    """Two lines: the run and whether it goes on; how much there is of it and what is amiss."""
    text = Text(no_wrap=True, overflow="ellipsis")
    mark = glyphs.statuses[run.status]
    if run.status == "waiting":
        wanted = "" if run.run_dir is None else f" run {plain(run.run_dir, 40, glyphs)}"
        text.append(f"{mark} waiting for{wanted or ' the first run'}", "bold")
        text.append(f"\n  in {plain(telemetry_dir, 200, glyphs)}", "dim")
        return text
    text.append(plain(run.run_dir or "", 48, glyphs), "bold cyan")
    text.append(f"  {mark} {run.status}", STATUS_STYLES[run.status])
    if run.outcome is not None:
        text.append(f" ({plain(run.outcome, 24, glyphs)})", "yellow")
    text.append(f"  {_when(run, now, paused=paused)}", "dim")
    if paused:
        text.append(f"  {glyphs.paused} paused", "bold yellow")
    text.append("\n")
    text.append(f"{count(run.ranks, 'rank')}  {count(run.events, 'event')}", "dim")
    if run.events_per_s is not None and run.status == "running":
        text.append(
            f"  {run.events_per_s:,.0f}/s" if run.events_per_s >= 10 else f"  {run.events_per_s:.1f}/s"
        )
    text.append(f"  {count(run.bad_lines, 'bad line')}", "bold yellow" if run.bad_lines else "dim")
    for number, word in ((run.missing, "missing"), (run.dropped, "dropped by the writer")):
        if number:
            text.append(f"  {number:,} {word}", "bold yellow")
    if run.behind:
        lag = (run.bytes_total - run.bytes_read) / 1e6
        share = 100 * run.bytes_read // max(1, run.bytes_total)
        text.append(f"  read {share} %, {lag:,.1f} MB to go", "bold cyan")
    return text


def _when(run: RunPosition, now: datetime, *, paused: bool) -> str:
    if run.last_event_at is None:
        return ""
    if run.status != "running" or paused:  # where nothing is read, an age would stand still
        return f"last event {run.last_event_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"last event {age((now - run.last_event_at).total_seconds())} ago"


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


def verdict_text(snapshot: SanctumSnapshot, glyphs: Glyphs = UNICODE) -> Text:
    """A line or two: whether the policy thrashes, and in which slots."""
    rate, named = snapshot.reversal_rate, snapshot.thrashing
    slots = count(len(snapshot.verdicts), "slot")
    if snapshot.run.status == "waiting":
        return Text("it appears here as soon as a training writes its first event", "dim")
    if not snapshot.verdicts:
        return Text("no internal op yet", "dim")
    pooled = "not one pair of ops yet"
    if rate is not None:
        pooled = f"reversal rate {rate:.2f} over {count(snapshot.n_pairs, 'pair')}"
    if named:
        worst = max((verdict.indicator or "" for verdict in named), key=("", *INDICATORS).index)
        text = Text.assemble(
            (f"{glyphs.bands['thrash']} thrashing in {len(named)} of {slots}", STYLES[worst or None])
        )
        text.append(": " + ", ".join(_evidence(verdict, glyphs) for verdict in named[:NAMED]))
        if len(named) > NAMED:
            text.append(f" and {len(named) - NAMED:,} more")
        return text.append(f"; {pooled}", "dim")
    band = snapshot.band
    sign, word = glyphs.bands[band], band.replace("_", " ")
    if snapshot.thrashing_together:
        sign, word = glyphs.bands["thrash"], "thrashing, taken together"
    text = Text.assemble(
        (f"{sign} {word}", STYLES[indicator(rate, snapshot.n_pairs)]),
        f": {pooled}",
        (f"; none of {slots} named thrashing", "dim"),
    )
    sweeping = sum(verdict.label == "sweeping" for verdict in snapshot.verdicts)
    return text.append(f", {sweeping:,} sweeping", "dim") if sweeping else text


def _evidence(verdict: SlotVerdict, glyphs: Glyphs) -> str:
    place = where(verdict.env_id, verdict.slot_id, glyphs=glyphs)
    return f"{place} (free rate {verdict.free_reversal_rate:.2f}, n {verdict.n_free_pairs})"


def change_text(change: LevelChange, glyphs: Glyphs = UNICODE) -> Text:
    """One line of the event log."""
    text = Text(no_wrap=True, overflow="ellipsis")
    trend = "grow" if change.to_level > change.from_level else "shrink"
    text.append(f"{plain((change.timestamp or '')[11:19], 8, glyphs):8}  ", "dim")
    text.append(f"{glyphs.trends[trend]} ", TREND_STYLES[trend])
    text.append(f"{where(change.env_id, change.slot_id, glyphs=glyphs):<14}", "cyan")
    text.append(f"  {change.from_level} {glyphs.to} {change.to_level} of {change.max_level}")
    episode = "" if change.episode_idx is None else f"episode {change.episode_idx} "
    epoch = "" if change.epoch is None else f"epoch {change.epoch}"
    text.append(f"   {episode}{epoch}", "dim")
    return text


def table_title(sort: str, query: str, shown: int, slots: int, glyphs: Glyphs = UNICODE) -> str:
    """The table's heading: how it is sorted, what is hidden.

    Args:
        sort: by what.
        query: the filter.
        shown: slots that match it.
        slots: of the run.
        glyphs: to draw with.
    """
    parts = ["Internal Levels"]
    if sort != "thrash":
        parts.append(f"by {sort}")
    if query.strip():
        parts.append(f"filter {plain(query.strip(), 40, glyphs)}: {shown:,} of {slots:,}")
    return f" {glyphs.separator} ".join(parts)


def time_text(moment: Position, progress: tuple[int, int], glyphs: Glyphs = UNICODE) -> Text:
    """A line for a moment of the run's history.

    Args:
        moment: episode and epoch.
        progress: epochs up to it, and epochs in all.
        glyphs: to draw with.
    """
    done, total = progress
    cells = 24
    full = min(cells, round(cells * done / max(1, total)))
    return Text.assemble(
        (f"at episode {moment[0]} epoch {moment[1]}  ", "bold yellow"),
        (glyphs.bar_full * full, "yellow"),
        (glyphs.bar_empty * (cells - full), "dim"),
        (f"  {done:,} of {total:,} epochs  L: the end", "dim"),
        no_wrap=True,
    )
