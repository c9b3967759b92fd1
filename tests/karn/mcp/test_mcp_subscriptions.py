"""Subscriptions: whoever watches a run hears of new events soon, and once for many of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_support import connect_in_memory, connect_over_stdio, stdio_server

from esper.karn.collector import TelemetryCollector
from esper.karn.mcp import watching
from esper.karn.mcp.server import build_server
from esper.simic.training.recorder import InternalOpRecorder
from support import write_run

LIMIT_S = 2.0
"""Within which a subscriber must have heard of an event."""
RUN = "karn://runs/live"


@pytest.fixture
def live(telemetry: Path) -> Iterator[InternalOpRecorder]:
    """A recorder of a run that is being written."""
    with TelemetryCollector(telemetry, "live") as collector, InternalOpRecorder(collector) as recorder:
        recorder.seed_added(0, "r0c0", 1, 4)
        yield recorder


async def next_of(stream: Any, within_s: float = LIMIT_S) -> Any:
    """The next event of a stream; None if there is none within that time."""
    with anyio.move_on_after(within_s):
        return await anext(stream)
    return None


@pytest.mark.parametrize("uri", [RUN, f"{RUN}/slot_thrash", "karn://runs"])
@pytest.mark.parametrize("way", [connect_in_memory, connect_over_stdio])
async def test_a_stream_tells_of_new_events(live, telemetry, way, uri):
    async with way(telemetry) as client, client.listen(resource_subscriptions=[uri]) as stream:
        for level in (1, 2):
            live.level_changed(0, "r0c0", level, level + 1)
            assert await next_of(stream) == ResourceUpdated(uri=uri)


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("over_stdio", [False, True])
async def test_the_older_revision_has_its_own_way(live, telemetry, over_stdio):
    send, heard = anyio.create_memory_object_stream[str](100)

    async def on_message(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            await send.send(str(message.params.uri))

    target = stdio_server(telemetry) if over_stdio else build_server(telemetry)
    async with send, heard, Client(target, mode="legacy", message_handler=on_message) as client:
        await client.subscribe_resource(RUN)
        await client.subscribe_resource(RUN)  # once is enough
        live.level_changed(0, "r0c0", 1, 2)
        with anyio.fail_after(LIMIT_S):
            assert await heard.receive() == RUN
        await client.unsubscribe_resource(RUN)
        live.level_changed(0, "r0c0", 2, 3)
        with anyio.move_on_after(LIMIT_S):
            pytest.fail(f"told of {await heard.receive()} after the end")
        await client.unsubscribe_resource(RUN)


async def test_many_events_are_told_once(live, telemetry):
    async with connect_in_memory(telemetry) as client:
        async with client.listen(resource_subscriptions=[RUN]) as stream:
            for step in range(500):
                live.level_changed(0, "r0c0", 1 + step % 2, 2 - step % 2)
            assert await next_of(stream) == ResourceUpdated(uri=RUN)
            assert await next_of(stream) is None


async def test_another_run_is_none_of_a_subscriber_s_business(live, telemetry):
    async with connect_in_memory(telemetry) as client:
        async with client.listen(resource_subscriptions=[RUN]) as stream:
            write_run(telemetry, "other", episodes=1)
            assert await next_of(stream) is None


async def test_a_run_may_be_awaited_and_a_new_one_changes_the_list(telemetry):
    uri = "karn://runs/a%20later%20run"
    async with connect_in_memory(telemetry) as client:
        async with client.listen(resource_subscriptions=[uri], resources_list_changed=True) as stream:
            write_run(telemetry, "a later run", episodes=1)
            events = {await next_of(stream), await next_of(stream)}
            assert events == {ResourceUpdated(uri=uri), ResourcesListChanged()}
        listed = [resource.uri for resource in (await client.list_resources()).resources]
    assert uri in listed


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_what_never_changes_can_not_be_subscribed_to(telemetry):
    async with connect_in_memory(telemetry, "legacy") as client:
        for uri in ("karn://guide", "karn://runs/", "karn://runs/a/b/c", "karn://runs/" + "x" * 1_000):
            with pytest.raises(MCPError, match="only karn://runs, a run, and a view of a run change"):
                await client.subscribe_resource(uri)


async def test_nothing_is_looked_at_without_subscribers(live, telemetry, monkeypatch):
    looks = []
    look = watching._state_of
    monkeypatch.setattr(watching, "_state_of", lambda folder: (looks.append(1), look(folder))[1])
    async with connect_in_memory(telemetry) as client:
        await client.read_resource("karn://guide")
        assert not looks
        async with client.listen(resource_subscriptions=[RUN]) as stream:
            live.level_changed(0, "r0c0", 1, 2)
            assert await next_of(stream) is not None
        await anyio.sleep(2 * watching.PERIOD_S)
        so_far = len(looks)
        await anyio.sleep(2 * watching.PERIOD_S)
        assert len(looks) == so_far
