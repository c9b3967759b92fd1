"""Every code block of the README and of docs/ does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page.name, line, match[1], match[2]))
    return found


def named(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{block.page}:{block.line}")
        for block in blocks()
        if block.language == language
    ]


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.parametrize("block", named("python"))
def test_python_blocks_run_as_they_stand(block: Block, tmp_path: Path) -> None:
    run([sys.executable, "-c", block.text], tmp_path)
    assert any(path.stat().st_size for path in tmp_path.glob("telemetry/*/events*.jsonl"))


@pytest.mark.parametrize("block", named("sh"))
def test_shell_blocks_run_as_they_stand(block: Block, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run(["bash", "-euo", "pipefail", "-c", block.text], tmp_path)


@pytest.mark.parametrize("block", named("make"))
def test_make_targets_exist(block: Block) -> None:
    # Run for real by CI (test) and by test_demo (demo); a test that ran `make test` would never end.
    for line in block.text.splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == "make"
        run(["make", "--dry-run", *command[1:]], ROOT)


@pytest.mark.parametrize("block", named("console"))
def test_console_blocks_show_what_the_command_prints(block: Block) -> None:
    command, _, expected = block.text.partition("\n")
    assert command.startswith("$ karn ")
    done = run(["bash", "-c", command.removeprefix("$ ")], ROOT)
    assert done.stdout.rstrip() == expected.rstrip()


@pytest.mark.parametrize("block", named("json"))
def test_host_configurations_start_a_server_that_answers(block: Block) -> None:
    configuration = json.loads(block.text)
    servers = configuration.get("mcpServers") or configuration["servers"]
    for server in servers.values():
        arguments = [str(ROOT / "examples/telemetry") if "/" in a else a for a in server["args"]]
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "0"},
            },
        }
        done = subprocess.run(
            [Path(server["command"]).name, *arguments],
            cwd="/",
            env=environment(),
            input=json.dumps(hello) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "karn", done.stderr


def test_no_block_is_left_out() -> None:
    known = {"python", "sh", "make", "console", "json"}
    assert [block for block in blocks() if block.language not in known] == []


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
