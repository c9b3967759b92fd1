"""fastmcp's client; runs in a virtual environment of its own, and says what talk.mjs says."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import PromptReference, ResourceUpdatedNotification

RUN = "karn://runs/oscillate"


class Conversation:
    """One connection, and what is asked over it.

    Args:
        given: ``command`` or ``url``, ``events``, ``revision``, as for the other clients.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self._modern = given["revision"] >= "2026"
        self._events = Path(given["events"])
        self._told: asyncio.Queue[str] = asyncio.Queue()
        program, *arguments = given.get("command") or [""]
        self.client = Client(
            StreamableHttpTransport(given["url"]) if given.get("url") else StdioTransport(program, arguments),
            mode="auto" if self._modern else "legacy",
            message_handler=self._message,
        )

    async def _message(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self._told.put_nowait(str(message.params.uri))

    async def talk(self) -> dict[str, Any]:
        """Everything that was answered."""
        client = self.client
        pages = [await self._call("internal_op_summary", run_dir="oscillate", limit=1)]
        while cursor := pages[-1]["structuredContent"]["next_cursor"]:
            pages.append(await self._call("internal_op_summary", run_dir="oscillate", limit=1, cursor=cursor))
        info = client.server_info
        return {
            "revision": client.protocol_version,
            "server": None if info is None else info.model_dump(mode="json"),
            "instructions": client.instructions,
            "tools": [tool.name for tool in await client.list_tools()],
            "resources": [str(resource.uri) for resource in await client.list_resources()],
            "templates": [template.uri_template for template in await client.list_resource_templates()],
            "prompts": [prompt.name for prompt in await client.list_prompts()],
            "verdict": await self._call("thrash_verdict", run_dir="oscillate"),
            "pages": [page["structuredContent"] for page in pages],
            "sql": await self._call("query_sql", sql="SELECT run_dir FROM runs ORDER BY run_dir"),
            "refused": await self._call("query_sql", sql="SELECT * FROM slot_trash"),
            "guide": await self._read("karn://guide"),
            "runs": await self._read("karn://runs"),
            "view": await self._read(f"{RUN}/slot_thrash"),
            "prompt": _json(await client.get_prompt("diagnose_thrash", {"run_dir": "oscillate"})),
            "completion": {
                "completion": _json(
                    await client.complete(
                        PromptReference(type="ref/prompt", name="diagnose_thrash"),
                        {"name": "run_dir", "value": "osc"},
                    )
                )
            },
            "told": await self._follow(RUN),
        }

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return _json(await self.client.call_tool_mcp(tool, arguments))

    async def _read(self, uri: str) -> dict[str, Any]:
        (part,) = await self.client.read_resource(uri)
        return _json(part)

    async def _follow(self, uri: str) -> str:
        if self._modern:
            async with listen(self.client.session, resource_subscriptions=[uri]) as events:
                self._touch()
                return str((await anext(aiter(events))).uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)  # this revision has no other way
            await self.client.session.subscribe_resource(uri)
        self._touch()
        return await self._told.get()

    def _touch(self) -> None:
        """Write the run's last event once more."""
        last = self._events.read_text().splitlines()[-1]
        with self._events.open("a") as file:
            file.write(f"{last}\n")


def _json(answer: Any) -> dict[str, Any]:
    said: dict[str, Any] = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return said


async def main() -> None:
    conversation = Conversation(json.loads(sys.argv[1]))
    async with conversation.client:
        print(json.dumps(await conversation.talk()))


asyncio.run(main())
