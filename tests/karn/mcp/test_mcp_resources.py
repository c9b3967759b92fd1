"""Resources and prompts: the same facts as the tools, from the same headers and thresholds."""

from __future__ import annotations

import json
from pathlib import Path

from mcp_support import Connect, connect_in_memory

from esper.karn.diagnosis import BIAS, LABELS
from esper.karn.store.views import shipped_queries, shipped_views
from esper.leyline import thresholds
from support import write_run


async def test_resources_can_be_read(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        (views,) = (await client.read_resource("karn://views")).contents
        (view,) = (await client.read_resource("karn://views/thrash_check")).contents
        (runs,) = (await client.read_resource("karn://runs")).contents
        (run,) = (await client.read_resource("karn://runs/flip")).contents
        (guide,) = (await client.read_resource("karn://guide")).contents
    for name in (*shipped_views(), *shipped_queries()):
        assert f"`{name}`" in views.text
    query = shipped_queries()["thrash_check"]
    assert query.body in view.text
    for name, meaning in query.columns.items():
        assert f"`{name}`: {meaning}" in view.text
    assert [entry["run_dir"] for entry in json.loads(runs.text)["runs"]] == ["flip", "calm"]
    described = json.loads(run.text)
    assert sum(described["events_by_type"].values()) == described["events"]
    assert guide.mime_type == "text/markdown"


async def test_every_view_has_its_page(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        for name, view in {**shipped_views(), **shipped_queries()}.items():
            (page,) = (await client.read_resource(f"karn://views/{name}")).contents
            assert page.text.startswith(f"# {name}: {view.title}\n")


async def test_the_guide_says_the_thresholds_that_hold(two_runs: Path) -> None:
    async with connect_in_memory(two_runs) as client:
        (guide,) = (await client.read_resource("karn://guide")).contents
    t = thresholds
    assert (
        f"healthy < {t.WATCH_AT}; watch < {t.CAUTION_AT}; caution {t.CAUTION_AT} to {t.THRASH_ABOVE}"
        in guide.text
    )
    assert f"thrash > {t.THRASH_ABOVE}" in guide.text
    assert f"green < {t.WATCH_AT}; yellow < {t.RED_AT}; red from {t.RED_AT}" in guide.text
    assert f"Under {t.MIN_PAIRS} pairs" in guide.text
    assert "0.625 at L = 4" in guide.text
    assert BIAS in guide.text
    assert all(f"`{label}`" in guide.text for label in LABELS)
    assert len(guide.text) / 4 < 1_200


async def test_a_run_s_name_may_hold_any_character(telemetry: Path) -> None:
    name = "lr=1e-3, séed 4 & more"
    write_run(telemetry, name, episodes=1)
    async with connect_in_memory(telemetry) as client:
        (run,) = (
            await client.read_resource("karn://runs/lr%3D1e-3%2C%20s%C3%A9ed%204%20%26%20more")
        ).contents
        prompt = await client.get_prompt("diagnose_thrash", {"run_dir": name})
    assert json.loads(run.text)["run_dir"] == name
    assert f'thrash_verdict(run_dir="{name}")' in prompt.messages[0].content.text


async def test_prompts_name_the_calls_that_answer(connect: Connect, two_runs: Path) -> None:
    async with connect(two_runs) as client:
        diagnose = await client.get_prompt("diagnose_thrash", {"run_dir": "calm"})
        helps = await client.get_prompt("do_grow_ops_help")
        tools = {tool.name for tool in (await client.list_tools()).tools}
    texts = [prompt.messages[0].content.text for prompt in (diagnose, helps)]
    assert 'thrash_verdict(run_dir="calm")' in texts[0]
    assert "thrash_verdict()" in texts[1]
    assert "counterfactual_by_op()" in texts[1]
    assert {"thrash_verdict", "seed_internal_levels", "counterfactual_by_op"} <= tools
