"""A user's home for tests of hosts' files."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from esper.hosts.known import HOSTS
from test_cli import EXAMPLES, karn

FILES = {
    "claude-code": ".claude.json",
    "claude-desktop": "Claude/claude_desktop_config.json",
    "cursor": ".cursor/mcp.json",
    "vscode": "Code/User/mcp.json",
    "codex": ".codex/config.toml",
}
SETTINGS = "Library/Application Support" if sys.platform == "darwin" else ".config"


class Home:
    """A user's home and a project's folder in it; karn as that user runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "work/project"
        self.project.mkdir(parents=True)

    def file(self, host: str) -> Path:
        settings = self.folder / SETTINGS if host in ("claude-desktop", "vscode") else self.folder
        return settings / FILES[host]

    def write(self, host: str, content: str | bytes) -> Path:
        path = self.file(host)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @property
    def variables(self) -> dict[str, str]:
        # an empty variable counts as none
        names = ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME")
        return {"HOME": str(self.folder), **dict.fromkeys(names, "")}

    def karn(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return karn(*arguments, cwd=self.project, **{**self.variables, **variables})

    def install(self, host: str, *arguments: str | Path) -> str:
        done = self.karn("install", host, "--yes", "-d", EXAMPLES, *arguments)
        assert done.returncode == 0, done
        return done.stdout

    def uninstall(self, host: str, *arguments: str) -> str:
        done = self.karn("uninstall", host, "--yes", *arguments)
        assert done.returncode == 0, done
        return done.stdout


def entry_in(host: str, path: Path, name: str = "karn") -> dict[str, Any]:
    """The entry as an independent reader finds it."""
    values = tomllib.loads(path.read_text()) if path.suffix == ".toml" else json.loads(path.read_text())
    return values[HOSTS[host].container][name]


def backups(path: Path) -> list[str]:
    return sorted(entry.name.removeprefix(path.name) for entry in path.parent.glob(f"{path.name}.karn-*"))
