"""Each tool's answer against the same numbers computed from the files by plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mcp_support import Connect, all_pages, ask, dicts, of_type, text_of

from support import read_events


def events_of(folder: Path, run: str) -> list[dict[str, Any]]:
    return read_events(folder / run / "events.jsonl")


async def test_the_views_answer_what_the_files_hold(connect: Connect, two_runs: Path) -> None:
    events = events_of(two_runs, "flip")
    changes = [event["data"] for event in of_type(events, "SEED_INTERNAL_LEVEL_CHANGED")]
    metrics = [event["data"] for event in of_type(events, "INTERNAL_OP_METRICS")]
    outcomes = [event["data"] for event in of_type(events, "COUNTERFACTUAL_DELTA")]
    async with connect(two_runs) as client:
        levels = await all_pages(client, "seed_internal_levels", run_dir="flip", limit=1000)
        rows = dicts(await ask(client, "seed_internal_levels", run_dir="flip", env_id=1, slot_id="r0c1"))
        late = dicts(
            await ask(client, "seed_internal_levels", run_dir="flip", epoch_min=5, epoch_max=9, episode_idx=1)
        )
        summary = dicts(await ask(client, "internal_op_summary", run_dir="flip"))
        rates = await all_pages(client, "internal_op_metrics", run_dir="flip", limit=1000)
        deltas = await all_pages(client, "counterfactual_deltas", run_dir="flip", limit=1000)

    names = ("env_id", "slot_id", "from_level", "to_level", "max_level", "active_params", "episode_idx")
    assert [[row[name] for name in names] for row in levels] == [
        [change.get(name) for name in names] for change in changes
    ], "in the order of the file"
    assert len(rows) == sum(change["env_id"] == 1 and change["slot_id"] == "r0c1" for change in changes)
    assert {row["epoch"] for row in late} == set(range(5, 10))
    assert {row["episode_idx"] for row in late} == {1}
    ops = Counter(change["slot_id"] for change in changes)
    grown = Counter(change["slot_id"] for change in changes if change["to_level"] > change["from_level"])
    assert {row["slot_id"]: (row["total_ops"], row["grow_count"]) for row in summary} == {
        slot: (ops[slot], grown[slot]) for slot in ops
    }
    assert Counter(row["reversal_rate"] for row in rates) == Counter(row["reversal_rate"] for row in metrics)
    assert sorted(row["loss_advantage"] for row in deltas) == sorted(
        row["loss_delta"] - row["baseline_loss_delta"] for row in outcomes
    )


async def test_the_example_queries_answer_what_the_files_hold(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        usage = dicts(await ask(client, "internal_op_usage"))
        thrash = dicts(await ask(client, "thrash_check", run_dir="flip", threshold=0.7))
        latest = await ask(client, "thrash_check")
        calm = await ask(client, "thrash_check", run_dir="calm")
        effects = dicts(await ask(client, "counterfactual_by_op", run_dir="calm", min_baseline_samples=3))

    for row in usage:
        events = events_of(two_runs, row["run_dir"])
        ops = len(of_type(events, "SEED_INTERNAL_LEVEL_CHANGED"))
        chosen = sum(
            event["data"]["action_name"] != "NOOP" for event in of_type(events, "ANALYTICS_SNAPSHOT")
        )
        assert (row["internal_ops"], row["total_decisions"]) == (ops, chosen)
        assert row["pct"] == round(100 * ops / chosen, 1)
    assert [row["run_dir"] for row in usage] == ["calm", "flip"]

    rates: dict[str, list[float]] = {}
    for event in of_type(events_of(two_runs, "flip"), "INTERNAL_OP_METRICS"):
        rates.setdefault(event["data"]["slot_id"], []).append(event["data"]["reversal_rate"])
    assert {row["slot_id"]: row["samples"] for row in thrash} == {
        slot: len(values) for slot, values in rates.items()
    }
    for row in thrash:
        values = rates[row["slot_id"]]
        assert abs(row["avg_reversal_rate"] - sum(values) / len(values)) < 1e-12
        assert row["reversal_rate"] == 1.0
    assert latest["as_of"]["runs"].keys() == {"flip"}, "the latest run is the one with the newest event"
    assert calm["rows"] == []
    assert "met the conditions of thrash_check with threshold = 0.5" in calm["warnings"][0]

    outcomes = [event["data"] for event in of_type(events_of(two_runs, "calm"), "COUNTERFACTUAL_DELTA")]
    warm = [row for row in outcomes if row["baseline_sample_count"] >= 3]
    assert [(row["op"], row["n"]) for row in effects] == [(4, len(warm))]
    mean = sum(row["loss_delta"] - row["baseline_loss_delta"] for row in warm) / len(warm)
    assert abs(effects[0]["avg_loss_advantage"] - mean) < 1e-12


async def test_the_verdict_names_what_thrashes(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        latest = await client.call_tool("thrash_verdict", {})
        slot = await client.call_tool("thrash_verdict", {"run_dir": "flip", "env_id": 0, "slot_id": "r0c1"})
        calm = await client.call_tool("thrash_verdict", {"run_dir": "calm", "detail": "full"})
    verdict = latest.structured_content
    assert (verdict["run_dir"], verdict["label"]) == ("flip", "thrashing")
    assert (verdict["band"], verdict["indicator"]) == ("thrash", "red")
    assert {(row["env_id"], row["slot_id"]) for row in verdict["slots"]} == {
        (env, name) for env in (0, 1) for name in ("r0c0", "r0c1")
    }
    assert all(row["thrashing"] and row["since"] for row in verdict["slots"])
    assert verdict["evidence"]
    assert verdict["as_of"]["runs"]["flip"]["lines"] == len(events_of(two_runs, "flip"))
    text = text_of(latest)
    for said in ("THRASHING", "env 0 r0c0", "env 1 r0c1", "band thrash", "as of"):
        assert said in text
    assert [(row["env_id"], row["slot_id"]) for row in slot.structured_content["slots"]] == [(0, "r0c1")]
    assert calm.structured_content["label"] != "thrashing"
    assert not any(row["thrashing"] for row in calm.structured_content["slots"])


async def test_runs_are_listed_with_the_latest_first(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        table = await ask(client, "list_runs")
        first = await ask(client, "list_runs", limit=1)
        second = await ask(client, "list_runs", limit=1, cursor=first["next_cursor"])
    runs = dicts(table)
    assert [run["run_dir"] for run in runs] == ["flip", "calm"]
    assert [run["status"] for run in runs] == ["finished", "finished"]
    assert [run["events"] for run in runs] == [len(events_of(two_runs, name)) for name in ("flip", "calm")]
    assert table["as_of"]["lines"] == sum(run["events"] for run in runs)
    assert table["as_of"]["bytes"] == sum(path.stat().st_size for path in two_runs.glob("*/*.jsonl"))
    assert first["rows"][0][0] == "flip"
    assert second["rows"][0][0] == "calm"
    assert second["next_cursor"] is None


async def test_views_describe_themselves(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        views = await ask(client, "describe_views")
        one = dicts(await ask(client, "describe_views", view="slot_thrash"))
        query = await ask(client, "describe_views", view="thrash_check")
        table = await ask(client, "query_sql", sql="DESCRIBE slot_thrash")
    kinds = {row["name"]: row["kind"] for row in dicts(views)}
    assert kinds["seed_internal_levels"] == "view"
    assert kinds["thrash_check"] == "query"
    assert any("wilson_low(k, n)" in warning for warning in views["warnings"])
    described = {row["column"]: row["type"] for row in one}
    assert described == {row["column_name"]: row["column_type"] for row in dicts(table)}
    assert all(row["meaning"] for row in one)
    assert any("threshold DOUBLE" in warning for warning in query["warnings"])


async def test_sql_reads_the_views(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        table = await ask(
            client,
            "query_sql",
            sql="SELECT run_dir, count(*) AS n FROM raw_events GROUP BY ALL ORDER BY ALL;",
        )
        cells = await ask(
            client,
            "query_sql",
            sql="""SELECT NULL AS a, '' AS b, 'x, "y"' AS c, true AS d, 0.1 AS e, {'k': [1, NULL]} AS f,
                'nan'::DOUBLE AS g, TIMESTAMP '2026-01-02 03:04:05' AS h,
                170141183460469231731687303715884105727 AS i""",
        )
    assert table["rows"] == [[name, len(events_of(two_runs, name))] for name in ("calm", "flip")]
    assert cells["rows"] == [
        [
            None,
            "",
            'x, "y"',
            True,
            0.1,
            {"k": [1, None]},
            None,
            "2026-01-02T03:04:05.000000+00:00",
            2**127 - 1,
        ]
    ]
