"""The MCP Inspector's command line, with its strict lint, over both transports and in both revisions."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import HERE, NODE, ROOT, http_command, served, stdio_command

INSPECTOR = [str(NODE), str(HERE / "node_modules/.bin/inspector"), "--cli"]
RUNS = ROOT / "examples/telemetry"


class Inspector:
    """Calls the Inspector with one server.

    Args:
        era: of the protocol, as the Inspector names it.
        server: what it needs to know of the server: a command or options.
        home: for its files.
    """

    def __init__(self, era: str, server: list[str], home: Path) -> None:
        self._options = ["--protocol-era", era]
        self._server = server
        self._home = home

    def run(self, method: str, *options: str) -> subprocess.CompletedProcess[str]:
        """One call."""
        return subprocess.run(
            [*INSPECTOR, *self._options, "--format", "json", "--method", method, *options, *self._server],
            capture_output=True,
            text=True,
            timeout=60,
            env={"HOME": str(self._home), "PATH": str(NODE.parent)},
        )

    def ask(self, method: str, *options: str) -> dict[str, Any]:
        """What one call answers."""
        done = self.run(method, *options)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)["result"]
        return result


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server over HTTP."""
    with served(http_command(RUNS), tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(params=["stdio legacy", "stdio modern", "http legacy", "http modern"])
def inspector(request: pytest.FixtureRequest, tmp_path: Path) -> Inspector:
    """The Inspector with a server over one transport, in one era."""
    transport, era = request.param.split()
    if transport == "stdio":
        return Inspector(era, ["--", *stdio_command(RUNS)], tmp_path)
    address = request.getfixturevalue("url")
    return Inspector(era, ["--server-url", address, "--transport", "http"], tmp_path)


def test_the_strict_lint_finds_nothing(inspector: Inspector) -> None:
    done = inspector.run("tools/list", "--strict")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["tools"][0]["name"] == "thrash_verdict"
    assert re.findall(r"Issue: (.+)", done.stderr) == []


def test_lists_resources_templates_and_prompts(inspector: Inspector) -> None:
    resources = inspector.ask("resources/list")["resources"]
    assert "karn://runs/oscillate" in {resource["uri"] for resource in resources}
    templates = inspector.ask("resources/templates/list")["resourceTemplates"]
    assert "karn://runs/{run_dir}/{view}" in {template["uriTemplate"] for template in templates}
    prompts = inspector.ask("prompts/list")["prompts"]
    assert "diagnose_thrash" in {prompt["name"] for prompt in prompts}


def test_calls_tools(inspector: Inspector) -> None:
    verdict = inspector.ask("tools/call", "--tool-name", "thrash_verdict", "--tool-arg", "run_dir=oscillate")
    assert verdict["structuredContent"]["band"] == "thrash"
    sql = json.dumps({"sql": "SELECT run_dir FROM runs ORDER BY run_dir", "limit": 1})
    page = inspector.ask("tools/call", "--tool-name", "query_sql", "--tool-args-json", sql)[
        "structuredContent"
    ]
    assert page["rows"] == [["heuristic"]]
    assert page["truncated"]


def test_shows_why_a_call_was_refused(inspector: Inspector) -> None:
    done = inspector.run("tools/call", "--tool-name", "list_runs", "--tool-arg", "limit=0")
    assert done.returncode != 0
    assert "limit: Input should be greater than or equal to 1" in done.stdout + done.stderr


def test_reads_resources_and_fills_in_prompts(inspector: Inspector) -> None:
    (guide,) = inspector.ask("resources/read", "--uri", "karn://guide")["contents"]
    assert "reversal rate" in guide["text"]
    (runs,) = inspector.ask("resources/read", "--uri", "karn://runs")["contents"]
    assert "oscillate" in runs["text"]
    prompt = inspector.ask(
        "prompts/get", "--prompt-name", "diagnose_thrash", "--prompt-args", "run_dir=oscillate"
    )
    assert 'thrash_verdict(run_dir="oscillate")' in prompt["messages"][0]["content"]["text"]
