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
from mcp import Client, StdioServerParameters

from esper.karn.mcp.server import build_server
from esper.karn.store.views import shipped_views

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
    # Tests of these two pages compare their texts and run their SQL.
    of_page = {"questions.md": {"text"}, "queries.md": {"text", "sql"}}
    assert [block for block in blocks() if block.language not in known | of_page.get(block.page, set())] == []


def test_the_questions_page_shows_what_the_server_answers() -> None:
    page = ROOT / "docs/questions.md"
    script = (
        "import make_questions, pathlib; "
        "print(make_questions.filled(pathlib.Path('docs/questions.md').read_text()), end='')"
    )
    tests = [str(ROOT / folder) for folder in ("docs", "tests", "tests/karn/mcp")]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": os.pathsep.join(tests)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == page.read_text(), "run `make questions`"


class QueriesPage(NamedTuple):
    """The worked example of docs/queries.md, written to a folder."""

    folder: Path
    call: str
    arguments: dict[str, str]
    answer: str
    misspelt: tuple[str, str]
    complaint: str

    def options(self) -> list[str]:
        folders = ["--views", str(self.folder / "views"), "--queries", str(self.folder / "queries")]
        return ["--telemetry-dir", str(ROOT / "examples/telemetry"), *folders]


@pytest.fixture
def queries_page(tmp_path: Path) -> QueriesPage:
    text = (ROOT / "docs/queries.md").read_text()
    for name, sql in re.findall(r"^`(\w+/\w+\.sql)`[^\n]*\n\n```sql\n(.*?)^```$", text, re.M | re.S):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(sql)
    answer, complaint = (
        block.text for block in blocks() if (block.page, block.language) == ("queries.md", "text")
    )
    ((call, arguments),) = re.findall(r"^`(\w+)\((.*)\)` on the recorded runs", text, re.M)
    ((right, wrong),) = re.findall(r"With `([^`]+)`\s+misspelt as `([^`]+)`", text)
    given = dict(argument.split("=") for argument in arguments.split(", "))
    return QueriesPage(tmp_path, call, given, answer, (right, wrong), complaint)


async def test_the_worked_example_of_own_sql_answers_as_shown(queries_page: QueriesPage) -> None:
    command = ["-m", "esper", "mcp", *queries_page.options()]
    arguments = {name: json.loads(value) for name, value in queries_page.arguments.items()}
    async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
        result = await client.call_tool(queries_page.call, arguments)
    text = re.sub(r"as of \S+Z", "as of ...Z", result.content[0].text)
    assert text == queries_page.answer.rstrip("\n")


def test_a_broken_own_file_is_reported_as_shown(queries_page: QueriesPage) -> None:
    (query,) = (queries_page.folder / "queries").iterdir()
    right, wrong = queries_page.misspelt
    assert query.read_text().count(right) == 1
    query.write_text(query.read_text().replace(right, wrong))
    done = subprocess.run(
        [sys.executable, "-m", "esper", "mcp", *queries_page.options()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == queries_page.complaint


async def test_the_migration_page_maps_every_old_tool_to_tools_and_views_that_are_there() -> None:
    page = (ROOT / "docs/migrate-from-esper-lite.md").read_text()
    rows = dict(re.findall(r"^\| (`\w+[^|]*`) \| (.*) \|$", page.split("## Tools")[1].split("##")[0], re.M))
    old = {re.findall(r"\w+", name)[0] for name in rows}
    assert old == {
        "query_sql",
        "query_sql_markdown",
        "list_views",
        "describe_view",
        "list_runs",
        "run_overview",
    }
    async with Client(build_server(ROOT / "examples/telemetry")) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
    named = {re.findall(r"\w+", name)[0] for text in rows.values() for name in re.findall(r"`([^`]+)`", text)}
    assert named <= tools | shipped_views().keys()


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
