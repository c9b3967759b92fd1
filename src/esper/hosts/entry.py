"""A server's entry: the command that a host starts, from any working directory and without a shell's PATH."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from esper.hosts.known import Host
from esper.leyline.errors import TelemetryUsageError

_SERVER_NEEDS = ("mcp", "duckdb", "anyio")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def check_server_name(name: str) -> str:
    """The name itself, if every host takes it.

    Raises:
        TelemetryUsageError: if it has other characters than the strictest hosts allow.
    """
    if not _NAME.match(name):
        raise TelemetryUsageError(
            f"name {name[:80]!r}: hosts take letters, digits, - and _ only, 64 of them at most"
        )
    return name


def check_server_can_start() -> None:
    """That the MCP server's packages are here.

    Raises:
        ModuleNotFoundError: naming the missing one, as its import would.
    """
    for name in _SERVER_NEEDS:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def server_entry(host: Host, telemetry_dir: Path) -> dict[str, Any]:
    """What a host's file says about the server.

    Raises:
        TelemetryUsageError: if the folder's name can't be written there.
    """
    folder = str(telemetry_dir.absolute())
    command = [*karn_command(), "mcp", "--telemetry-dir", folder]
    if any("${" in part for part in command):
        raise TelemetryUsageError(f"{folder}: hosts would put a variable in the place of its ${{...}}")
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise TelemetryUsageError(f"{folder!r} is no UTF-8, which a host's file must be") from None
    kind = {"type": "stdio"} if host.typed else {}
    return {**kind, "command": command[0], "args": command[1:]}


def karn_command() -> list[str]:
    """The absolute path of this installation's ``karn``; its interpreter, where it has no such script."""
    user_scripts = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    # not resolved: a virtual environment is known by where its interpreter's link stands
    for folder in (os.path.dirname(sys.executable), sysconfig.get_path("scripts"), user_scripts):
        script = Path(folder, "karn").absolute()
        if os.access(script, os.X_OK):
            return [str(script)]
    return [sys.executable, "-P", "-m", "esper"]  # -P: a folder "esper" where it starts is not this package
