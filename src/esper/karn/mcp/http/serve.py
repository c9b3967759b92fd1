"""Serves MCP over Streamable HTTP, both with sessions (2025-11-25) and without (2026-07-28)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from esper.karn.mcp.http.bind import Bind, bound, open_listener, served_names
from esper.karn.mcp.http.connection import connection_type
from esper.karn.mcp.http.ending import EndingServer, Requests
from esper.karn.mcp.http.gate import MCP_PATH, Gate
from esper.karn.mcp.http.limits import HttpLimits, raise_file_limit
from esper.karn.mcp.http.unanswered import CancelUnanswered

_LIMITS = HttpLimits()


def http_app(
    server: MCPServer[Any], names: frozenset[str], token: bytes | None, limits: HttpLimits
) -> Requests:
    """The server as an ASGI application.

    Args:
        server: ready for any transport.
        names: what a Host header may hold, as ``served_names`` gives them.
        token: what clients must show; None lets all in.
        limits: for all clients together.
    """
    app = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        max_request_body_size=limits.body_bytes,
        session_idle_timeout=limits.session_idle_s,
        max_sessions=limits.sessions,
        # The gate looks at Host and Origin, of every path and before a body is read. Left out, this would
        # mean loopback names alone, whatever the server listens on.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return Requests(Gate(CancelUnanswered(app), names, token))


def serve_http(
    server: MCPServer[Any],
    bind: Bind,
    token: bytes | None,
    *,
    allowed_hosts: Iterable[str] = (),
    limits: HttpLimits = _LIMITS,
) -> None:
    """Serve until SIGINT or SIGTERM; one line on standard error says where, once clients can connect.

    Args:
        server: ready for any transport.
        bind: where to listen.
        token: what clients must show; None lets all in, where none but this machine can be served.
        allowed_hosts: more names by which clients may call this server.
        limits: for all clients together.

    Raises:
        TelemetryUsageError: if other machines could call without a token, or it can't be listened there.
    """
    listener = open_listener(bind, guarded=token is not None)
    raise_file_limit()
    listening = bound(listener)
    app = http_app(server, served_names(bind, listening, allowed_hosts), token, limits)
    config = uvicorn.Config(
        app,
        http=connection_type(limits),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="error",  # what strangers send is no news
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=512,  # connections that the kernel keeps until they are counted
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(limits.shutdown_s) + 2,
    )
    guard = "a token is needed" if token is not None else "no token is needed"
    print(f"karn: MCP on http://{listening}{MCP_PATH}, {guard}", file=sys.stderr, flush=True)
    EndingServer(config, app, limits.shutdown_s).run(sockets=[listener])
