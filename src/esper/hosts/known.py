"""The hosts that Karn can be connected to: where each keeps its MCP servers, and how it writes one down."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from esper.hosts import json_edit, toml_edit
from esper.leyline.errors import TelemetryUsageError, unknown_name


class Editor(Protocol):
    """A file format: json_edit or toml_edit."""

    def values(self, text: str) -> dict[str, Any]: ...

    def with_entry(self, text: str, container: str, name: str, entry: dict[str, Any]) -> str: ...

    def without_entry(self, text: str, container: str, name: str, *, drop_container: bool) -> str: ...


class Host(NamedTuple):
    """A program that starts MCP servers."""

    name: str
    title: str
    editor: Editor
    container: str
    """The key that holds the servers by name."""
    user_file: Callable[[], Path]
    """Found anew each time: it depends on the environment."""
    project_file: str | None
    """From the project's folder; None where the host has no projects."""
    typed: bool
    """Whether an entry says that it is a stdio server."""
    next_step: str
    """What makes a running host see a new entry."""

    def file(self, *, project: bool) -> Path:
        """The file of this user, or of the project in the working directory.

        Raises:
            TelemetryUsageError: if the host knows no projects.
        """
        if not project:
            return self.user_file()
        if self.project_file is None:
            raise TelemetryUsageError(f"{self.title} has no file for a project; leave --project out")
        return Path(self.project_file).absolute()


def _settings_folder() -> Path:
    """Where desktop programs keep their settings."""
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _folder_from(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


HOSTS = {
    host.name: host
    for host in (
        Host(
            name="claude-code",
            title="Claude Code",
            editor=json_edit,
            container="mcpServers",
            user_file=lambda: _folder_from("CLAUDE_CONFIG_DIR", ".") / ".claude.json",
            project_file=".mcp.json",
            typed=True,
            next_step="start claude anew; /mcp shows the server",
        ),
        Host(
            name="claude-desktop",
            title="Claude Desktop",
            editor=json_edit,
            container="mcpServers",
            user_file=lambda: _settings_folder() / "Claude/claude_desktop_config.json",
            project_file=None,
            typed=False,
            next_step="quit Claude Desktop and start it anew",
        ),
        Host(
            name="cursor",
            title="Cursor",
            editor=json_edit,
            container="mcpServers",
            user_file=lambda: Path.home() / ".cursor/mcp.json",
            project_file=".cursor/mcp.json",
            typed=True,
            next_step="switch the server on in Cursor's MCP settings",
        ),
        Host(
            name="vscode",
            title="VS Code",
            editor=json_edit,
            container="servers",
            user_file=lambda: _settings_folder() / "Code/User/mcp.json",
            project_file=".vscode/mcp.json",
            typed=True,
            next_step='run "MCP: List Servers" in VS Code and start the server',
        ),
        Host(
            name="codex",
            title="Codex",
            editor=toml_edit,
            container="mcp_servers",
            user_file=lambda: _folder_from("CODEX_HOME", ".codex") / "config.toml",
            project_file=".codex/config.toml",
            typed=False,
            next_step="start codex anew; /mcp shows the server (a project's only if you trust the project)",
        ),
    )
}


def host_named(name: str) -> Host:
    """The host of this name.

    Raises:
        NotFoundError: with the nearest names, if there is none.
    """
    if name not in HOSTS:
        raise unknown_name("host", name, HOSTS)
    return HOSTS[name]
