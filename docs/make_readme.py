"""Fills the README's answer and tables from the program itself (``make readme``)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from mcp import Client
from mcp_types import Prompt

from esper.karn.diagnosis import verdict_text
from esper.karn.mcp.server import build_server
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.karn.store.views import shipped_views

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples/telemetry"


def filled(readme: str) -> str:
    """The README's text with the answer and all tables as they are now."""
    with Store(EXAMPLES) as store:
        store.refresh()
        answer = verdict_text(thrash_verdict(store, "oscillate"))
    readme = re.sub(
        r"(?<=```console\n)(\$ karn report [^\n]*\n).*?(?=```)",
        lambda match: f"{match[1]}{answer}\n",
        readme,
        flags=re.DOTALL,
    )
    results = json.loads((ROOT / "docs/experiment.json").read_text())
    lists = {**asyncio.run(server_rows()), "views": view_rows()}
    parts = {
        **{name: _table(f"{name[:-1]} | what it gives", rows) for name, rows in lists.items()},
        "gates": _table("gate | outcome | why", gate_rows(results)),
        "learned": learned(results),
    }
    for name, text in parts.items():
        readme = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, name=name, text=text: f"<!-- {name} -->\n{text}\n<!-- /{name} -->",
            readme,
            flags=re.DOTALL,
        )
    return readme


def _table(heading: str, rows: list[str]) -> str:
    rule = "|---" * (heading.count("|") + 1) + "|"
    return "\n".join([f"| {heading} |", rule, *rows])


def learned(results: dict[str, Any]) -> str:
    """What ``make experiment`` found of the policy that learns, from its first quarter to its last."""
    ppo, random, oscillate = (results["summary"][policy] for policy in ("ppo", "random", "oscillate"))

    def mean(summary: dict[str, Any], what: str, part: str) -> float:
        return float(summary[f"{part}: {what}"][0])

    first, last = "first quarter", "last quarter"
    spread = ppo[f"{last}: episode_return"][1]
    return (
        "Over three seeds of 24 episodes in 12 environments PPO's return rises from "
        f"{mean(ppo, 'episode_return', first):.3f} in the first quarter to "
        f"{mean(ppo, 'episode_return', last):.3f} in the last (standard deviation over seeds {spread:.3f}; "
        f"random earns {mean(random, 'episode_return', 'whole'):.3f}, oscillate "
        f"{mean(oscillate, 'episode_return', 'whole'):.3f}), and the reversals of an episode fall from "
        f"{mean(ppo, 'reversals', first):.2f} to {mean(ppo, 'reversals', last):.2f}. Their rate among the "
        "few pairs that are left does not fall: it learns to leave levels alone rather than which way to go."
    )


def gate_rows(results: dict[str, Any]) -> list[str]:
    """What ``make experiment`` found: one line for each exit gate of the ladder against its control."""
    return [
        f"| {gate['name']} | {gate['status']} | {gate['reason'].replace('|', '&#124;')} |"
        for gate in results["gates"]
    ]


async def server_rows() -> dict[str, list[str]]:
    """One line for each tool, resource, template and prompt that the server lists, but for single runs."""
    async with Client(build_server(EXAMPLES)) as client:
        tools = (await client.list_tools()).tools
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        prompts = (await client.list_prompts()).prompts
    addresses = {
        **{str(resource.uri): resource for resource in resources if resource.title is not None},
        **{template.uri_template: template for template in templates},
    }
    return {
        "tools": [f"| `{tool.name}` | {tool.title} |" for tool in tools],
        "resources": [
            f"| `{address}` | {_line(entry.description)} |" for address, entry in addresses.items()
        ],
        "prompts": [
            f"| `{prompt.name}`{_arguments(prompt)} | {_line(prompt.description)} |" for prompt in prompts
        ],
    }


def _line(description: str | None) -> str:
    return (description or "").removesuffix(".")


def _arguments(prompt: Prompt) -> str:
    given = [
        f"`{argument.name}`" if argument.required else f"[`{argument.name}`]"
        for argument in prompt.arguments or []
    ]
    return f" {' '.join(given)}" if given else ""


def view_rows() -> list[str]:
    """One line for each shipped view."""
    return [f"| `{view.name}` | {view.title}: {view.grain} |" for view in shipped_views().values()]


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
