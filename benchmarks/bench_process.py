"""What the server's query processes cost: a query's way there and back, and the memory of all of them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from benchmarks import processes
from benchmarks.events import make_events
from benchmarks.measure import MEDIUM, SMALL, Cost, cost_of, cpu_clock, median, options, report, save, sizes
from benchmarks.questions import LAST_CHANGES, QUESTIONS, literal
from benchmarks.sealing import sealed_copy
from esper.karn.store.database import Store
from esper.karn.store.worker import StoreWorker

ROWS = 100
QUIET_S = 0.2
"""Processes that use no CPU for so long have done what they do ahead of need."""


def main() -> None:
    parser = options(__doc__, events=[SMALL, MEDIUM], rounds=31)
    parser.add_argument("--runs", type=int, default=8, help="run folders that the events are spread over")
    arguments = parser.parse_args()
    if not processes.is_known():
        raise SystemExit("this benchmark needs Linux: no other system tells what it asks of processes")
    trips: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    for n_events in sizes(arguments):
        dataset = make_events(arguments.work_dir, n_events, n_runs=arguments.runs)
        with sealed_copy(dataset) as telemetry_dir:
            sql = literal(LAST_CHANGES, dataset.one_run)
            costs = anyio.run(round_trips, telemetry_dir, sql, arguments.rounds)
            row = {"events": dataset.n_events, "runs": arguments.runs}
            for way, cost in costs.items():
                row |= {f"{way} cpu ms": cost.cpu_s * 1e3, f"{way} wall ms": cost.wall_s * 1e3}
            trips.append(row)
            of_server = anyio.run(memory_of_server, telemetry_dir, dataset.one_run)
            memory.append({"events": dataset.n_events, "runs": arguments.runs, **of_server})
    report(f"a query of {ROWS} rows in this process and in the server's query process", trips)
    report("memory of the server after the six questions: PSS in MB", memory)
    save("process", arguments, {"round trips": trips, "memory": memory})


async def round_trips(telemetry_dir: Path, sql: str, rounds: int) -> dict[str, Cost]:
    """The same query both ways, CPU of the query processes included.

    Raises:
        SystemExit: if they do not answer alike.
    """
    found: dict[str, list[Cost]] = {"in process": [], "query process": []}
    worker = StoreWorker(telemetry_dir)
    with Store(telemetry_dir) as store:

        def ask_here() -> Any:
            store.refresh()
            return store.query(sql, limit=ROWS)

        here, there = ask_here(), await worker.run(Store.query, sql, limit=ROWS)
        if here != there:
            raise SystemExit(f"the query process answers {there.rows[:3]}..., not {here.rows[:3]}...")
        await _until_quiet()
        for _ in range(rounds):
            found["in process"].append(cost_of(ask_here))
            pids = processes.descendants(os.getpid())
            wall, cpu = time.perf_counter(), cpu_clock(pids)
            await worker.run(Store.query, sql, limit=ROWS)
            found["query process"].append(Cost(cpu_clock(pids) - cpu, time.perf_counter() - wall))
    await worker.close()
    return {way: median(costs) for way, costs in found.items()}


async def memory_of_server(telemetry_dir: Path, run_dir: str) -> dict[str, Any]:
    """PSS of ``karn mcp`` and of its query processes, once it has answered the six questions.

    Raises:
        SystemExit: if it refuses one.
    """
    command = ["-m", "esper", "mcp", "--telemetry-dir", str(telemetry_dir), "--query-timeout", "120"]
    async with Client(
        StdioServerParameters(command=sys.executable, args=command, env={**os.environ})
    ) as client:
        for name, sql in QUESTIONS.items():
            result = await client.call_tool("query_sql", {"sql": literal(sql, run_dir)})
            if result.is_error:
                raise SystemExit(f"{name}: the server says {result.content}")
        await _until_quiet()
        server, *others = processes.descendants(os.getpid())
        own, shares = processes.pss_mb(server), [processes.pss_mb(pid) for pid in others]
    known = [share for share in (own, *shares) if share is not None]
    return {
        "server": own,
        "query processes": len(others),
        "largest of them": max((share for share in shares if share is not None), default=None),
        "all": sum(known) if len(known) == 1 + len(shares) else None,
    }


async def _until_quiet() -> None:
    while True:
        pids = processes.descendants(os.getpid())
        before = cpu_clock(pids)
        await anyio.sleep(QUIET_S)
        if cpu_clock(pids) - before < QUIET_S / 20:
            return


if __name__ == "__main__":
    main()
