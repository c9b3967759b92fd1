"""Completions: what a person may type next, taken from the telemetry itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client
from mcp_support import Connect, connect_in_memory
from mcp_types import PromptReference, ResourceTemplateReference

from esper.karn.mcp.completions import MAX_VALUES, matching
from store_support import write_lines
from support import write_run

RUN = ResourceTemplateReference(uri="karn://runs/{run_dir}")
VIEW = ResourceTemplateReference(uri="karn://views/{view}")
VIEW_OF_RUN = ResourceTemplateReference(uri="karn://runs/{run_dir}/{view}")


def prompt(name: str) -> PromptReference:
    return PromptReference(name=name)


async def offered(client: Client, reference, name: str, typed: str = "", **given: str) -> list[str]:
    """The values that are offered for an argument."""
    completion = (await client.complete(reference, {"name": name, "value": typed}, given)).completion
    assert completion.total == len(completion.values)
    return completion.values


async def test_runs_views_and_slots_are_offered(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        assert await offered(client, RUN, "run_dir") == ["flip", "calm"]
        assert await offered(client, VIEW_OF_RUN, "run_dir", "CA") == ["calm"]
        assert await offered(client, prompt("compare_runs"), "treatment", "li") == ["flip"]
        assert "slot_thrash" in await offered(client, VIEW_OF_RUN, "view", "slot")
        assert "thrash_check" not in await offered(client, VIEW_OF_RUN, "view")
        assert "thrash_check" in await offered(client, VIEW, "view", "thrash")
        slots = await offered(client, prompt("explain_slot"), "slot_id", run_dir="flip")
        assert slots
        assert await offered(client, prompt("explain_slot"), "slot_id", run_dir="no such run") == []
        assert await offered(client, prompt("explain_slot"), "env_id") == []
        assert await offered(client, prompt("no_such_prompt"), "run_dir") == ["flip", "calm"]


async def test_an_empty_folder_has_nothing_to_offer(telemetry: Path) -> None:
    async with connect_in_memory(telemetry) as client:
        assert await offered(client, RUN, "run_dir") == []
        assert await offered(client, prompt("explain_slot"), "slot_id") == []


async def test_no_more_than_the_protocol_allows(telemetry: Path) -> None:
    for number in range(MAX_VALUES + 5):
        write_lines(telemetry / f"run{number:03}" / "events.jsonl", {"event_type": "X"})
    async with connect_in_memory(telemetry) as client:
        found = (await client.complete(RUN, {"name": "run_dir", "value": "run"})).completion
    assert len(found.values) == MAX_VALUES
    assert found.total == MAX_VALUES + 5
    assert found.has_more


async def test_a_view_of_a_run_can_be_read(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        (rows,) = (await client.read_resource("karn://runs/flip/slot_thrash")).contents
    assert rows.mime_type == "text/csv"
    note, header, *lines = rows.text.split("\n")
    assert note.startswith(f"# {len(lines)} row")
    assert header.startswith("run_dir,")
    assert lines
    assert all(line.startswith("flip,") for line in lines)


async def test_a_long_view_of_a_run_says_where_the_rest_is(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        (rows,) = (await client.read_resource("karn://runs/flip/raw_events")).contents
    note = rows.text.split("\n")[0]
    assert "query_sql has the rest" in note
    assert "cursor" not in note


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("karn://runs/flip/slot_trash", "slot_thrash"),
        ("karn://runs/flop/slot_thrash", "flip"),
        ("karn://runs/flip/thrash_check", "unknown view of a run"),
        ("karn://runs/..%2Fflip/slot_thrash", "resource|run"),
    ],
)
async def test_an_unknown_view_or_run_is_named_with_its_nearest(
    two_runs: Path, uri: str, message: str
) -> None:
    async with connect_in_memory(two_runs) as client:
        with pytest.raises(Exception, match=message):
            await client.read_resource(uri)


async def test_the_prompts_write_calls_that_can_be_made(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        compared = await client.get_prompt("compare_runs", {"control": "calm", "treatment": "flip"})
        explained = await client.get_prompt("explain_slot", {"slot_id": 'a "b"', "env_id": "1"})
        with pytest.raises(Exception, match="env_id 'x' is not a number"):
            await client.get_prompt("explain_slot", {"slot_id": "a", "env_id": "x"})
        with pytest.raises(Exception, match="calm"):
            await client.get_prompt("compare_runs", {"control": "clam", "treatment": "flip"})
        with pytest.raises(Exception, match=r"^control is required; treatment is required$"):
            await client.get_prompt("compare_runs", {})
    assert 'compare_runs(control="calm", treatment="flip")' in compared.messages[0].content.text
    assert 'thrash_verdict(slot_id="a \\"b\\"", env_id=1)' in explained.messages[0].content.text


def test_names_that_begin_with_what_was_typed_come_first():
    assert matching(["my_run", "run_b", "Run_a", "other"], "run") == ["run_b", "Run_a", "my_run"]
    assert matching(["b", "a"], "") == ["b", "a"]


async def test_a_run_that_is_written_last_is_offered_first(telemetry: Path) -> None:
    write_run(telemetry, "first", episodes=1)
    write_run(telemetry, "second", episodes=1)
    async with connect_in_memory(telemetry) as client:
        assert await offered(client, RUN, "run_dir") == ["second", "first"]
