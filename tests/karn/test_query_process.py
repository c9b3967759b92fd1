"""Queries run in processes of their own: limited, killed when late or unwanted, gone with their server."""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import pytest_asyncio

from esper.karn.mcp.standing import _known_gaps, standing
from esper.karn.store.database import Store
from esper.karn.store.processes import PROCESSES
from esper.karn.store.query_process import MAX_REPLY_BYTES, MEMORY_EXIT
from esper.karn.store.worker import StoreWorker
from esper.leyline.errors import KarnError, QueryError, QueryMemoryError, QueryTimeoutError
from support import run_python, write_run

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1"
DEAF = "SELECT levenshtein(repeat('ab', 400000), repeat('ba', 400000))"
"""Heeds no interrupt for minutes."""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="children are counted in /proc")


def subclasses(error: type[KarnError]) -> Iterator[type[KarnError]]:
    yield error
    for lower in error.__subclasses__():
        yield from subclasses(lower)


@pytest_asyncio.fixture
async def worker(tmp_path: Path) -> AsyncIterator[StoreWorker]:
    write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    worker = StoreWorker(tmp_path)
    yield worker
    await worker.close()


# What the processes are told to run.


def pid(store: Store) -> int:
    return os.getpid()


def fail(store: Store, error: Exception) -> None:
    raise error


def query(store: Store, sql: str, timeout_s: float = 3600.0) -> list[list[object]]:
    return store.query(sql, limit=10, timeout_s=timeout_s).rows


def work_then_query(store: Store, work_s: float, timeout_s: float) -> list[list[object]]:
    begun = time.monotonic()
    while time.monotonic() - begun < work_s:
        store.select("SELECT 1")
    return query(store, "SELECT 1", timeout_s)


def tell_then_query(store: Store, fifo: str, sql: str) -> None:
    Path(fifo).write_text(str(os.getpid()))
    query(store, sql)


def count_known_gaps(store: Store) -> int:
    standing(store)
    return len(_known_gaps)


def take_memory(store: Store, size: int) -> int:
    return len(bytes(size))


def many_bytes(store: Store, size: int) -> str:
    return "x" * size


def print_everywhere(store: Store) -> str:
    print("text")
    os.write(1, b"bytes\n")
    os.write(2, b"bytes\n")
    return sys.stdin.read() + "printed"


def environment(store: Store) -> dict[str, str]:
    return dict(os.environ)


# Answers and errors.


async def test_a_process_and_its_store_serve_call_after_call(worker: StoreWorker) -> None:
    first = await worker.run(pid)
    assert first != os.getpid()
    assert await worker.run(count_known_gaps) == 1
    assert await worker.run(count_known_gaps) == 1
    assert await worker.run(pid) == first


@pytest.mark.parametrize("error", subclasses(KarnError))
async def test_every_error_of_the_tree_survives(worker: StoreWorker, error: type[KarnError]) -> None:
    given = error("what is wrong, and what would be right")
    assert str(pickle.loads(pickle.dumps(given))) == str(given)
    with pytest.raises(error) as caught:
        await worker.run(fail, given)
    assert type(caught.value) is error
    if error is not QueryMemoryError:  # told in one text, whatever raised it
        assert str(caught.value) == str(given)


async def test_a_bug_brings_its_traceback_for_the_log(worker: StoreWorker) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by nought") as caught:
        await worker.run(fail, ZeroDivisionError("by nought"))
    assert "in fail" in caught.value.__notes__[0]


async def test_an_answer_is_bounded_in_bytes(worker: StoreWorker) -> None:
    assert len(await worker.run(many_bytes, 7_000_000)) == 7_000_000
    with pytest.raises(QueryError, match="of 8 at most"):
        await worker.run(many_bytes, MAX_REPLY_BYTES)


async def test_what_prints_does_not_disturb_the_pipe(worker: StoreWorker) -> None:
    assert await worker.run(print_everywhere) == "printed"


async def test_secrets_of_the_servers_environment_stay_there(
    worker: StoreWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    assert "secret" not in (await worker.run(environment)).values()


# Limits.


async def test_a_query_that_heeds_its_deadline_keeps_its_process(worker: StoreWorker) -> None:
    before = await worker.run(pid)
    with pytest.raises(QueryTimeoutError, match=r"ran past its 0\.2 s"):
        await worker.run_sql("", query, ENDLESS, 0.2)
    assert await worker.run(pid) == before


async def test_a_query_that_does_not_is_ended_with_its_process(worker: StoreWorker) -> None:
    before = await worker.run(pid)
    with pytest.raises(QueryTimeoutError, match=r"ran past its 0\.2 s; filter by run_dir"):
        await worker.run_sql("", query, DEAF, 0.2)
    assert await worker.run(pid) != before


async def test_what_comes_before_a_query_is_not_held_against_its_deadline(worker: StoreWorker) -> None:
    assert await worker.run_sql("", work_then_query, 1.0, 0.2) == [[1]]


@on_linux
async def test_memory_is_refused_and_all_of_it_given_back(worker: StoreWorker) -> None:
    before = await worker.run(pid)
    with pytest.raises(QueryMemoryError, match="ran out of memory"):
        await worker.run(take_memory, 2_000_000_000)
    assert await worker.run(pid) != before


async def test_a_process_of_another_version_ends_and_says_why(
    worker: StoreWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esper.karn.store.processes.PROTOCOL", "karn query process 1, 0.0.1")
    with pytest.raises(QueryError, match="Karn was updated while this server ran"):
        await worker.run(Store.run_names)


def test_where_the_kernel_limits_no_memory_a_watchdog_does() -> None:
    code = """
from esper.karn.store.query_process import start_memory_watchdog
start_memory_watchdog(300_000_000)
taken = bytearray(400_000_000)
while True:
    pass
"""
    assert run_python(code, check=False).returncode == MEMORY_EXIT


async def test_a_cancelled_call_ends_its_process(worker: StoreWorker, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run, tell_then_query, str(fifo), DEAF)
        running = int(await anyio.to_thread.run_sync(fifo.read_text))
        tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(running, 0)
    assert await worker.run_sql("", query, "SELECT 1") == [[1]]


async def test_slow_queries_of_one_client_hold_up_no_other(worker: StoreWorker) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(worker.run_sql, "slow", query, DEAF)
        for _ in range(5):
            assert await worker.run_sql("other", query, "SELECT 1") == [[1]]
            assert await worker.run(pid)
        assert len(children(os.getpid())) <= PROCESSES
        tasks.cancel_scope.cancel()


# The end of the server.


def children(parent: int) -> set[int]:
    if sys.platform != "linux":
        return set()
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return {int(number) for task in tasks for number in (task / "children").read_text().split()}


@contextmanager
def serving(folder: Path, sql: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server whose one process has answered; another one works on ``sql`` from then on."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "esper",
        "mcp",
        "-d",
        str(folder),
        "--query-timeout",
        "600",
    ]
    calls = [
        (
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "0"},
            },
        ),
        ("tools/call", {"name": "list_runs", "arguments": {}}),
        ("tools/call", {"name": "query_sql", "arguments": {"sql": sql}}),
        ("tools/call", {"name": "list_runs", "arguments": {}}),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for number, (method, params) in enumerate(calls):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            server.stdin.write(json.dumps(message).encode() + b"\n")
            server.stdin.flush()
            if sql not in params.get("arguments", {}).values():
                assert json.loads(server.stdout.readline())["id"] == number
        yield server
        server.kill()


@on_linux
@pytest.mark.parametrize("sql", [ENDLESS, DEAF], ids=["endless", "deaf"])
@pytest.mark.parametrize("end", ["closes stdin", signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_no_process_outlives_the_server(tmp_path: Path, end: str | signal.Signals, sql: str) -> None:
    write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    with serving(tmp_path, sql) as server:
        running = [os.pidfd_open(child) for child in children(server.pid)]
        assert len(running) >= 2
        wire = {f"pipe:[{os.fstat(pipe.fileno()).st_ino}]" for pipe in (server.stdin, server.stdout)}
        for child in children(server.pid):
            # realpath, as readlink would fail where a process closes a file meanwhile
            assert not wire & {Path(os.path.realpath(e)).name for e in Path(f"/proc/{child}/fd").iterdir()}
        server.stdin.close() if isinstance(end, str) else server.send_signal(end)
        server.wait(30)
        for child_end in running:
            assert select.select([child_end], [], [], 30)[0], "a query process lives on"
            os.close(child_end)


def test_the_server_loads_no_database(tmp_path: Path) -> None:
    write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    code = """
import sys
from pathlib import Path
import anyio
from mcp import Client
from esper.karn.mcp.server import build_server
async def main():
    async with Client(build_server(Path(sys.argv[1]))) as client:
        await client.list_tools()
        for tool, given in (("list_runs", {}), ("query_sql", {"sql": "FROM runs"}), ("thrash_verdict", {}),
                            ("query_sql", {"sql": "FROM nowhere"}), ("thrash_check", {}), ("epochs", {})):
            await client.call_tool(tool, given)
        await client.read_resource("karn://runs/run")
anyio.run(main)
loaded = {"duckdb", "_duckdb", "numpy", "pyarrow"} & sys.modules.keys()
assert not loaded, loaded
"""
    run_python(code, tmp_path)
