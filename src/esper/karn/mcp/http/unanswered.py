"""Cancels a call that nobody waits for any more: its client went away, or the server ends."""

from __future__ import annotations

import json
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SESSION_HEADER = b"mcp-session-id"


class CancelUnanswered:
    """ASGI middleware for requests within sessions (protocol 2025-11-25).

    There the SDK goes on with a call whose connection broke, since a client may come back for its answer
    where the server keeps events. This one keeps none, so nobody could ever have it; the query would only
    hold its process. In the later revision the SDK cancels by itself.

    Args:
        app: the SDK's; it bounds a body before it has read it all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _in_session(scope):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        answered = False

        async def heard() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def said(message: Message) -> None:
            nonlocal answered
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, heard, said)
        finally:
            if not answered:
                with anyio.CancelScope(shield=True):
                    await self._cancel(scope, bytes(body))

    async def _cancel(self, scope: Scope, body: bytes) -> None:
        request_id = _request_id(body)
        if request_id is None:
            return
        cancelled = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": request_id, "reason": "nobody waits for the answer"},
        }
        request: Message = {
            "type": "http.request",
            "body": json.dumps(cancelled).encode(),
            "more_body": False,
        }

        async def receive() -> Message:
            return request

        async def send(message: Message) -> None:
            """Nobody waits for the answer."""

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        await self._app({**scope, "headers": headers}, receive, send)


def _in_session(scope: Scope) -> bool:
    return any(name == _SESSION_HEADER for name, _ in scope["headers"])


def _request_id(body: bytes) -> str | int | None:
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):  # half a message, or one that the SDK refused
        return None
    request_id = message.get("id") if isinstance(message, dict) and "method" in message else None
    return request_id if isinstance(request_id, str | int) else None
