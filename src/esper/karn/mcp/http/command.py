"""What ``karn mcp --http`` does with its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer

from esper.karn.mcp.folder import announced_telemetry_dir
from esper.karn.mcp.http.bind import parse_bind
from esper.karn.mcp.http.serve import serve_http
from esper.karn.mcp.http.token import take_token


def run_http(
    telemetry_dir: Path,
    build: Callable[[Path], MCPServer[Any]],
    where: str | None,
    token_file: Path | None,
    allowed_hosts: Sequence[str],
) -> None:
    """Serve over HTTP until SIGINT or SIGTERM; a folder that is not there is waited for.

    Args:
        telemetry_dir: as it was given, see ``find_telemetry_dir``.
        build: makes the server of the folder that was found.
        where: HOST:PORT or a part of it; None for the default.
        token_file: holds the token, if the environment does not.
        allowed_hosts: more names by which clients may call this server.

    Raises:
        TelemetryUsageError: if the options can't be right.
    """
    bind, token = parse_bind(where), take_token(token_file)
    serve_http(build(announced_telemetry_dir(telemetry_dir)), bind, token, allowed_hosts=allowed_hosts)
