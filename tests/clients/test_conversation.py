"""Whole conversations by clients that nobody here wrote, over both transports and in both revisions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from servers import FASTMCP_PYTHON, HERE, NODE, http_command, served, stdio_command

OLD, NEW = "2025-11-25", "2026-07-28"
SDK_V1 = [str(NODE), str(HERE / "sdk_v1.mjs")]
CLIENT_V2 = [str(NODE), str(HERE / "client_v2.mjs")]
FASTMCP = [str(FASTMCP_PYTHON), str(HERE / "fastmcp_client.py")]
CLIENTS = [
    pytest.param(SDK_V1, OLD, id="typescript v1, 2025-11-25"),
    pytest.param(CLIENT_V2, OLD, id="typescript v2, 2025-11-25"),
    pytest.param(CLIENT_V2, NEW, id="typescript v2, 2026-07-28"),
    pytest.param(FASTMCP, OLD, id="fastmcp, 2025-11-25"),
    pytest.param(FASTMCP, NEW, id="fastmcp, 2026-07-28"),
]


@pytest.mark.parametrize(("client", "revision"), CLIENTS)
def test_over_stdio(client: list[str], revision: str, runs: Path) -> None:
    check(converse(client, revision, runs, command=stdio_command(runs)), revision)


@pytest.mark.parametrize(("client", "revision"), CLIENTS)
def test_over_http(client: list[str], revision: str, runs: Path, tmp_path: Path) -> None:
    with served(http_command(runs), tmp_path / "server.log") as url:
        check(converse(client, revision, runs, url=url), revision)


def converse(client: list[str], revision: str, runs: Path, **server: Any) -> dict[str, Any]:
    """Let a client say what talk.mjs says; the answers."""
    given = {**server, "revision": revision, "events": str(runs / "oscillate/events.jsonl")}
    done = subprocess.run([*client, json.dumps(given)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def check(said: dict[str, Any], revision: str) -> None:
    """The answers are right, and those of the recorded run."""
    assert said["revision"] == revision
    assert said["server"]["name"] == "karn"
    assert said["instructions"].startswith("Karn records trainings")
    check_lists(said)
    check_tools(said)
    check_resources(said)

    (message,) = said["prompt"]["messages"]
    assert 'Call thrash_verdict(run_dir="oscillate")' in message["content"]["text"]
    assert said["completion"]["completion"]["values"] == ["oscillate"]
    assert said["told"] == "karn://runs/oscillate"


def check_lists(said: dict[str, Any]) -> None:
    assert said["tools"][0] == "thrash_verdict"
    assert {"list_runs", "describe_views", "internal_op_summary", "query_sql"} <= set(said["tools"])
    assert {"karn://guide", "karn://views", "karn://runs", "karn://runs/oscillate"} <= set(said["resources"])
    assert {"karn://views/{view}", "karn://runs/{run_dir}", "karn://runs/{run_dir}/{view}"} == set(
        said["templates"]
    )
    assert {"diagnose_thrash", "do_grow_ops_help"} <= set(said["prompts"])


def check_tools(said: dict[str, Any]) -> None:
    verdict = said["verdict"]
    assert verdict["structuredContent"]["band"] == "thrash"
    assert verdict["content"][0]["text"].startswith("run oscillate (finished): THRASHING\n")
    assert not verdict.get("isError")

    rows = [row for page in said["pages"] for row in page["rows"]]
    assert [page["row_count"] for page in said["pages"]] == [1, 1]
    assert said["pages"][0]["columns"][:2] == ["run_dir", "slot_id"]
    assert sorted(row[1] for row in rows) == ["r0c0", "r0c1"]

    assert said["sql"]["structuredContent"]["rows"] == [["heuristic"], ["oscillate"]]
    assert said["sql"]["structuredContent"]["columns"] == ["run_dir"]
    assert said["refused"]["isError"]
    assert "slot_thrash" in said["refused"]["content"][0]["text"], "the nearest view is named"


def check_resources(said: dict[str, Any]) -> None:
    assert said["guide"]["mimeType"] == "text/markdown"
    assert "reversal rate" in said["guide"]["text"]
    assert {run["run_dir"] for run in json.loads(said["runs"]["text"])["runs"]} == {"heuristic", "oscillate"}
    assert "reversal_rate" in said["view"]["text"]
