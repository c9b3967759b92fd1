"""Karn's server, made by its own factory, with what the conformance suite asks for added to it.

``python tests/clients/fixture_server.py FOLDER`` serves it over HTTP as ``karn mcp --http`` does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fixture_content import add_content
from fixture_dialogue import add_dialogue
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from esper.karn.mcp.http.command import run_http
from esper.karn.mcp.server import KarnServer, build_server


def build_fixture_server(telemetry_dir: Path) -> KarnServer:
    """The server of a telemetry folder, and the suite's tools, resources and prompts."""
    server = build_server(telemetry_dir)
    add_content(server)
    add_dialogue(server)
    for method, params_type in (
        ("resources/subscribe", SubscribeRequestParams),
        ("resources/unsubscribe", UnsubscribeRequestParams),
    ):
        _accept_test_addresses(server, method, params_type)
    return server


def _accept_test_addresses(server: KarnServer, method: str, params_type: type[Any]) -> None:
    """The server lets only what changes be subscribed to; test:// never does."""
    low = server._lowlevel_server
    entry = low.get_request_handler(method)
    assert entry is not None, method

    async def subscribe(ctx: Any, params: Any) -> Any:
        if str(params.uri).startswith("test://"):
            return EmptyResult()
        return await entry.handler(ctx, params)

    low.add_request_handler(method, params_type, subscribe)


if __name__ == "__main__":
    run_http(Path(sys.argv[1]), build_fixture_server, "127.0.0.1:0", None, ())
