"""What the MCPServer of the SDK has no typed way for: pages of lists, completions, subscriptions.

The one place that reaches below its surface; a test fails when what it takes hold of moves.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import ListenHandler, ResourcesListChanged, ResourceUpdated, SubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    EmptyResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)

from esper.karn.mcp.paging import page_of
from esper.karn.mcp.watching import RUNS, RunWatcher

if TYPE_CHECKING:
    from pathlib import Path

MAX_SUBSCRIPTIONS = 100
"""Of one connection of the older revision, and addresses of one stream of the newer."""

MAX_URI = 1_000
"""Characters of an address."""
_CHANGES = re.compile(rf"{RUNS}(/[^/]+(/\w+)?)?")

_Ctx = ServerRequestContext[Any, Any]


class Subscriptions:
    """Who is told when a run has new events.

    Args:
        telemetry_dir: folder of all runs.
        bus: the server's, to which streams of the newer revision listen.
    """

    def __init__(self, telemetry_dir: Path, bus: SubscriptionBus) -> None:
        self._bus = bus
        self._listen = ListenHandler(bus)
        self._of: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
        """Addresses that connections of the older revision have subscribed to."""
        self.watcher = RunWatcher(telemetry_dir, self._changed, self._list_changed)

    async def subscribe(self, ctx: _Ctx, params: SubscribeRequestParams) -> EmptyResult:
        """``resources/subscribe``, of the revisions up to 2025-11-25."""
        uri, connection = _checked(str(params.uri)), _connection(ctx)
        mine = self._of.get(connection)
        if mine is None:
            mine = self._of[connection] = set()
            connection.exit_stack.callback(self._end, mine)
        if uri not in mine:
            if len(mine) >= MAX_SUBSCRIPTIONS:
                raise MCPError(code=INVALID_PARAMS, message=f"at most {MAX_SUBSCRIPTIONS} subscriptions")
            mine.add(uri)
            await self.watcher.watch(uri)
        return EmptyResult()

    async def unsubscribe(self, ctx: _Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
        """``resources/unsubscribe``; nothing happens where there is no such subscription."""
        mine, uri = self._of.get(_connection(ctx), set()), str(params.uri)
        if uri in mine:
            mine.remove(uri)
            self.watcher.leave(uri)
        return EmptyResult()

    async def listen(self, ctx: _Ctx, params: SubscriptionsListenRequestParams) -> Any:
        """``subscriptions/listen``, of the revision 2026-07-28: the answer is the stream."""
        wanted = params.notifications
        asked = [str(uri) for uri in wanted.resource_subscriptions or ()]
        if any(len(uri) > MAX_URI for uri in asked):
            raise MCPError(code=INVALID_PARAMS, message=f"an address has at most {MAX_URI} characters")
        uris = [uri for uri in asked if _CHANGES.fullmatch(uri)]
        if len(asked) > MAX_SUBSCRIPTIONS:
            raise MCPError(code=INVALID_PARAMS, message=f"at most {MAX_SUBSCRIPTIONS} resources a stream")
        # The list of runs is watched together with the runs.
        uris += [RUNS] if wanted.resources_list_changed else []
        watched: list[str] = []
        try:
            for uri in uris:
                await self.watcher.watch(uri)
                watched.append(uri)
            return await self._listen(ctx, params)
        finally:
            for uri in watched:
                self.watcher.leave(uri)

    async def _changed(self, uri: str) -> None:
        await self._bus.publish(ResourceUpdated(uri=uri))
        for connection, mine in list(self._of.items()):
            if uri in mine:
                await connection.send_resource_updated(uri)

    async def _list_changed(self) -> None:
        await self._bus.publish(ResourcesListChanged())

    def _end(self, mine: set[str]) -> None:
        while mine:
            self.watcher.leave(mine.pop())


def add_handlers(
    server: MCPServer[Any],
    subscriptions: Subscriptions,
    complete: Callable[[CompleteRequestParams], Awaitable[CompleteResult]],
) -> None:
    """Give a server pages of its lists, subscriptions and completions."""
    low = server._lowlevel_server

    async def tools(_: _Ctx, params: PaginatedRequestParams) -> ListToolsResult:
        entries, cursor = page_of("tools", await server.list_tools(), params.cursor)
        return ListToolsResult(tools=entries, next_cursor=cursor)

    async def resources(_: _Ctx, params: PaginatedRequestParams) -> ListResourcesResult:
        entries, cursor = page_of("resources", await server.list_resources(), params.cursor)
        return ListResourcesResult(resources=entries, next_cursor=cursor)

    async def templates(_: _Ctx, params: PaginatedRequestParams) -> ListResourceTemplatesResult:
        entries, cursor = page_of("templates", await server.list_resource_templates(), params.cursor)
        return ListResourceTemplatesResult(resource_templates=entries, next_cursor=cursor)

    async def prompts(_: _Ctx, params: PaginatedRequestParams) -> ListPromptsResult:
        entries, cursor = page_of("prompts", await server.list_prompts(), params.cursor)
        return ListPromptsResult(prompts=entries, next_cursor=cursor)

    async def completions(_: _Ctx, params: CompleteRequestParams) -> CompleteResult:
        return await complete(params)

    low.add_request_handler("completion/complete", CompleteRequestParams, completions)
    low.add_request_handler("tools/list", PaginatedRequestParams, tools)
    low.add_request_handler("resources/list", PaginatedRequestParams, resources)
    low.add_request_handler("resources/templates/list", PaginatedRequestParams, templates)
    low.add_request_handler("prompts/list", PaginatedRequestParams, prompts)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscriptions.subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, subscriptions.unsubscribe)
    low.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, subscriptions.listen)


def _connection(ctx: _Ctx) -> Connection:
    return ctx.session._connection


def _checked(uri: str) -> str:
    if len(uri) <= MAX_URI and _CHANGES.fullmatch(uri):
        return uri
    raise MCPError(
        code=INVALID_PARAMS, message="only karn://runs, a run, and a view of a run change: subscribe to those"
    )
