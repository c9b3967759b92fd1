"""A folder that is written while it is asked: a line that is whole on disk is in the next answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from mcp_support import Connect, ask, connect_in_memory, dicts, refusal, text_of

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from support import write_run

LEVELS = "SELECT count(*) AS n FROM seed_internal_levels"


async def test_each_event_is_in_the_next_answer(connect: Connect, telemetry: Path) -> None:
    async with connect(telemetry) as client:
        with TelemetryCollector(telemetry, "live") as collector, InternalOpRecorder(collector) as recorder:
            recorder.seed_added(0, "r0c0", 1, 4)
            for level in (1, 2, 3):
                recorder.level_changed(0, "r0c0", level, level + 1)
                assert (await ask(client, "query_sql", sql=LEVELS))["rows"] == [[level]]
                last = dicts(await ask(client, "seed_internal_levels"))[-1]
                assert last["to_level"] == level + 1
            assert dicts(await ask(client, "list_runs"))[0]["status"] == "running"
            with collector.path.open("ab") as file:
                file.write(b'{"event_type": "SEED_INTERNAL_LEVEL_CHANGED", ')
            table = await ask(client, "seed_internal_levels", run_dir="live")
        assert table["row_count"] == 3
        assert table["as_of"]["runs"]["live"]["lag_bytes"] == 46, "a half-written line is no bad line"
        assert table["warnings"] == []


async def test_a_folder_may_come_later(connect: Connect, tmp_path: Path) -> None:
    folder = tmp_path / "later" / "telemetry"
    async with connect(folder) as client:
        runs = await ask(client, "list_runs")
        assert runs["rows"] == []
        assert "telemetry/ does not exist yet" in runs["warnings"][0]
        assert "telemetry/ yet" in await refusal(client, "thrash_verdict")
        folder.mkdir(parents=True)
        for tool in ("list_runs", "seed_internal_levels", "internal_op_usage"):
            assert "no run in telemetry/ yet" in (await ask(client, tool))["warnings"][0]
        assert (
            "no run in telemetry/ yet"
            in (await ask(client, "query_sql", sql=f"{LEVELS} HAVING n > 0"))["warnings"][0]
        )
        assert "no run in telemetry/ yet" in await refusal(client, "thrash_check")
        assert "unknown run 'x': there is none yet" in await refusal(
            client, "seed_internal_levels", run_dir="x"
        )
        write_run(folder, "first", policy="oscillate")
        assert (await ask(client, "list_runs"))["row_count"] == 1
        verdict = await client.call_tool("thrash_verdict", {})
        assert "run first" in text_of(verdict)


async def test_an_empty_answer_says_why(two_runs: Path, telemetry: Path) -> None:
    with TelemetryCollector(telemetry, "young") as collector, InternalOpRecorder(collector) as recorder:
        recorder.training_started(policy="p")
        recorder.decision(0, None, LifecycleOp.NOOP, reward=0.0)
    async with connect_in_memory(telemetry) as client:
        empty = (await ask(client, "seed_internal_levels", run_dir="young"))["warnings"]
        assert empty == ["run young has no rows in seed_internal_levels: no such events yet"]
        check = (await ask(client, "thrash_check"))["warnings"]
        assert check == ["run young has no rows in internal_op_metrics and slot_thrash: no such events yet"]
    async with connect_in_memory(two_runs) as client:
        slot = (await ask(client, "internal_op_metrics", run_dir="flip", slot_id="r9c9"))["warnings"]
        assert slot[0].startswith("the filter slot_id = 'r9c9' excludes all ")
        assert slot[0].endswith("rows of run flip; slot_id is one of r0c0, r0c1")
        env = (await ask(client, "internal_op_metrics", env_id=9, epoch_min=3))["warnings"]
        assert "the filter env_id = 9, epoch_min = 3 excludes all " in env[0]
        assert env[0].endswith("rows of all runs; env_id is one of 0, 1")
        sql = (await ask(client, "query_sql", sql="SELECT 1 WHERE false"))["warnings"]
        assert sql == ["the query found nothing"]


async def test_times_bound_rows_in_any_time_zone(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        rows = dicts(await ask(client, "internal_op_metrics", order="timestamp", limit=40))
        middle = rows[20]["timestamp"]
        utc = dicts(await ask(client, "internal_op_metrics", order="timestamp", since=middle, limit=1))
        naive = dicts(
            await ask(
                client, "internal_op_metrics", order="timestamp", since=middle.removesuffix("+00:00"), limit=1
            )
        )
        shifted = middle.replace("+00:00", "-00:00")
        until = dicts(await ask(client, "internal_op_metrics", order="timestamp", until=shifted))
    assert utc[0]["timestamp"] == naive[0]["timestamp"] == middle
    assert max(row["timestamp"] for row in until) < middle


async def test_many_calls_at_once_during_a_training(telemetry: Path) -> None:
    calls = [
        ("list_runs", {}),
        ("seed_internal_levels", {"limit": 5}),
        ("thrash_check", {}),
        ("thrash_verdict", {}),
        ("query_sql", {"sql": LEVELS}),
        ("describe_views", {"view": "epochs"}),
    ]
    write_run(telemetry, "first", policy="oscillate")
    async with connect_in_memory(telemetry) as client, anyio.create_task_group() as tasks:

        async def check(tool: str, arguments: dict[str, Any]) -> None:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, text_of(result)

        for number in range(6):
            tasks.start_soon(anyio.to_thread.run_sync, write_run, telemetry, f"run{number}")
            for tool, arguments in calls:
                tasks.start_soon(check, tool, arguments)
