"""``make demo``: what an assistant sees of the two recorded runs, over a real MCP connection.

Starts ``karn mcp`` as a host would, talks to it through the MCP SDK's client over standard input and output,
and prints the text of each answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

EXAMPLES = Path(__file__).resolve().parent / "telemetry"
KARN = Path(sys.executable).with_name("karn")


def heading(text: str) -> None:
    """Print a line that stands out."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


async def ask(client: Client, tool: str, **arguments: object) -> None:
    """Call a tool and print its text, as an assistant reads it."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    heading(f"{tool}({shown})")
    result = await client.call_tool(tool, arguments)
    for part in result.content:
        print(getattr(part, "text", part))
    if result.is_error:
        raise SystemExit(f"{tool} failed")


async def main() -> None:
    """Ask what a researcher would have asked."""
    server = StdioServerParameters(command=str(KARN), args=["mcp", "--telemetry-dir", str(EXAMPLES)])
    runs = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    async with Client(server) as client:
        info = client.server_info
        print(f"connected to {info.name if info else 'karn'} over stdio, protocol {client.protocol_version}")
        await ask(client, "list_runs")
        for run in runs:
            await ask(client, "thrash_verdict", run_dir=run)
        thrashing = next(run for run in runs if "oscillate" in run)
        await ask(client, "internal_op_usage")
        await ask(client, "thrash_check", run_dir=thrashing)
        await ask(client, "counterfactual_by_op", run_dir=thrashing)
    heading("connect your own assistant (give your telemetry folder instead of the examples)")
    print(host_lines(KARN, EXAMPLES))


def host_lines(karn: Path, telemetry: Path) -> str:
    """What to paste into each host."""
    server = f'{{"command": "{karn}", "args": ["mcp", "--telemetry-dir", "{telemetry}"]}}'
    return "\n".join(
        [
            f"Claude Code:     claude mcp add karn -- {karn} mcp --telemetry-dir {telemetry}",
            f'Claude Desktop:  claude_desktop_config.json: {{"mcpServers": {{"karn": {server}}}}}',
            f'Cursor:          .cursor/mcp.json: {{"mcpServers": {{"karn": {server}}}}}',
            f'VS Code:         .vscode/mcp.json: {{"servers": {{"karn": {server}}}}}',
        ]
    )


if __name__ == "__main__":
    anyio.run(main)
