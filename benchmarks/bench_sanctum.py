"""Sanctum in a terminal of 140x40: CPU, bytes, latency, first screen and memory, beside other viewers."""

from __future__ import annotations

import argparse
import random
import re
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.events import make_events
from benchmarks.live import RUN, live_run
from benchmarks.measure import MEDIUM, options, report, save, sizes
from benchmarks.screen import Screen, Usage, screen
from benchmarks.toolong_alone import toolong_command
from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum.glyphs import UNICODE
from esper.simic.training.recorder import InternalOpRecorder

ROOT = Path(__file__).parents[1]
EVENTS_PER_S = 1_000.0
SHAPES = {64: (1, 8, 8), 256: (1, 32, 8), 1_152: (8, 16, 9)}
"""Rows: ranks, environments of each, slots of each."""
TICK_S = 0.25
ALTERNATE_SCREEN = b"\x1b[?1049h"
RUNNING, FINISHED = (UNICODE.statuses[status].encode() for status in ("running", "finished"))
"""Not the words: letters that stood in the same place before are not sent again."""
PAUSED = b"aused"


def main() -> None:
    parser = options(__doc__, events=[MEDIUM], rounds=3)
    parser.add_argument("--rows", type=int, nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of looking on, for each measurement")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds to read the history in, before")
    parser.add_argument("--markers", type=int, default=40, help="events whose way to the screen is timed")
    parser.add_argument("--without-toolong", action="store_true", help="installs nothing")
    arguments = parser.parse_args()
    if not processes.is_known():
        raise SystemExit("this benchmark needs Linux: no other system tells what it asks of processes")
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    toolong = "left out" if arguments.without_toolong else toolong_command(arguments.work_dir)
    if isinstance(toolong, str):
        print(f"no column for toolong: {toolong}", file=sys.stderr)
    live = live_rows(arguments, None if isinstance(toolong, str) else toolong)
    report(f"going on at {EVENTS_PER_S:,.0f} events/s, 4 looks a second: % of a core, and bytes", live)
    idle = idle_rows(arguments)
    report("nothing to show any more: % of a core, and bytes", idle)
    seen = [latency_row(arguments)]
    report("from an event's being written to its being on the screen", seen)
    large = [large_row(arguments, n_events) for n_events in sizes(arguments)]
    report("a large run: seconds to the first screen after the imports, until all is read; memory", large)
    save("sanctum", arguments, {"live": live, "idle": idle, "latency": seen, "large": large})


def sanctum(telemetry_dir: Path, run_dir: str) -> list[str]:
    """The viewer's command."""
    return [sys.executable, "-m", "esper", "sanctum", "--telemetry-dir", str(telemetry_dir), "--", run_dir]


def script(name: str, *arguments: Path) -> list[str]:
    """A viewer of the benchmark's own."""
    return [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *map(str, arguments)]


def live_rows(arguments: argparse.Namespace, toolong: Sequence[str] | None) -> list[dict[str, Any]]:
    """Each viewer beside a run that is being written, round by round, so that all meet the same machine."""
    cases: dict[tuple[int, str], Callable[[], Usage]] = {}
    for rows in arguments.rows:
        # Of several files toolong follows only the one on top.
        for way in ("sanctum", "seed widget", *(["toolong"] if toolong and SHAPES[rows][0] == 1 else [])):
            cases[rows, way] = partial(live_usage, arguments, rows, way, toolong)
    found: dict[tuple[int, str], list[Usage]] = {case: [] for case in cases}
    for _ in range(arguments.rounds):
        for case, measure in cases.items():
            found[case].append(measure())
    table = []
    for rows in arguments.rows:
        medians = {way: _median(usages) for (of, way), usages in found.items() if of == rows}
        row: dict[str, Any] = {"rows": rows}
        for way, usage in medians.items():
            row |= {f"{way} cpu %": usage.cpu_percent, f"{way} B/s": usage.bytes_per_s}
        ours = medians["sanctum"]
        fewest = _median(found[arguments.rows[0], "sanctum"])
        row[f"cpu sanctum/{arguments.rows[0]} rows"] = ours.cpu_percent / fewest.cpu_percent
        for way, usage in medians.items():
            if way != "sanctum":
                row[f"cpu {way}/sanctum"] = usage.cpu_percent / ours.cpu_percent
                row[f"B/s {way}/sanctum"] = usage.bytes_per_s / max(ours.bytes_per_s, 1.0)
        table.append(row)
    return table


def live_usage(arguments: argparse.Namespace, rows: int, way: str, toolong: Sequence[str] | None) -> Usage:
    """One viewer, for a while, after its first screen."""
    with tempfile.TemporaryDirectory(dir=arguments.work_dir, prefix="live-") as folder:
        telemetry_dir = Path(folder)
        with live_run(telemetry_dir, *SHAPES[rows], EVENTS_PER_S):
            run = telemetry_dir / RUN
            commands = {
                "sanctum": sanctum(telemetry_dir, RUN),
                "seed widget": script("seed_widget", run),
                "toolong": [*(toolong or []), *map(str, sorted(run.glob("*.jsonl")))],
            }
            with screen(commands[way]) as shown:
                shown.wait_for(ALTERNATE_SCREEN)
                time.sleep(arguments.settle)
                return shown.usage(arguments.seconds)


def idle_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A run that is over, one that is paused while it goes on, and an empty app."""
    cases = {"empty app": empty_usage, "sanctum, ended run": ended_usage, "sanctum, paused": paused_usage}
    found: dict[str, list[Usage]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, measure in cases.items():
            found[name].append(measure(arguments))
    medians = {name: _median(usages) for name, usages in found.items()}
    floor = medians["empty app"].cpu_percent
    return [
        {
            "viewer": name,
            "cpu %": usage.cpu_percent,
            "points above the empty app": usage.cpu_percent - floor,
            "bytes": usage.bytes_per_s * arguments.seconds,
            "seconds": arguments.seconds,
        }
        for name, usage in medians.items()
    ]


def empty_usage(arguments: argparse.Namespace) -> Usage:
    """A Textual app with nothing on it."""
    with screen(script("empty_app")) as shown:
        shown.wait_for(ALTERNATE_SCREEN)
        shown.wait_until_quiet()
        return shown.usage(arguments.seconds)


def ended_usage(arguments: argparse.Namespace) -> Usage:
    """A recorded run that finished."""
    with screen(sanctum(ROOT / "examples" / "telemetry", "oscillate")) as shown:
        shown.wait_for(FINISHED)
        shown.wait_until_quiet()
        return shown.usage(arguments.seconds)


def paused_usage(arguments: argparse.Namespace) -> Usage:
    """A run that goes on being written, while the viewer stands still."""
    with tempfile.TemporaryDirectory(dir=arguments.work_dir, prefix="live-") as folder:
        with live_run(Path(folder), *SHAPES[64], EVENTS_PER_S):
            with screen(sanctum(Path(folder), RUN)) as shown:
                shown.wait_for(RUNNING)
                shown.press("p")
                shown.wait_for(PAUSED)
                shown.wait_until_quiet()
                return shown.usage(arguments.seconds)


def latency_row(arguments: argparse.Namespace) -> dict[str, Any]:
    """Level changes in slots of an unmistakable name, at random moments, among other events."""
    with tempfile.TemporaryDirectory(dir=arguments.work_dir, prefix="live-") as folder:
        with TelemetryCollector(Path(folder), RUN, envs_per_rank=2) as collector:
            recorder = InternalOpRecorder(collector)
            recorder.training_started()
            with screen(sanctum(Path(folder), RUN)) as shown:
                shown.wait_for(RUNNING)
                time.sleep(arguments.settle)
                waits = _marker_waits(shown, recorder, arguments.markers)
    ordered = sorted(waits)
    return {
        "markers": len(waits),
        "tick ms": TICK_S * 1e3,
        "median ms": statistics.median(ordered) * 1e3,
        "95th percentile ms": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] * 1e3,
        "worst ms": ordered[-1] * 1e3,
    }


def _marker_waits(shown: Screen, recorder: InternalOpRecorder, n_markers: int) -> list[float]:
    dice = random.Random(0)
    waits = []
    epoch = 0
    for number in range(n_markers):
        # No cell has the letter that stood there before, so that a viewer that sends only what is
        # different has to send all of it.
        slot = string.ascii_letters[number % 52] * 7
        until = time.perf_counter() + TICK_S + dice.random()
        while time.perf_counter() < until:
            epoch += 1
            recorder.epoch_end(1, epoch, 1.0, 0.5)
            time.sleep(1 / EVENTS_PER_S)
        if number < 52:
            recorder.seed_added(0, slot, 1, 4)
        shown.forget()
        written = time.perf_counter()
        recorder.level_changed(0, slot, 1 + number // 52 % 2, 2 - number // 52 % 2)
        waits.append(shown.wait_for(slot.encode()) - written)
    return waits


def large_row(arguments: argparse.Namespace, n_events: int) -> dict[str, Any]:
    """A run of many events that is over: opened, and read to its end."""
    dataset = make_events(arguments.work_dir, n_events, n_runs=1, n_slots=8)
    firsts, ends, memory, peaks = [], [], [], []
    for _ in range(arguments.rounds):
        with screen(sanctum(dataset.telemetry, dataset.one_run)) as shown:
            # The imports are over when the program takes the terminal.
            begun = shown.wait_for(ALTERNATE_SCREEN)
            shown.forget()
            firsts.append(shown.wait_for(dataset.one_run.encode()) - begun)
            ends.append(shown.wait_until_quiet() - begun)
            memory.append(processes.pss_mb(shown.pid) or 0.0)
            peaks.append(_peak_mb(shown.pid))
    return {
        "events": dataset.n_events,
        "MB of files": dataset.n_bytes / 1e6,
        "first screen s": statistics.median(firsts),
        "all read s": statistics.median(ends),
        "PSS MB": statistics.median(memory),
        "peak RSS MB": statistics.median(peaks),
    }


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1000


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(
        statistics.median(usage.cpu_percent for usage in usages),
        statistics.median(usage.bytes_per_s for usage in usages),
    )


if __name__ == "__main__":
    main()
