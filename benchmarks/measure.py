"""Measuring several ways of doing one thing against each other, and saying what came of it."""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars

SMALL, MEDIUM, LARGE = 100_000, 1_000_000, 10_000_000
"""Sizes in events."""


class Cost(NamedTuple):
    """What one call took; CPU of all threads, and of children where the caller says so."""

    cpu_s: float
    wall_s: float


def cpu_clock(pids: Iterable[int] = ()) -> float:
    """CPU seconds of this process and of others that run; Linux keeps a clock for each."""
    return time.process_time() + sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def cost_of(function: Callable[[], object], pids: Iterable[int] = ()) -> Cost:
    """Call once.

    Args:
        function: what is measured.
        pids: processes that work for it.
    """
    pids = list(pids)
    gc.collect()
    wall, cpu = time.perf_counter(), cpu_clock(pids)
    function()
    return Cost(cpu_clock(pids) - cpu, time.perf_counter() - wall)


def median(costs: Sequence[Cost]) -> Cost:
    """CPU and wall, each its own median."""
    return Cost(statistics.median(c.cpu_s for c in costs), statistics.median(c.wall_s for c in costs))


def interleave(
    cases: Mapping[str, Callable[[], Cost]], rounds: int, *, warm_up: bool = True
) -> dict[str, Cost]:
    """Measure A B C, A B C and so on, so that whatever slows the machine slows all of them.

    Args:
        cases: each measures itself once, so that what it needs beforehand does not count.
        rounds: medians are over these.
        warm_up: whether a round that does not count goes first.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    for number in range(rounds + warm_up):
        for name, case in cases.items():
            cost = case()
            if number >= warm_up:
                costs[name].append(cost)
    return {name: median(found) for name, found in costs.items()}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """Slope of log cost on log size: 1 where twice the size costs twice as much; None for one size."""
    if len(sizes) < 2:
        return None
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(c) for c in costs]).slope


def options(description: str | None, *, events: Sequence[int], rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        description: for its help.
        events: default sizes.
        rounds: default number of rounds.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--events", type=int, nargs="+", default=list(events), help="sizes in events")
    parser.add_argument("--large", action="store_true", help="10 million events as well")
    parser.add_argument("--rounds", type=int, default=rounds, help="medians are over these")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir(), f"karn-benchmarks-{os.getuid()}"),
        help="where events are kept from one benchmark to the next",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        help="folder of the JSON files",
    )
    return parser


def sizes(arguments: argparse.Namespace) -> list[int]:
    """The sizes that were asked for."""
    return [*arguments.events, *([LARGE] if arguments.large else [])]


def report(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table; a number is shown with three digits."""
    print(f"\n{title}")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_shown(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        first, *rest = (
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip(), flush=True)


def save(name: str, arguments: argparse.Namespace, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write what was measured to ``<results>/<name>.json``, with what it was measured on."""
    arguments.results.mkdir(parents=True, exist_ok=True)
    measured = {
        "benchmark": name,
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "polars": polars.__version__,
        "rounds": arguments.rounds,
        "tables": tables,
    }
    path = arguments.results / f"{name}.json"
    path.write_text(json.dumps(measured, indent=1) + "\n")
    print(f"\nwritten: {path.name}", file=sys.stderr)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
