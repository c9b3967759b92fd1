"""Ends the calls and streams that still run a while after the server was told to end."""

from __future__ import annotations

import asyncio
import socket

import anyio
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Requests:
    """ASGI middleware that knows the requests that are being served, and can end them.

    uvicorn alone would cancel their tasks, print a traceback for each, and go on without them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[anyio.CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = done = False

        async def said(message: Message) -> None:
            nonlocal begun, done
            begun = True
            done = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        with anyio.CancelScope() as running:
            self._running.add(running)
            try:
                await self._app(scope, receive, said)
            except ClientDisconnect:
                return  # while it was sending: there is nobody to answer, and nothing to report
            finally:
                self._running.discard(running)
        if running.cancelled_caught and not begun:
            refusal = PlainTextResponse("the server is ending", 503, {"connection": "close"})
            await refusal(scope, receive, send)
        elif begun and not done:  # by us, or by the SDK, which knows of the signal too
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def end(self) -> None:
        """Cancel all of them."""
        for running in self._running:
            running.cancel()


class EndingServer(uvicorn.Server):
    """A uvicorn server that ends by itself what a signal did not.

    Args:
        config: for uvicorn.
        requests: those of the application.
        grace_s: from the signal to their end.
    """

    def __init__(self, config: uvicorn.Config, requests: Requests, grace_s: float) -> None:
        super().__init__(config)
        self._requests = requests
        self._grace_s = grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        ending = asyncio.get_running_loop().call_later(self._grace_s, self._requests.end)
        await super().shutdown(sockets)
        ending.cancel()
