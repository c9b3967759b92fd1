"""The user's own SQL files as tools and views: the good ones work, each broken one is named with its line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp_support import ask, dicts, refusal, stdio_server

from esper.karn.mcp.server import build_server
from esper.karn.mcp.tools import OWN_TOOLS
from esper.karn.store.own_sql import OwnSql, read_own_sql
from esper.leyline.errors import TelemetryUsageError

VIEW = """-- title: Levels at the end
-- description: Where each seed's last change left it.
-- grain: one row per run, environment and slot
-- column last_level: level after the last change
SELECT run_dir, env_id, slot_id, max_by(to_level, seq) AS last_level
FROM busy_slots GROUP BY ALL;
"""
BASE = """-- title: Changes of busy slots
-- description: Level changes of slots with more than one.
SELECT * FROM (SELECT *, count(*) OVER (PARTITION BY run_dir, env_id, slot_id) AS n_changes
               FROM seed_internal_levels JOIN (SELECT event_id, seq FROM events) USING (event_id))
WHERE n_changes > 1 -- no semicolon, and a comment at the end
"""
QUERY = """-- title: Slots that ended high
-- description: Slots whose seeds ended at a level or above.
-- param run_dir VARCHAR = latest: the run
-- param at_least INTEGER = 1: lowest level
SELECT slot_id, last_level FROM last_levels
WHERE run_dir = $run_dir AND last_level >= $at_least ORDER BY ALL
"""


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of views and of queries."""
    views, queries = tmp_path / "views", tmp_path / "queries"
    views.mkdir()
    queries.mkdir()
    (views / "last_levels.sql").write_text(VIEW)
    (views / "busy_slots.sql").write_text(BASE)
    (queries / "ended_high.sql").write_text(QUERY)
    return views, queries


def head(title: str = "A title") -> str:
    return f"-- title: {title}\n-- description: What it is.\n"


BROKEN = {
    "no_title.sql": ("SELECT 1\n", "no_title.sql:1: no '-- title: ...' line"),
    "Upper.sql": (head() + "SELECT 1\n", "Upper.sql: the name must be lower-case"),
    "two.sql": (head() + "SELECT 1;\nSELECT 2\n", "two.sql:"),
    "typo.sql": (head() + "\nSELECT 1\nFROM slot_trash\n", "typo.sql:5: Catalog Error"),
    "column.sql": (head() + "SELECT\n  no_such_column\nFROM runs\n", "column.sql:4: Binder Error"),
    "parse.sql": (head() + "SELECT 1 FROM runs WHERE\n", "parse.sql:"),
    "runs.sql": (head() + "SELECT 1\n", "runs.sql:1: runs is there already"),
    "binary.sql": ("-- title: \0\n", "binary.sql:"),
}


async def test_own_views_and_queries_serve_beside_the_shipped_ones(own, two_runs):
    views, queries = own
    server = stdio_server(two_runs, "--views", str(views), "--queries", str(queries))
    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = dicts(await ask(client, "ended_high", run_dir="calm", at_least=2))
        assert found
        assert all(row["last_level"] >= 2 for row in found)
        assert dicts(await ask(client, "query_sql", sql="SELECT count(*) AS n FROM last_levels"))[0]["n"] > 1
        assert "last_levels" in await refusal(client, "query_sql", sql="SELECT * FROM last_level")
        assert dicts(await ask(client, "describe_views", view="last_levels"))[0]["meaning"]
        (page,) = (await client.read_resource("karn://views/ended_high")).contents
        assert "at_least" in page.text
    assert tools["ended_high"].description == "Slots whose seeds ended at a level or above."
    assert "thrash_check" in tools


@pytest.mark.parametrize("kind", ["views", "queries"])
def test_each_broken_file_is_named_and_the_rest_work(own, kind):
    views, queries = own
    for name, (text, _) in BROKEN.items():
        (views if kind == "views" else queries).joinpath(name).write_text(text)
    found = read_own_sql(views, queries, taken=OWN_TOOLS)
    assert found.views.keys() == {"last_levels", "busy_slots"}
    assert found.queries.keys() == {"ended_high"}
    assert len(found.problems) == len(BROKEN)
    for _, problem in BROKEN.values():
        assert [line for line in found.problems if line.startswith(problem)], (problem, found.problems)


def test_what_reads_a_broken_view_is_broken_too(own):
    views, queries = own
    (views / "busy_slots.sql").write_text(head() + "SELECT nothing FROM runs\n")
    found = read_own_sql(views, queries)
    assert found == OwnSql(problems=found.problems)
    assert sorted(problem.split(":")[0] for problem in found.problems) == [
        "busy_slots.sql",
        "ended_high.sql",
        "last_levels.sql",
    ]


def test_a_query_can_not_take_the_place_of_a_tool(own):
    _, queries = own
    (queries / "query_sql.sql").write_text(head() + "SELECT 1 AS n\n")
    found = read_own_sql(queries=queries, taken=OWN_TOOLS)
    assert "query_sql.sql:1: query_sql is there already: give it another name" in found.problems


def test_the_command_says_what_it_leaves_out_and_where_a_folder_is_missing(own, two_runs):
    views, _ = own
    (views / "typo.sql").write_text(BROKEN["typo.sql"][0])

    def serve(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "esper", "mcp", "--telemetry-dir", str(two_runs), *options]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    done = serve("--views", str(views))
    assert done.returncode == 0
    assert done.stderr.startswith("karn: left out: typo.sql:5: Catalog Error")
    assert done.stderr.count("\n") == 1
    missing = serve("--queries", str(views / "nowhere"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("karn: there is no folder ")
    assert missing.stderr.count("\n") == 1


async def test_a_text_that_reads_like_a_default_is_taken_as_it_is(own, two_runs):
    views, queries = own
    text = "-- title: Echo\n-- description: What was given.\n-- param said VARCHAR = all: a text\n"
    (queries / "echo.sql").write_text(f"{text}SELECT $said AS said\n")
    (queries / "wrong.sql").write_text(text.replace("= all", "= latest") + "SELECT $said AS said\n")
    found = read_own_sql(views, queries)
    assert found.problems == ["wrong.sql:3: only 'run_dir VARCHAR' can be latest, not said VARCHAR"]
    async with Client(build_server(two_runs, own=found)) as client:
        for said in ("latest", "all"):
            assert dicts(await ask(client, "echo", said=said)) == [{"said": said}]
        assert dicts(await ask(client, "echo")) == [{"said": None}]


async def test_an_own_query_that_never_ends_is_ended(own, two_runs):
    views, queries = own
    (queries / "endless.sql").write_text(
        head() + "SELECT sum(a.i * b.i) AS n FROM range(1000000) a(i), range(1000000) b(i)\n"
    )
    found = read_own_sql(views, queries)
    assert found.problems == []
    async with Client(build_server(two_runs, query_timeout_s=0.5, own=found)) as client:
        assert "ran past its 0.5 s" in await refusal(client, "endless")
        assert await ask(client, "ended_high")


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(TelemetryUsageError, match="there is no folder"):
        read_own_sql(tmp_path / "views")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("paged", "-- param limit INTEGER = 3: n\nSELECT $limit AS n\n", "every tool has its own limit"),
        ("given", "-- param x VARCHAR = all: v\nSELECT $x AS a\n", "a view takes no parameters"),
    ],
)
def test_files_that_could_stop_others_are_left_out(own, name, text, problem):
    views, queries = own
    (views if "view" in problem else queries).joinpath(f"{name}.sql").write_text(head() + text)
    found = read_own_sql(views, queries)
    assert any(line.startswith(f"{name}.sql:") and problem in line for line in found.problems)
    assert name not in {*found.views, *found.queries}


def test_what_is_no_small_file_is_not_read(own):
    views, queries = own
    os.mkfifo(queries / "fifo.sql")
    (queries / "zero.sql").symlink_to("/dev/zero")
    (queries / "huge.sql").write_text(head() + "-- x\n" * 100_000 + "SELECT 1 AS n\n")
    found = read_own_sql(views, queries)
    assert sorted(line.split(":")[0] for line in found.problems) == ["fifo.sql", "huge.sql", "zero.sql"]


@pytest.mark.parametrize("name", ["schema", "copy", "json", "model_config", "_x", "self", "validate"])
async def test_a_parameter_may_be_called_as_anything(own, two_runs, name):
    views, queries = own
    text = f"{head()}-- param {name} INTEGER = 3: a number\nSELECT ${name} AS n\n"
    (queries / "named.sql").write_text(text)
    found = read_own_sql(views, queries)
    assert found.problems == []
    async with Client(build_server(two_runs, own=found)) as client:
        assert dicts(await ask(client, "named")) == [{"n": 3}]
        assert dicts(await ask(client, "named", **{name: 4})) == [{"n": 4}]
        assert name in await refusal(client, "named", **{name: "x"})


async def test_what_a_query_runs_into_is_told_in_the_database_s_words(own, two_runs):
    views, queries = own
    (queries / "cast.sql").write_text(head() + "SELECT slot_id::INTEGER AS n FROM decisions\n")
    found = read_own_sql(views, queries)
    assert found.problems == []
    async with Client(build_server(two_runs, own=found)) as client:
        assert "Conversion Error" in await refusal(client, "cast")
