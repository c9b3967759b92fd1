"""Pages: every row once, whatever is written meanwhile; answers that keep to their budget."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp_support import Connect, all_pages, ask, connect_in_memory, dicts, refusal

from support import write_run


async def test_pages_hold_every_row_once_in_order(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        whole = await all_pages(client, "seed_internal_levels", limit=1000)
        paged = await all_pages(client, "seed_internal_levels", limit=37)
        sql = "SELECT event_id FROM seed_internal_levels ORDER BY event_id"
        by_sql = await all_pages(client, "query_sql", sql=sql, limit=61)
        count = await ask(client, "query_sql", sql="SELECT count(*) FROM seed_internal_levels")
    assert paged == whole
    assert len(whole) == count["rows"][0][0]
    assert [row["event_id"] for row in by_sql] == sorted(row["event_id"] for row in whole)
    assert [(row["run_dir"], row["seq"]) for row in whole] == sorted(
        (row["run_dir"], row["seq"]) for row in whole
    )


async def test_every_order_has_whole_pages(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        columns = (await ask(client, "internal_op_metrics", limit=1))["columns"]
        for column in columns:
            if column == "non_finite":
                continue
            for direction in ("", " desc"):
                rows = await all_pages(client, "internal_op_metrics", order=column + direction, limit=83)
                keys = [(row[column] is not None, row[column]) for row in rows]
                null_last = [(is_set, value if is_set else 0) for is_set, value in keys]
                assert null_last == sorted(null_last, reverse=bool(direction)), column
                assert len({json.dumps(row) for row in rows}) == len(rows)
        mixed = await all_pages(client, "internal_op_metrics", order="slot_id desc, epoch", limit=50)
    assert [(row["slot_id"], row["epoch"]) for row in mixed] == sorted(
        ((row["slot_id"], row["epoch"]) for row in mixed),
        key=lambda place: (-int(place[0][-1]), place[1]),
    )


async def test_new_events_shift_no_page(run_factory: Callable[..., Path], telemetry: Path) -> None:
    # Rank 0 and another run write more between two pages: their rows belong before the second page.
    run_factory("b", policy="oscillate", rank=1, world_size=2, episodes=1)
    async with connect_in_memory(telemetry) as client:
        before = await all_pages(client, "seed_internal_levels")
        first = await ask(client, "seed_internal_levels", limit=20)
        write_run(telemetry, "a", policy="oscillate", episodes=1)
        write_run(telemetry, "b", policy="oscillate", rank=0, world_size=2, episodes=1)
        rows, cursor, warnings = dicts(first), first["next_cursor"], []
        while cursor is not None:
            page = await ask(client, "seed_internal_levels", limit=20, cursor=cursor)
            rows += dicts(page)
            cursor, warnings = page["next_cursor"], page["warnings"]
    assert rows == before
    assert any("events arrived since the first page" in warning for warning in warnings)


async def test_equal_rows_are_not_lost_between_pages(telemetry: Path) -> None:
    # Events of a foreign writer without episode and epoch: one key for all of them.
    run = telemetry / "same"
    run.mkdir(parents=True)
    line = {"event_type": "COUNTERFACTUAL_DELTA", "data": {"slot_id": "r0c0", "env_id": 0, "op": 4}}
    lines = [json.dumps({**line, "data": {**line["data"], "params_before": n}}) for n in range(23)]
    (run / "events.jsonl").write_text("\n".join(lines) + "\n")
    async with connect_in_memory(telemetry) as client:
        rows = await all_pages(client, "counterfactual_deltas", limit=5)
    assert sorted(row["params_before"] for row in rows) == list(range(23))


async def test_a_cursor_continues_its_own_call_only(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        first = await ask(client, "seed_internal_levels", run_dir="flip", limit=5)
        cursor = first["next_cursor"]
        for tool, arguments in (
            ("seed_internal_levels", {"run_dir": "calm"}),
            ("seed_internal_levels", {"run_dir": "flip", "order": "epoch"}),
            ("internal_op_metrics", {"run_dir": "flip"}),
            ("query_sql", {"sql": "SELECT 1"}),
            ("list_runs", {}),
        ):
            assert "belongs to another call" in await refusal(client, tool, **arguments, cursor=cursor)
        for bad in (
            "",
            "x",
            "!!!",
            "e30",
            cursor[:-8],
            "é" * 10,
            base64.b64encode(b"[1]").decode(),
            "A" * 10_000,
        ):
            text = await refusal(client, "seed_internal_levels", run_dir="flip", cursor=bad)
            assert "leave cursor out to begin anew" in text
        wider = await ask(client, "seed_internal_levels", run_dir="flip", limit=7, cursor=cursor)
        assert wider["row_count"] == 7


async def test_forged_cursors_are_refused(two_runs: Path) -> None:
    def forged(cursor: str, **changes: Any) -> str:
        fields = json.loads(base64.urlsafe_b64decode(cursor + "=="))
        return base64.urlsafe_b64encode(json.dumps({**fields, **changes}).encode()).decode()

    async with connect_in_memory(two_runs) as client:
        levels = (await ask(client, "seed_internal_levels", limit=5))["next_cursor"]
        runs = (await ask(client, "list_runs", limit=1))["next_cursor"]
        for tool, cursor in (
            ("seed_internal_levels", forged(levels, after=["x"])),
            ("seed_internal_levels", forged(levels, after=None)),
            ("seed_internal_levels", forged(levels, after=[{}, 1, 2, 3, "d"])),
            ("seed_internal_levels", forged(levels, after=["flip", "b", "c", "d", "e"])),
            ("seed_internal_levels", forged(levels, offset=-1)),
            ("seed_internal_levels", forged(levels, offset=1e300)),
            ("list_runs", forged(runs, more=1)),
        ):
            assert "cursor" in await refusal(client, tool, limit=5, cursor=cursor)
        beyond = await ask(client, "list_runs", limit=1, cursor=forged(runs, offset=2**62))
        assert beyond["warnings"] == ["no rows follow"]


async def test_the_latest_run_stays_the_same_on_every_page(telemetry: Path) -> None:
    many = tuple(f"r0c{n}" for n in range(6))
    write_run(telemetry, "old", policy="oscillate", slots=many, episodes=1)
    async with connect_in_memory(telemetry) as client:
        first = await ask(client, "thrash_check", limit=4)
        write_run(telemetry, "new", policy="oscillate", slots=("other",), episodes=1)
        second = await ask(client, "thrash_check", limit=4, cursor=first["next_cursor"])
        anew = await ask(client, "thrash_check", limit=4)
    assert [row["slot_id"] for row in dicts(first) + dicts(second)] == list(many)
    assert [row["slot_id"] for row in dicts(anew)] == ["other"]


async def test_unordered_sql_says_so(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        for sql, is_ordered in (
            ("SELECT * FROM epochs", False),
            ("SELECT * FROM (SELECT * FROM epochs ORDER BY epoch)", False),
            ("SELECT *, row_number() OVER (ORDER BY epoch) FROM epochs", False),
            ("SELECT * FROM epochs ORDER BY timestamp -- at the end", True),
            ("SELECT epoch FROM epochs UNION ALL SELECT epoch FROM decisions ORDER BY epoch", True),
        ):
            warnings = (await ask(client, "query_sql", sql=sql, limit=2))["warnings"]
            assert any("no ORDER BY" in warning for warning in warnings) is not is_ordered, sql


async def test_long_answers_are_cut_at_the_budget_and_say_so(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        rows = await ask(
            client,
            "query_sql",
            sql="SELECT range AS n, repeat('x', 300) AS s FROM range(1000) ORDER BY n",
            limit=1000,
        )
        assert 50 < rows["row_count"] < 110
        assert f"cut after {rows['row_count']} of 1000 rows" in rows["warnings"][0]
        huge = await ask(
            client,
            "query_sql",
            sql="SELECT repeat('é', 5000000) AS a, ['y' FOR i IN range(100000)] AS b, "
            "repeat(chr(27), 99999) AS c",
        )
        wide = await ask(
            client,
            "query_sql",
            sql=f"SELECT {', '.join(f'repeat(chr(128512), 9999) AS col_{n}' for n in range(300))}",
        )
        long_name = await ask(client, "query_sql", sql=f'SELECT 1 AS "{"n" * 9_000}"')
    (a, b, c) = huge["rows"][0]
    assert a.endswith("... [cut: 5000000 characters]")
    assert "[cut: " in b
    assert c.endswith("... [cut: 99999 characters]")
    assert "only the first 200 of 300 columns are shown: name those you need" in wide["warnings"]
    assert all("[cut: 9999 characters]" in cell for cell in wide["rows"][0])
    assert len(long_name["columns"][0]) < 100
