"""The least MCP server: one tool that answers at once, over stdio or HTTP; no server costs less than it."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("trivial")


@server.tool()
def hello() -> str:
    """Say hello."""
    return "hello"


if __name__ == "__main__":
    if len(sys.argv) == 1:
        server.run("stdio")
    else:
        server.settings.log_level = "ERROR"
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
