"""A fresh process to its first answer from sealed events, beside one that imports DuckDB and asks nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

from benchmarks.events import make_events
from benchmarks.measure import MEDIUM, SMALL, Cost, interleave, options, report, save, sizes
from benchmarks.questions import THRASH_CHECK
from benchmarks.sealing import sealed_copy

ANSWER = """
import sys
from pathlib import Path
from esper.karn.store.database import Store
store = Store(Path(sys.argv[1]))
store.refresh()
print(len(store.select(sys.argv[2], [sys.argv[3]]).columns))
"""
NOTHING = "import duckdb; print(duckdb.sql('SELECT 1').fetchall())"


def main() -> None:
    parser = options(__doc__, events=[SMALL, MEDIUM], rounds=7)
    parser.add_argument("--runs", type=int, default=8, help="run folders that the events are spread over")
    arguments = parser.parse_args()
    rows = []
    for n_events in sizes(arguments):
        dataset = make_events(arguments.work_dir, n_events, n_runs=arguments.runs)
        with sealed_copy(dataset) as telemetry_dir:
            costs = interleave(
                {
                    "karn": partial(
                        process_cost, ANSWER, str(telemetry_dir), THRASH_CHECK, dataset.one_run, says=b"4\n"
                    ),
                    "duckdb": partial(process_cost, NOTHING, says=b"[(1,)]\n"),
                },
                arguments.rounds,
            )
        row = {"events": dataset.n_events, "runs": arguments.runs}
        for way, cost in costs.items():
            row |= {f"{way} cpu ms": cost.cpu_s * 1e3, f"{way} wall ms": cost.wall_s * 1e3}
        rows.append(row | {"cpu karn/duckdb": costs["karn"].cpu_s / costs["duckdb"].cpu_s})
    report("a fresh process to its first answer, and to SELECT 1 of bare DuckDB", rows)
    save("cold", arguments, {"cold": rows})


def process_cost(code: str, *arguments: str, says: bytes) -> Cost:
    """Of a whole Python process, from its start to its end, its children included.

    Args:
        code: what it runs.
        arguments: for it.
        says: what it must print.

    Raises:
        SystemExit: if it fails, or prints something else.
    """
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or said != says:
        raise SystemExit(f"a process ended with {process.returncode} and said {said!r}, not {says!r}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


if __name__ == "__main__":
    main()
