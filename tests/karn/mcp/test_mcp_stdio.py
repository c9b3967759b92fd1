"""``karn mcp`` as a host starts it: from any folder, its output clean, and gone when told to go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_support import ask, connect_over_stdio, dicts

from esper.karn.mcp.folder import find_telemetry_dir
from support import ROOT, run_python, write_run

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has answered ``initialize``."""
    command = [sys.executable, "-W", "error", "-m", "esper", "mcp", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=cwd, **pipes) as process:  # type: ignore[call-overload]
        try:
            send(process, HELLO)
            assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "karn"
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


@pytest.mark.parametrize("cwd", [ROOT, Path("/")])
async def test_mcp_json_works_from_the_repository_and_from_anywhere(cwd: Path) -> None:
    entry = json.loads((ROOT / "mcp.json").read_text())["mcpServers"]["karn"]
    parameters = StdioServerParameters(
        command=entry["command"], args=entry["args"], env={**entry["env"], "PATH": PATH}, cwd=cwd
    )
    recorded = {path.parent.name for path in ROOT.glob("examples/telemetry/*/events.jsonl")}
    async with Client(parameters) as client:
        assert {run["run_dir"] for run in dicts(await ask(client, "list_runs"))} == recorded


def test_mcp_json_says_what_it_looked_for(tmp_path: Path) -> None:
    entry = json.loads((ROOT / "mcp.json").read_text())["mcpServers"]["karn"]
    done = subprocess.run(
        [entry["command"], *entry["args"]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 127
    (line,) = done.stderr.splitlines()
    assert f"no karn command in {tmp_path}/.venv/bin:" in line


def test_a_wrong_folder_gives_one_line_and_is_waited_for(tmp_path: Path) -> None:
    with started("--telemetry-dir", "nowhere", cwd=tmp_path) as process:
        process.stdin.close()
        assert process.wait(timeout=30) == 0
        (line,) = process.stderr.read().decode().splitlines()
    assert line == (
        f"karn: no telemetry folder at {tmp_path}/nowhere or {ROOT}/nowhere; waiting for {tmp_path}/nowhere"
    )


def test_a_relative_folder_is_looked_for_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_telemetry_dir(Path("examples/telemetry")).path == ROOT / "examples/telemetry"
    (tmp_path / "examples/telemetry").mkdir(parents=True)
    assert find_telemetry_dir(Path("examples/telemetry")).path == tmp_path / "examples/telemetry"
    assert find_telemetry_dir(tmp_path / "other").tried == (tmp_path / "other",)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(number: signal.Signals, tmp_path: Path) -> None:
    with started("--telemetry-dir", str(tmp_path), cwd=tmp_path) as process:
        process.send_signal(number)
        assert process.wait(timeout=10) == -number
        assert process.stderr.read() == b""


def test_it_ends_with_its_client_though_a_query_runs(two_runs: Path, tmp_path: Path) -> None:
    with started("--telemetry-dir", str(two_runs), "--query-timeout", "3600", cwd=tmp_path) as process:
        send(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        send(process, {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "list_runs"}})
        assert json.loads(process.stdout.readline())["id"] == 9, "the store is open"
        call = {"name": "query_sql", "arguments": {"sql": ENDLESS}}
        send(process, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call})
        send(process, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
        assert json.loads(process.stdout.readline())["id"] == 3, "others are served meanwhile"
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_standard_output_is_protocol_alone(two_runs: Path, tmp_path: Path) -> None:
    calls = [
        {"name": "query_sql", "arguments": {"sql": "SELEC"}},
        {"name": "query_sql", "arguments": {"sql": "SELECT chr(10) || 'two lines'"}},
        {"name": "nothing", "arguments": {}},
        {"name": "list_runs", "arguments": {"limit": 0}},
    ]
    with started("--telemetry-dir", str(two_runs), cwd=tmp_path) as process:
        send(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        process.stdin.write(b"not JSON\n")
        for number, call in enumerate(calls, 2):
            send(process, {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
        answers = [json.loads(process.stdout.readline()) for _ in calls]
        assert {answer["id"] for answer in answers} == {2, 3, 4, 5}
        assert all(answer["jsonrpc"] == "2.0" and "result" in answer for answer in answers)


async def test_a_cancelled_call_holds_up_nobody(two_runs: Path) -> None:
    async with connect_over_stdio(two_runs) as client:
        with anyio.move_on_after(0.3):
            await client.call_tool("query_sql", {"sql": ENDLESS})
            pytest.fail("an endless query ended")
        assert (await ask(client, "list_runs"))["row_count"] == 2


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
async def test_both_protocol_revisions_are_spoken(mode: str, version: str, telemetry: Path) -> None:
    write_run(telemetry, "run")
    async with connect_over_stdio(telemetry, mode) as client:
        assert client.protocol_version == version
        assert (await ask(client, "list_runs"))["row_count"] == 1


def test_a_server_that_nobody_asks_loads_no_database() -> None:
    run_python(
        """
import sys
from pathlib import Path
from esper.karn.mcp.server import build_server
build_server(Path("nowhere"))
loaded = sys.modules.keys() & {"duckdb", "torch", "textual", "numpy", "esper.karn.sanctum", "esper.simic"}
assert not loaded, loaded
"""
    )
