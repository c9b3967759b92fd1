"""Words, glyphs and one-line texts, the same on the screen and in ``karn sanctum --once``."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.state import LevelChange, RunPosition, SanctumSnapshot
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

GLYPHS = {
    "insufficient_data": "○",
    "healthy": "●",
    "watch": "◐",
    "caution": "◆",
    "thrash": "✖",
}
"""The shape of each band, so that it reads without colour."""
TREND_GLYPHS = {"grow": "▲", "shrink": "▼", "stable": "─"}
TREND_STYLES = {"grow": "green", "shrink": "red", "stable": "dim"}
STYLES = {"green": "green", "yellow": "yellow", "red": "red bold", None: "dim"}
"""The style of each indicator; None has no colour."""
STATUS_GLYPHS = {
    "waiting": "…",
    "empty": "…",
    "running": "▶",
    "silent": "‖",
    "crashed": "✖",
    "finished": "■",
}
STATUS_STYLES = {
    "waiting": "dim",
    "empty": "dim",
    "running": "green",
    "silent": "yellow",
    "crashed": "bold red",
    "finished": "cyan",
}
LEGEND = (
    f"● healthy <{WATCH_AT}  ◐ watch <{CAUTION_AT}  ◆ caution ≤{THRASH_ABOVE}  ✖ thrash >{THRASH_ABOVE}  "
    f"○ under {MIN_PAIRS} pairs  red from {RED_AT}"
)
"""What the glyphs mean, and that red starts within the caution zone."""
LEGEND_SHORT = (
    f"● healthy  ◐ watch {WATCH_AT}  ◆ caution {CAUTION_AT}  ✖ thrash {THRASH_ABOVE}  ○ too few  red {RED_AT}"
)
"""The same for 80 columns."""
NAMED = 3
"""Thrashing slots that the verdict line names."""


def plain(name: str, width: int) -> str:
    """A name from telemetry, fit for a terminal: nothing in it is interpreted.

    Control characters, escape codes and invisible format characters become U+FFFD.

    Args:
        name: as the file has it, of any length.
        width: terminal cells that it may fill; a longer one ends with an ellipsis.
    """
    # Combining characters fill no cell, so that cells alone would not bound the length.
    start = clean(name[: 2 * width + 1])
    if cell_len(start) <= width and len(name) <= 2 * width:
        return start
    return set_cell_size(start, max(0, width - 1)).rstrip() + "…"


def where(env_id: int | None, slot_id: str | None, width: int = 16) -> str:
    """A slot's place: "env 3 r0c1"."""
    slot = plain(slot_id or "", width)
    return slot if env_id is None else f"env {env_id} {slot}"


def header_text(run: RunPosition, telemetry_dir: str, now: datetime) -> Text:
    """Two lines: the run and whether it goes on; how much there is of it and what is amiss."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if run.status == "waiting":
        wanted = "" if run.run_dir is None else f" run {plain(run.run_dir, 40)}"
        text.append(f"{STATUS_GLYPHS['waiting']} waiting for{wanted or ' the first run'}", "bold")
        text.append(f"\n  in {plain(telemetry_dir, 200)}", "dim")
        return text
    text.append(plain(run.run_dir or "", 48), "bold cyan")
    text.append(f"  {STATUS_GLYPHS[run.status]} {run.status}", STATUS_STYLES[run.status])
    if run.outcome is not None:
        text.append(f" ({plain(run.outcome, 24)})", "yellow")
    text.append(f"  {_when(run, now)}", "dim")
    text.append("\n")
    text.append(f"{_count(run.ranks, 'rank')}  {_count(run.events, 'event')}", "dim")
    text.append(f"  {_count(run.bad_lines, 'bad line')}", "bold yellow" if run.bad_lines else "dim")
    for count, word in ((run.missing, "missing"), (run.dropped, "dropped by the writer")):
        if count:
            text.append(f"  {count:,} {word}", "bold yellow")
    if run.behind:
        text.append(f"  read {100 * run.bytes_read // max(1, run.bytes_total)} %", "bold cyan")
    return text


def _when(run: RunPosition, now: datetime) -> str:
    if run.last_event_at is None:
        return ""
    if run.status != "running":
        return f"last event {run.last_event_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"last event {age((now - run.last_event_at).total_seconds())} ago"


def age(seconds: float) -> str:
    """Seconds in the largest unit that fits, for example "3 min"; a clock set back gives 0."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def verdict_text(snapshot: SanctumSnapshot) -> Text:
    """A line or two: whether the policy thrashes, and in which slots."""
    rate, named = snapshot.reversal_rate, snapshot.thrashing
    slots = _count(len(snapshot.verdicts), "slot")
    if snapshot.run.status == "waiting":
        return Text("it appears here as soon as a training writes its first event", "dim")
    if not snapshot.verdicts:
        return Text("no internal op yet", "dim")
    pooled = "not one pair of ops yet"
    if rate is not None:
        pooled = f"reversal rate {rate:.2f} over {_count(snapshot.n_pairs, 'pair')}"
    if named:
        worst = max((verdict.indicator or "" for verdict in named), key=("", *INDICATORS).index)
        text = Text.assemble(
            (f"{GLYPHS['thrash']} thrashing in {len(named)} of {slots}", STYLES[worst or None])
        )
        text.append(": " + ", ".join(_evidence(verdict) for verdict in named[:NAMED]))
        if len(named) > NAMED:
            text.append(f" and {len(named) - NAMED} more")
        return text.append(f"; {pooled}", "dim")
    band = snapshot.band
    text = Text.assemble(
        (f"{GLYPHS[band]} {band.replace('_', ' ')}", STYLES[indicator(rate, snapshot.n_pairs)]),
        f": {pooled}",
        (f"; none of {slots} named thrashing", "dim"),
    )
    sweeping = sum(verdict.label == "sweeping" for verdict in snapshot.verdicts)
    return text.append(f", {sweeping} sweeping", "dim") if sweeping else text


def _evidence(verdict: SlotVerdict) -> str:
    place = where(verdict.env_id, verdict.slot_id)
    return f"{place} (free rate {verdict.free_reversal_rate:.2f}, n {verdict.n_free_pairs})"


def change_text(change: LevelChange) -> Text:
    """One line of the event log."""
    grew = change.to_level > change.from_level
    trend = "grow" if grew else "shrink"
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{(change.timestamp or '')[11:19]:8}  ", "dim")
    text.append(f"{TREND_GLYPHS[trend]} ", TREND_STYLES[trend])
    text.append(f"{where(change.env_id, change.slot_id):<14}", "cyan")
    text.append(f"  {change.from_level} → {change.to_level} of {change.max_level}")
    episode = "" if change.episode_idx is None else f"episode {change.episode_idx} "
    epoch = "" if change.epoch is None else f"epoch {change.epoch}"
    text.append(f"   {episode}{epoch}", "dim")
    return text
