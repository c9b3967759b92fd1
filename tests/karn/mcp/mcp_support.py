"""How tests talk to the server: three ways to connect, and answers that are checked as they come."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from esper.karn.mcp.server import build_server

Connect = Callable[[Path], AbstractAsyncContextManager[Client]]

HARD_CAP_BYTES = 100_000
"""25,000 tokens at four bytes each: no part of an answer may be longer, whatever a cell holds."""


@asynccontextmanager
async def connect_in_memory(folder: Path, mode: str = "auto") -> AsyncIterator[Client]:
    """A client of a server in this process."""
    async with Client(build_server(folder), mode=mode) as client:
        yield client


@asynccontextmanager
async def connect_over_stdio(folder: Path, mode: str = "auto") -> AsyncIterator[Client]:
    """A client of ``karn mcp`` in a process of its own."""
    async with Client(stdio_server(folder), mode=mode) as client:
        yield client


def stdio_server(folder: Path, *options: str) -> StdioServerParameters:
    """Starts ``karn mcp`` over a folder."""
    command = ["-W", "error", "-m", "esper", "mcp", "--telemetry-dir", str(folder), *options]
    return StdioServerParameters(command=sys.executable, args=command)


def text_of(result: Any) -> str:
    """The one text part of an answer."""
    (part,) = result.content
    return str(part.text)


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that answers with a table; the table, after a check that its text says the same."""
    result = await client.call_tool(tool, arguments)
    text = text_of(result)
    assert not result.is_error, text
    table: dict[str, Any] = result.structured_content
    assert len(text.encode()) <= HARD_CAP_BYTES
    assert len(json.dumps(table, ensure_ascii=False).encode()) <= HARD_CAP_BYTES
    note, *lines = text.split("\n")
    assert note.startswith(f"# {table['row_count']} row")
    assert [*csv.reader(lines)] == [
        table["columns"],
        *[[as_csv(cell) for cell in row] for row in table["rows"]],
    ]
    assert table["row_count"] == len(table["rows"])
    assert all(warning in note for warning in table["warnings"] if warning.isprintable())
    assert table["truncated"] is (table["next_cursor"] is not None)
    if table["truncated"]:
        assert table["next_cursor"] in note
    return table


def as_csv(cell: Any) -> str:
    """A value as it must stand in the text."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (dict, list)):
        cell = json.dumps(cell, separators=(",", ":"), ensure_ascii=False)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(cell))


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool that must refuse; its text, after a check that it tells nothing of the host."""
    result = await client.call_tool(tool, arguments)
    text = text_of(result)
    assert result.is_error, text
    assert "Traceback" not in text
    assert str(Path(__file__).parents[3]) not in text
    assert "/tmp/" not in text
    assert text.isprintable() or "\n" in text
    assert len(text) <= 2_100
    return text


def dicts(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows by column name."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def of_type(events: list[dict[str, Any]], event_type: str) -> list[dict[str, Any]]:
    """Events of one type."""
    return [event for event in events if event["event_type"] == event_type]


async def all_pages(client: Client, tool: str, **arguments: Any) -> list[dict[str, Any]]:
    """Every row of a call, page by page."""
    table = await ask(client, tool, **arguments)
    rows = dicts(table)
    while table["next_cursor"] is not None:
        table = await ask(client, tool, **arguments, cursor=table["next_cursor"])
        assert table["rows"]
        rows += dicts(table)
    return rows
