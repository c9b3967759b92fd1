"""Wrong calls get one clear text that says what would be right, and the server lives on."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError
from mcp_support import Connect, ask, connect_in_memory, refusal


async def test_unknown_names_get_the_nearest_ones(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        for tool in ("seed_internal_levels", "thrash_check", "thrash_verdict", "internal_op_usage"):
            assert "unknown run 'flop'; did you mean flip?" in await refusal(client, tool, run_dir="flop")
        assert "slot_thrash" in await refusal(client, "describe_views", view="slot_trash")
        assert "did you mean slot_id" in await refusal(client, "internal_op_summary", slot="r0c0")
        assert "reversal_rate" in await refusal(client, "internal_op_metrics", order="reversal_rat desc")
        assert "did you mean query_sql?" in await refusal(client, "query_sq", sql="SELECT 1")
        assert "slot_thrash" in await refusal(client, "query_sql", sql="SELECT * FROM slot_trash")
        assert "env_id" in await refusal(client, "query_sql", sql="SELECT env FROM slot_thrash")
        assert "'7'" in await refusal(client, "thrash_verdict", env_id=7)
        assert "did you mean r0c" in await refusal(client, "thrash_verdict", slot_id="r0c9")
        for uri, near in (
            ("karn://runs/flop", "flip"),
            ("karn://views/slot_trash", "slot_thrash"),
            ("karn://view", "karn://views"),
            ("other://runs", "karn://runs"),
        ):
            with pytest.raises(MCPError, match=near) as caught:
                await client.read_resource(uri)
            assert caught.value.error.code == -32602
        for prompt, given, near in (
            ("diagnose_trash", {}, "diagnose_thrash"),
            ("diagnose_thrash", {"run": "flip"}, "run_dir"),
            ("do_grow_ops_help", {"run_dir": "flop"}, "flip"),
        ):
            with pytest.raises(MCPError, match=near) as caught:
                await client.get_prompt(prompt, given)
            assert caught.value.error.code == -32602
        assert (await ask(client, "query_sql", sql="SELECT 1 AS one"))["rows"] == [[1]], "it lives on"


async def test_wrong_values_are_refused(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        assert "greater than or equal to 1, not -5" in await refusal(client, "list_runs", limit=-5)
        assert "less than or equal to 1000, not 1001" in await refusal(
            client, "query_sql", sql="", limit=1001
        )
        assert "limit: Input should be a valid integer" in await refusal(client, "list_runs", limit="many")
        assert "sql is required" in await refusal(client, "query_sql")
        assert "slot_id: " in await refusal(client, "internal_op_summary", slot_id=3)
        assert "detail: " in await refusal(client, "thrash_verdict", detail="all")
        assert "is not a time" in await refusal(client, "internal_op_metrics", since="yesterday")
        assert "'column desc'" in await refusal(client, "internal_op_metrics", order="epoch down")
        assert "'column desc'" in await refusal(client, "internal_op_metrics", order="")
        assert "holds JSON" in await refusal(client, "internal_op_metrics", order="non_finite")
        assert "finite" in await refusal(client, "thrash_check", threshold="nan")
        assert await ask(client, "list_runs")


async def test_null_is_as_good_as_left_out(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        nulls = await ask(client, "thrash_check", run_dir=None, threshold=None, limit=None, cursor=None)
        assert nulls["rows"] == (await ask(client, "thrash_check"))["rows"]
        assert "sql is required" in await refusal(client, "query_sql", sql=None)
        assert "did you mean run_dir" in await refusal(client, "thrash_check", run_dur="x")


async def test_sql_can_only_read(connect: Connect, two_runs: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in two_runs.rglob("*"))
    async with connect(two_runs) as client:
        for sql in (
            "DROP TABLE events",
            "INSERT INTO tail.problems VALUES (1)",
            "DELETE FROM tail.other",
            "COPY (SELECT 1) TO 'stolen.csv'",
            "SELECT 1; SELECT 2",
            "ATTACH 'other.db'",
            "SET threads = 1",
            "PRAGMA database_list",
            "CREATE VIEW mine AS SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
        ):
            assert "only one SELECT" in await refusal(client, "query_sql", sql=sql), sql
        assert "is empty" in await refusal(client, "query_sql", sql="  ")
        assert "not available here" in await refusal(
            client, "query_sql", sql="SELECT * FROM duckdb_settings()"
        )
        await refusal(client, "query_sql", sql="WITH x AS (COPY (SELECT 1) TO 'stolen.csv') SELECT 1")
        await refusal(client, "query_sql", sql="WITH x AS (DELETE FROM tail.other) SELECT 1")
        await refusal(client, "query_sql", sql="SELECT * FROM read_csv('/etc/passwd')")
        await refusal(client, "query_sql", sql="SELECT * FROM '/etc/passwd'")
        await refusal(client, "query_sql", sql="SELEC 1")
        await refusal(client, "query_sql", sql="SELECT " + "x" * 200_000)
        assert (await ask(client, "query_sql", sql="SELECT count(*) > 0 AS n FROM events"))["rows"] == [
            [True]
        ]
    assert sorted((path, path.stat().st_mtime_ns) for path in two_runs.rglob("*")) == before


async def test_no_name_leads_out_of_the_folder(two_runs: Path) -> None:
    (two_runs.parent / "events.jsonl").write_text('{"event_type": "SECRET"}\n')
    async with connect_in_memory(two_runs) as client:
        for name in ("..", "../", "../x", "/etc", ".", "", "flip/../calm", "\0", "a" * 100_000, "flip\n"):
            assert "unknown run" in await refusal(client, "thrash_verdict", run_dir=name)
        for uri in ("../x", "%2e%2e%2fx", "..", "%2e%2e", "%00", "flip/../calm", "a" * 100_000, "%ff"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(f"karn://runs/{uri}")
            assert caught.value.error.code == -32602
            assert len(str(caught.value)) < 400


def broken(*_: object) -> None:
    raise RuntimeError("/home/somebody/secret")


async def test_a_bug_tells_the_client_nothing_of_the_host(
    two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esper.karn.mcp.tools.run_list", broken)
    async with connect_in_memory(two_runs) as client:
        text = await refusal(client, "list_runs")
        assert text == "list_runs failed: this is a bug in Karn, see the server's log"
        assert await ask(client, "internal_op_usage")


async def test_a_query_past_its_deadline_says_so_and_others_go_on(two_runs: Path) -> None:
    from mcp import Client

    from esper.karn.mcp.server import build_server

    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1"
    async with Client(build_server(two_runs, query_timeout_s=0.2)) as client:
        assert "ran past its 0.2 s" in await refusal(client, "query_sql", sql=endless)
        assert await ask(client, "internal_op_usage")
