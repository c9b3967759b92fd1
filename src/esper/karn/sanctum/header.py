"""The two lines at the top: which run it is, and whether it goes on."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.state import RunPosition
from esper.karn.sanctum.text import age, count, plain, size_text

STATUS_STYLES = {
    "waiting": "dim",
    "empty": "dim",
    "running": "green",
    "silent": "yellow",
    "crashed": "bold red",
    "finished": "cyan",
    "gone": "bold yellow",
}
_STOPPED = ("silent", "crashed")
"""Where it matters for how long nothing has come."""
_MINUTE_S = 60


def header_text(
    run: RunPosition, telemetry_dir: str, now: datetime, glyphs: Glyphs = UNICODE, *, paused: bool = False
) -> Text:
    """Two lines: the run and whether it goes on; how much there is of it and what is amiss."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if run.status == "waiting":
        wanted = "" if run.run_dir is None else f" run {plain(run.run_dir, 40, glyphs)}"
        text.append(f"{glyphs.statuses['waiting']} waiting for{wanted or ' the first run'}", "bold")
        text.append(f"\n  in {plain(telemetry_dir, 200, glyphs)}", "dim")
        return text
    text.append(plain(run.run_dir or "", 48, glyphs), "bold cyan")
    text.append("  ").append_text(status_text(run, glyphs))
    if paused:  # before all that a narrow window may cut
        text.append(f"  {glyphs.paused} paused", "bold yellow")
    if run.outcome is not None:
        text.append(f" ({plain(run.outcome, 24, glyphs)})", "yellow")
    text.append(f"  {_when(run, now, paused=paused)}", "dim")
    text.append("\n")
    if run.status == "gone":
        text.append("the folder is gone: what is shown is the last that was read  ", "bold yellow")
    if run.ranks < run.world_size:
        text.append(f"{run.ranks:,} of {count(run.world_size, 'rank')}", "bold yellow")
    else:
        text.append(count(run.ranks, "rank"), "dim")
    text.append(f"  {count(run.events, 'event')}", "dim")
    # While old events are read, their pace is nobody's.
    if run.events_per_s is not None and run.status == "running" and not run.behind:
        text.append(
            f"  {run.events_per_s:,.0f}/s" if run.events_per_s >= 10 else f"  {run.events_per_s:.1f}/s"
        )
    text.append(f"  {count(run.bad_lines, 'bad line')}", "bold yellow" if run.bad_lines else "dim")
    for number, word in ((run.missing, "missing"), (run.dropped, "dropped by the writer")):
        if number:
            text.append(f"  {number:,} {word}", "bold yellow")
    if run.behind:
        text.append(f"  {size_text(run.bytes_total - run.bytes_read)} to go", "bold cyan")
    return text


def status_text(run: RunPosition, glyphs: Glyphs) -> Text:
    """Whether the run goes on; how much of it was read, where that is not all, since until then who knows."""
    if run.behind and run.status != "gone":
        share = 100 * run.bytes_read // max(1, run.bytes_total)
        return Text(f"{glyphs.statuses['running']} reading {share} %", "bold cyan")
    return Text(f"{glyphs.statuses[run.status]} {run.status}", STATUS_STYLES[run.status])


def _when(run: RunPosition, now: datetime, *, paused: bool) -> str:
    if run.last_event_at is None:
        return ""
    at, seconds = f"{run.last_event_at:%Y-%m-%d %H:%M:%S} UTC", (now - run.last_event_at).total_seconds()
    if run.behind:
        return f"up to {at}"
    if paused or run.status not in ("running", *_STOPPED):
        return f"last event {at}"  # where nothing more comes or is read, an age would stand still
    if run.status in _STOPPED:
        # Each second another age would be written to a terminal on which nothing happens.
        ago = "under a minute" if seconds < _MINUTE_S else age(seconds)
        return f"last event {ago} ago, {at}"
    return f"last event {age(seconds)} ago"
