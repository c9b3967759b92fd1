"""op_effect over a real connection: the answer in words, the numbers behind it, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from benchmarks.confounded import World, true_effect
from mcp_support import connect_in_memory, connect_over_stdio, refusal, text_of

from effect_support import write_confounded
from esper.karn.diagnosis import verdict_text
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from support import run_python, write_run

TOKENS = 300
VERDICT_TOKENS = 600
NEXT_TOKENS = 75
"""What a verdict says to ask next, and of how much it speaks."""
HELD = World(holdout=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs ``held`` (with a holdout), ``free`` (without) and ``toy`` (no probabilities)."""
    folder = tmp_path_factory.mktemp("effects") / "telemetry"
    write_confounded(folder, "held", HELD, episodes=60)
    write_confounded(folder, "free", World(), episodes=60, seed=1)
    write_run(folder, "toy", policy="settle")
    return folder


def best(content: dict[str, Any]) -> dict[str, Any]:
    return next(effect for effect in content["effects"] if effect["refused"] is None)


def shown(interval: dict[str, float]) -> str:
    return f"{interval['value']:+.4f} [{interval['low']:+.4f}, {interval['high']:+.4f}]"


@pytest.mark.parametrize(("run", "method"), [("held", "randomised"), ("free", "weighted")])
async def test_over_stdio_either_form_suffices_alone(folder: Path, run: str, method: str) -> None:
    async with connect_over_stdio(folder) as client:
        result = await client.call_tool("op_effect", {"run_dir": run})
    text, content = text_of(result), result.structured_content
    assert not result.is_error
    assert len(text.encode()) / 4 <= TOKENS, text
    effect = best(content)
    assert effect["method"] == method
    assert shown(effect["accuracy"]) in text
    assert shown(effect["loss"]) in text
    support = effect["support"]
    arms = {"randomised": "held back", "weighted": "NOOP"}[method]
    assert f"{method}" in text
    assert f"{support['n_op']} done, {support['n_noop']} {arms}" in text
    assert "60 episodes" in text
    if method == "weighted":
        assert f"effective sample {support['ess_op']:.0f} and {support['ess_noop']:.0f}" in text
        assert f"in {100 * support['overlap']:.0f} % of the states" in text
    assert f"naive loss_advantage {content['naive']['loss_advantage']:+.4f}" in text
    assert "NOOPs of other moments" in text
    assert content["as_of"]["bad_lines"] == 0


async def test_the_truth_lies_in_the_interval_and_the_naive_number_does_not(folder: Path) -> None:
    async with connect_in_memory(folder) as client:
        result = await client.call_tool("op_effect", {"run_dir": "held"})
    effect = best(result.structured_content)["accuracy"]
    assert effect["low"] <= true_effect(HELD) <= effect["high"]
    assert effect["low"] > 0
    assert result.structured_content["naive"]["accuracy_advantage"] < effect["low"]
    assert "GROW against NOOP: it helps: it raises accuracy and lowers loss, beyond chance." in text_of(
        result
    )


async def test_what_cant_be_told_says_why_and_what_to_do(folder: Path) -> None:
    async with connect_in_memory(folder) as client:
        result = await client.call_tool("op_effect", {"run_dir": "toy"})
        short = await client.call_tool("op_effect", {"run_dir": "held", "env_id": 1, "slot_id": "r0c1"})
    text = text_of(result)
    assert not result.is_error
    assert "it can't be told." in text
    assert "weighted: refused, the decisions carry no op_probs, and no holdout was on" in text
    assert "train again with --holdout 0.05" in text
    assert [effect["accuracy"]["value"] for effect in result.structured_content["effects"]] == [None]
    assert "weighted: refused, a slot's own probability is known only where" in text_of(short)


async def test_the_horizon_is_said_and_changes_the_numbers(folder: Path) -> None:
    async with connect_in_memory(folder) as client:
        one = await client.call_tool("op_effect", {"run_dir": "free"})
        three = await client.call_tool("op_effect", {"run_dir": "free", "horizon": 3})
    assert "over the next epoch" in text_of(one)
    assert "over the next 3 epochs, later decisions included" in text_of(three)
    assert best(one.structured_content)["loss"] != best(three.structured_content)["loss"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"op": "GROW"}, "GROW_INTERNAL"),
        ({"horizon": 0}, "horizon: Input should be greater than or equal to 1"),
        ({"run_dir": "hel"}, "held"),
        ({"run_dir": "held", "slot_id": "r0c7"}, "r0c1"),
        ({"slot": "r0c0"}, "slot_id"),
    ],
)
async def test_wrong_arguments_teach(folder: Path, arguments: dict[str, Any], says: str) -> None:
    async with connect_in_memory(folder) as client:
        assert says in await refusal(client, "op_effect", **arguments)


@pytest.mark.parametrize("run", ["held", "free"])
async def test_a_verdict_with_effects_is_still_a_page(folder: Path, run: str) -> None:
    async with connect_in_memory(folder) as client:
        result = await client.call_tool("thrash_verdict", {"run_dir": run})
        asked = await client.call_tool("op_effect", {"run_dir": run})
    text = text_of(result)
    assert len(text.encode()) / 4 <= VERDICT_TOKENS, text
    assert shown(best(asked.structured_content)["loss"]) in text
    assert f'op_effect(run_dir="{run}")' in text


def test_the_server_starts_without_anything_numerical() -> None:
    code = "import esper.karn.mcp.server, esper.karn.store.effects, sys\nprint(*sys.modules)"
    loaded = {name.partition(".")[0] for name in run_python(code).stdout.split()}
    assert not loaded & {"numpy", "scipy"}


async def test_forty_thrashing_slots_with_effects_are_a_page_too(folder: Path, tmp_path: Path) -> None:
    slots = tuple(f"r{row}c0" for row in range(5))
    write_run(tmp_path, "forty", policy="oscillate", n_envs=8, slots=slots, episodes=3, epochs=40)
    with Store(folder) as store, Store(tmp_path) as forty:
        store.refresh()
        forty.refresh()
        effects = thrash_verdict(store, "held")
        verdict = thrash_verdict(forty, "forty")
    grow, told = effects.effects[0], effects.told_effects[0]
    assert told.refused is None
    both = ("GROW_INTERNAL", "SHRINK_INTERNAL")
    whole = msgspec.structs.replace(
        verdict,
        effects=[msgspec.structs.replace(grow, op_name=name) for name in both],
        told_effects=[msgspec.structs.replace(told, op_name=name) for name in both],
    )
    text = verdict_text(whole)
    assert text.count("; naive loss") == 2
    assert len(text.encode()) / 4 <= VERDICT_TOKENS - NEXT_TOKENS, text
