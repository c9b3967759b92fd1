"""What reading costs an assistant: the list of tools, the verdict, rows. A token is four bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from mcp_support import ask, connect_in_memory, dicts, text_of

from support import write_run

LIST_TOKENS = 4_000
LISTED = Path(__file__).parent / "tools_list.json"
"""What the server lists; UPDATE_SNAPSHOTS=1 writes it anew, and the diff shows what changed."""
VERDICT_TOKENS = 600


@pytest.fixture(scope="module")
def forty_slots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run for each policy, each of 8 environments with 5 slots."""
    folder = tmp_path_factory.mktemp("forty") / "telemetry"
    slots = tuple(f"r{row}c0" for row in range(5))
    for policy in ("oscillate", "random", "settle"):
        write_run(folder, policy, policy=policy, n_envs=8, slots=slots, episodes=3, epochs=40)
    return folder


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_list_of_tools_is_cheap_and_grows_only_on_purpose(mode: str, two_runs: Path) -> None:
    async with connect_in_memory(two_runs, mode) as client:
        listed = await client.list_tools()
    answer = listed.model_dump_json(by_alias=True, exclude_none=True)
    assert len(answer.encode()) / 4 <= LIST_TOKENS
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
    if os.environ.get("UPDATE_SNAPSHOTS"):
        LISTED.write_text(json.dumps(tools, indent=1) + "\n")
    before = json.loads(LISTED.read_text())
    assert len(json.dumps(tools)) <= 1.05 * len(json.dumps(before))
    assert tools == before, "UPDATE_SNAPSHOTS=1 writes tools_list.json anew"


@pytest.mark.parametrize("run", ["oscillate", "random", "settle"])
async def test_a_verdict_on_forty_slots_is_a_page(run: str, forty_slots: Path) -> None:
    async with connect_in_memory(forty_slots) as client:
        result = await client.call_tool("thrash_verdict", {"run_dir": run})
    text = text_of(result)
    assert result.structured_content["n_slots"] == 40
    assert len(text.encode()) / 4 <= VERDICT_TOKENS, text


async def test_what_a_verdict_says_to_ask_next_can_be_asked(forty_slots: Path) -> None:
    async with connect_in_memory(forty_slots) as client:
        verdict = await client.call_tool("thrash_verdict", {"run_dir": "oscillate"})
        following = verdict.structured_content["next"]
        assert len(following) == 3
        assert "next: " + "; ".join(following) in text_of(verdict)
        for call in following:
            tool, _, rest = call.partition("(")
            arguments = rest.partition(")")[0]
            values = {
                name: json.loads(value) for name, value in (pair.split("=") for pair in arguments.split(", "))
            }
            assert not (await client.call_tool(tool, values)).is_error, call


@pytest.mark.parametrize(
    "view", ["seed_internal_levels", "internal_op_summary", "internal_op_metrics", "counterfactual_deltas"]
)
async def test_rows_as_text_cost_about_half_of_rows_as_objects(view: str, forty_slots: Path) -> None:
    async with connect_in_memory(forty_slots) as client:
        table = await ask(client, view)
        text = text_of(await client.call_tool(view, {}))
    objects = json.dumps(dicts(table), separators=(",", ":"), ensure_ascii=False)
    assert table["row_count"] > 10
    assert len(text.encode()) <= 0.55 * len(objects.encode())
