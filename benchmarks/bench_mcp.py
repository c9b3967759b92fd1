"""What the MCP server adds to the least server there is: at its start, to a call, and under many calls."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from benchmarks.events import make_events
from benchmarks.measure import MEDIUM, Cost, cost_of, interleave, options, report, save, sizes
from benchmarks.sealing import sealed_copy
from esper.karn.store.database import Store

TRIVIAL = ["-m", "benchmarks.trivial_server"]
TOOL, ARGUMENTS = "internal_op_summary", {"limit": 10}
SQL = 'SELECT * FROM "internal_op_summary" ORDER BY run_dir, slot_id LIMIT 11'
CONCURRENCY = 20
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "0"},
    },
}


def main() -> None:
    parser = options(__doc__, events=[MEDIUM], rounds=15)
    parser.add_argument("--runs", type=int, default=8, help="run folders that the events are spread over")
    parser.add_argument("--calls", type=int, default=500, help="calls at once over HTTP")
    arguments = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {"start": [], "round trip": [], "http": []}
    for n_events in sizes(arguments):
        dataset = make_events(arguments.work_dir, n_events, n_runs=arguments.runs)
        with sealed_copy(dataset) as folder:
            about = {"events": dataset.n_events, "runs": arguments.runs}
            tables["start"].append(about | start(folder, arguments.rounds))
            tables["round trip"].append(about | anyio.run(round_trip, folder, 10 * arguments.rounds))
            tables["http"].append(about | many_calls(folder, arguments.calls))
    report("spawn to answered initialize", tables["start"])
    report(
        f"round trip of {TOOL} (10 rows) and of a trivial tool over stdio: median wall ms",
        tables["round trip"],
    )
    report(f"calls at concurrency {CONCURRENCY} over HTTP: wall ms a call", tables["http"])
    save("mcp", arguments, tables)


def start(folder: Path, rounds: int) -> dict[str, Any]:
    """From the start of a process to its answer, and what it used until then and its end."""
    costs = interleave(
        {"karn": partial(start_cost, karn(folder)), "trivial": partial(start_cost, TRIVIAL)}, rounds
    )
    row = {
        f"{way} {kind} ms": value * 1e3
        for way, cost in costs.items()
        for kind, value in (("cpu", cost.cpu_s), ("wall", cost.wall_s))
    }
    ratios = {
        "cpu karn/trivial": costs["karn"].cpu_s / costs["trivial"].cpu_s,
        "wall karn/trivial": costs["karn"].wall_s / costs["trivial"].wall_s,
    }
    return row | ratios


def karn(folder: Path) -> list[str]:
    """The arguments of Python that serve a folder."""
    return ["-m", "esper", "mcp", "--telemetry-dir", str(folder)]


def start_cost(command: list[str]) -> Cost:
    """Wall time to the answer; CPU of the whole process.

    Raises:
        SystemExit: if it does not answer.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    wall = time.perf_counter() - begun
    process.stdin.close()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if b'"serverInfo"' not in answer:
        raise SystemExit(f"{command} answers {answer!r}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


async def round_trip(folder: Path, rounds: int) -> dict[str, Any]:
    """A view's tool, and a tool that does nothing, one call after the other."""
    walls: dict[str, list[float]] = {"karn": [], "trivial": []}
    async with over_stdio(karn(folder)) as ours, over_stdio(TRIVIAL) as theirs:
        calls = {"karn": partial(call_ours, ours), "trivial": partial(theirs.call_tool, "hello", {})}
        for number in range(rounds + 5):
            for way, call in calls.items():
                wall = await wall_of(call)
                if number >= 5:
                    walls[way].append(wall)
    medians = {way: statistics.median(found) * 1e3 for way, found in walls.items()}
    return {**medians, "difference": medians["karn"] - medians["trivial"]}


def many_calls(folder: Path, n_calls: int) -> dict[str, Any]:
    """Many calls at once over HTTP, and the same query without a server."""
    with Store(folder) as store:
        store.refresh()
        bare = statistics.median(
            cost_of(lambda: json.dumps(store.select(SQL).rows)).wall_s for _ in range(50)
        )
    with over_http([*karn(folder), "--http"], "127.0.0.1:") as ours, over_http(TRIVIAL, "") as theirs:
        found = {
            "karn": anyio.run(at_once, ours, call_ours, n_calls),
            "trivial": anyio.run(at_once, theirs, lambda client: client.call_tool("hello", {}), n_calls),
        }
    goal = found["trivial"] + 1.3 * bare * 1e3
    return {
        "calls": n_calls,
        **found,
        "bare query": bare * 1e3,
        "goal": goal,
        "karn/goal": found["karn"] / goal,
    }


async def at_once(url: str, call: Callable[[Client], Awaitable[Any]], n_calls: int) -> float:
    """Wall time a call [ms], once every client and every query process has begun."""
    left = iter(range(n_calls))

    async with Client(url) as client:

        async def one_after_another() -> None:
            for _ in left:
                await call(client)

        async def crowd() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(CONCURRENCY):
                    tasks.start_soon(one_after_another)

        left = iter(range(5 * CONCURRENCY))
        await crowd()
        left = iter(range(n_calls))
        return await wall_of(crowd) / n_calls * 1e3


async def call_ours(client: Client) -> None:
    """Ten rows of a view.

    Raises:
        SystemExit: if they do not come.
    """
    result = await client.call_tool(TOOL, ARGUMENTS)
    if result.is_error or result.structured_content["row_count"] != ARGUMENTS["limit"]:
        raise SystemExit(f"{TOOL} answers {result.content}")


async def wall_of(call: Callable[[], Awaitable[Any]]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    await call()
    return time.perf_counter() - begun


@asynccontextmanager
async def over_stdio(command: list[str]) -> AsyncIterator[Client]:
    """A client of a server that it starts."""
    async with Client(
        StdioServerParameters(command=sys.executable, args=command, env={**os.environ})
    ) as client:
        yield client


@contextmanager
def over_http(command: list[str], host: str) -> Iterator[str]:
    """A server's address while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command, f"{host}{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
