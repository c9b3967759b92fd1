"""What a host finds: tools, resources and prompts, and what reading their list costs."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_support import Connect, connect_in_memory

from esper.karn.mcp.paging import PAGE
from store_support import write_lines

TOOLS = {
    "thrash_verdict": {},
    "op_effect": {"run_dir": "flip", "op": "SHRINK_INTERNAL"},
    "compare_runs": {"control": "calm", "treatment": "flip"},
    "plot_levels": {"run_dir": "flip"},
    "list_runs": {},
    "describe_views": {"view": "slot_thrash"},
    "seed_internal_levels": {"run_dir": "flip", "limit": 3},
    "internal_op_summary": {},
    "internal_op_metrics": {"slot_id": "r0c9"},
    "counterfactual_deltas": {"order": "loss_delta desc"},
    "counterfactual_by_op": {},
    "internal_op_usage": {},
    "thrash_check": {"threshold": 0.1},
    "query_sql": {"sql": "SELECT 1 AS one"},
}
"""Every tool with arguments for a call that works."""


async def test_every_tool_is_listed_with_all_that_a_host_shows(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert client.instructions is not None
        assert "Start with thrash_verdict" in client.instructions
    assert tools.keys() == TOOLS.keys()
    assert next(iter(tools)) == "thrash_verdict"
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.destructive_hint is False
        assert tool.annotations.idempotent_hint is True
        assert tool.annotations.open_world_hint is False
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)


async def test_each_view_tool_offers_its_own_columns_only(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        offered = {
            tool.name: set(tool.input_schema["properties"]) for tool in (await client.list_tools()).tools
        }
    paging = {"order", "limit", "cursor"}
    place = {"run_dir", "env_id", "slot_id", "episode_idx", "epoch_min", "epoch_max", "since", "until"}
    assert offered["internal_op_summary"] == {"run_dir", "slot_id"} | paging
    for view in ("seed_internal_levels", "internal_op_metrics", "counterfactual_deltas"):
        assert offered[view] == place | paging
    assert offered["thrash_check"] == {"run_dir", "threshold", "limit", "cursor"}


@pytest.mark.parametrize("tool", TOOLS)
async def test_every_answer_fits_the_schema_that_its_tool_lists(tool: str, two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        schema = next(t.output_schema for t in (await client.list_tools()).tools if t.name == tool)
        result = await client.call_tool(tool, TOOLS[tool])
    assert not result.is_error, result.content[0].text
    jsonschema.validate(result.structured_content, schema)


async def test_resources_and_prompts_are_listed_with_descriptions(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    fixed = ["karn://guide", "karn://views", "karn://runs"]
    assert [resource.uri for resource in resources][:3] == fixed
    assert {resource.uri for resource in resources[3:]} == {"karn://runs/flip", "karn://runs/calm"}
    assert {template.uri_template for template in templates} == {
        "karn://views/{view}",
        "karn://runs/{run_dir}",
        "karn://runs/{run_dir}/{view}",
    }
    takes = {
        name: [(argument.name, argument.required) for argument in prompt.arguments or []]
        for name, prompt in prompts.items()
    }
    assert takes == {
        "diagnose_thrash": [("run_dir", False)],
        "do_grow_ops_help": [("run_dir", False)],
        "compare_runs": [("control", True), ("treatment", True)],
        "explain_slot": [("slot_id", True), ("run_dir", False), ("env_id", False)],
    }
    for entry in [*resources[:3], *templates, *prompts.values()]:
        assert entry.title
        assert entry.description
    for prompt in prompts.values():
        assert all(argument.description for argument in prompt.arguments or [])


async def test_long_lists_come_in_pages(connect: Connect, telemetry: Path) -> None:
    for number in range(2 * PAGE):
        write_lines(telemetry / f"run{number:03}" / "events.jsonl", {"event_type": "X"})
    async with connect(telemetry) as client:
        found, cursor = [], None
        while cursor is not None or not found:
            page = await client.list_resources(cursor=cursor)
            found += [resource.uri for resource in page.resources]
            assert len(page.resources) <= PAGE
            cursor = page.next_cursor
        assert len(found) == len(set(found)) == 3 + 2 * PAGE
        first = (await client.list_resources()).next_cursor
        for bad in ("x", "", "aGVsbG8=", first + "A", "cmVzb3VyY2VzOi0x", "x" * 100_000):
            with pytest.raises(MCPError, match="no cursor of resources"):
                await client.list_resources(cursor=bad)
        with pytest.raises(MCPError, match="no cursor of tools"):
            await client.list_tools(cursor=first)


async def test_the_run_with_the_newest_event_comes_first(connect: Connect, telemetry: Path) -> None:
    """Not the one whose file was touched last: to copy or compact an old run does not make it the latest."""
    for day in (2, 3, 1):
        event = {"event_type": "X", "timestamp": f"2026-01-{day:02}T00:00:00+00:00"}
        write_lines(telemetry / f"day{day}" / "events.jsonl", event)
    (telemetry / "empty").mkdir()
    (telemetry / "empty" / "events.jsonl").touch()
    async with connect(telemetry) as client:
        runs = [resource.name for resource in (await client.list_resources()).resources][3:]
    assert runs == ["day3", "day2", "day1", "empty"]


async def test_lists_say_how_long_they_hold(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        assert isinstance(client, Client)
        tools = await client.list_tools()
        runs = await client.read_resource("karn://runs")
    assert tools.ttl_ms == 3_600_000
    assert runs.ttl_ms == 0, "a live folder's runs are stale at once"
