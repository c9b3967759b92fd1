"""Whether hosts can start the server as their files say, and whether this installation is whole."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from esper.hosts import files
from esper.hosts.change import values_of
from esper.hosts.entry import karn_command
from esper.hosts.known import HOSTS, Host
from esper.hosts.probe import why_no_answer
from esper.karn.settings import TELEMETRY_DIR_VARIABLE
from esper.karn.textout import clean
from esper.leyline.errors import HostFileError

DISTRIBUTION = "karn-telemetry"
PACKAGE = "esper"


TryServer = Callable[[tuple[str, ...], tuple[tuple[str, str], ...]], str | None]
"""From a command and its variables to the reason why it does not answer; None if it does."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    host: str | None
    """None: of this installation, not of a host."""
    file: str | None
    ok: bool
    text: str
    advice: str | None = None
    """What to do, where something is to be done."""


def check_hosts() -> list[Finding]:
    """Every host's files in this home and this folder, each Karn entry in them started once."""
    found = [*_check_owner(), *_check_sdk()]
    try_server = functools.cache(_try_server)  # most hosts start the same one
    for host in HOSTS.values():
        user_file = host.user_file()
        found += _check_file(_HostFile(host, user_file, False), try_server)
        if host.project_file and (file := host.file(project=True)) != user_file:
            found += _check_file(_HostFile(host, file, True), try_server)
    return found


def hosts_text(findings: list[Finding]) -> str:
    """The findings, one on a line, with what to do below the problems."""
    lines = []
    for finding in findings:
        where = " ".join(part for part in (finding.host or "installation", finding.file) if part)
        lines.append(clean(f"{where}: {'' if finding.ok else 'PROBLEM: '}{finding.text}"))
        if finding.advice:
            lines.append(clean(f"  {finding.advice}"))
    return "\n".join(lines)


class _HostFile(NamedTuple):
    host: Host
    path: Path
    project: bool

    @property
    def install(self) -> str:
        return f"`karn install {self.host.name}{' --project' if self.project else ''}`"

    def fine(self, text: str, advice: str | None = None) -> Finding:
        return Finding(host=self.host.name, file=str(self.path), ok=True, text=text, advice=advice)

    def problem(self, text: str, advice: str | None = None) -> Finding:
        advice = advice or f"{self.install} writes it anew"
        return Finding(host=self.host.name, file=str(self.path), ok=False, text=text, advice=advice)


def _check_file(file: _HostFile, try_server: TryServer) -> list[Finding]:
    try:
        content = files.read(file.path)
        if content is None:
            return []
        entries = list(_karn_entries(file.host, values_of(file.host, file.path, content)))
    except HostFileError as error:
        return [file.problem(str(error).removeprefix(f"{file.path}:"), "mend the file")]
    if not entries:
        return [file.fine("no karn entry", f"{file.install} adds one")]
    return [_check_entry(file, name, entry, try_server) for name, entry in entries]


def _karn_entries(host: Host, values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries by name, those of Claude Code's local scope too: `claude mcp add` writes there."""
    places: list[Any] = [values]
    projects = values.get("projects") if host.name == "claude-code" else None
    if isinstance(projects, dict):
        places.append(projects.get(str(Path.cwd())))
    for place in places:
        servers = place.get(host.container) if isinstance(place, dict) else None
        for name, entry in servers.items() if isinstance(servers, dict) else ():
            if isinstance(entry, dict) and (name == "karn" or _starts_karn(entry)):
                yield name, entry


def _starts_karn(entry: dict[str, Any]) -> bool:
    return Path(str(entry.get("command", ""))).name == "karn"


def _check_entry(file: _HostFile, name: str, entry: dict[str, Any], try_server: TryServer) -> Finding:
    """One finding for an entry: the first thing that keeps it from working, or that it works."""
    command, arguments, variables = entry.get("command"), entry.get("args", []), entry.get("env", {})
    if not (
        isinstance(command, str)
        and isinstance(arguments, list)
        and all(isinstance(argument, str) for argument in arguments)
        and isinstance(variables, dict)
    ):
        if "url" in entry:
            return file.fine(f"{name} is reached over HTTP; not tried")
        return file.problem(f"{name} says no command")
    if "${" in f"{command} {arguments} {variables}":
        return file.fine(f"{name} has variables that the host fills in; not tried")
    program = shutil.which(command)
    if program is None:
        missing = "is not executable" if Path(command).exists() else "does not exist"
        return file.problem(f"{name}: the command {command} {missing}")
    if _starts_karn(entry) and (trouble := _folder_trouble(arguments, variables)):
        return file.problem(f"{name}: {trouble}")
    by_hand = f"try it in a terminal: {shlex.join([command, *arguments])}"
    if file.project and not _is_own([program, *arguments], variables):
        # a project may come from anyone, and hosts too ask before they start what its file says
        return file.fine(f"{name} starts something else than this installation; not tried", by_hand)
    reason = try_server((program, *arguments), tuple((str(key), str(it)) for key, it in variables.items()))
    if reason is not None:
        return file.problem(f"{name}: {reason}", by_hand)
    return file.fine(f"{name} starts and answers")


def _is_own(command: list[str], variables: dict[str, Any]) -> bool:
    """Whether a command is this installation's server, with nothing set that could make it another."""
    own = [*karn_command(), "mcp"]
    return command[: len(own)] == own and set(variables) <= {TELEMETRY_DIR_VARIABLE}


def _try_server(command: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> str | None:
    return why_no_answer([*command], dict(variables))


def _folder_trouble(arguments: list[str], variables: dict[str, Any]) -> str | None:
    """What is wrong with the telemetry folder that an entry names."""
    folder = variables.get(TELEMETRY_DIR_VARIABLE)
    for index, argument in enumerate(arguments):
        if argument in ("--telemetry-dir", "-d"):
            folder = arguments[index + 1] if index + 1 < len(arguments) else None
        elif argument.startswith("--telemetry-dir="):
            folder = argument.partition("=")[2]
    if not folder:
        return "it names no telemetry folder, so it serves one that depends on where the host starts"
    if not os.path.isabs(folder):
        return f"the telemetry folder {folder} is relative, so it depends on where the host starts"
    return None if os.path.isdir(folder) else f"there is no telemetry folder {folder}"


def _check_owner() -> list[Finding]:
    """Another distribution's `esper` overwrites files of this one."""
    owners = sorted({*metadata.packages_distributions().get(PACKAGE, ())} - {DISTRIBUTION})
    if not owners:
        return []
    text = f"the package {PACKAGE} is also installed by {', '.join(owners)}"
    advice = f"pip uninstall {' '.join(owners)} && pip install --force-reinstall --no-deps {DISTRIBUTION}"
    return [Finding(host=None, file=None, ok=False, text=text, advice=advice)]


def _check_sdk() -> list[Finding]:
    """Whether the MCP SDK is here, in the range that this distribution asks for."""
    wanted = next(
        (line.partition(";")[0].strip() for line in metadata.requires(DISTRIBUTION) or () if _is_sdk(line)),
        "mcp",
    )
    try:
        version = metadata.version("mcp")
    except metadata.PackageNotFoundError:
        text = "the MCP SDK is not installed"
    else:
        if _in_range(version, wanted.removeprefix("mcp")):
            return [Finding(host=None, file=None, ok=True, text=f"MCP SDK {version}")]
        text = f"MCP SDK {version} does not fit {wanted}"
    advice = f"pip install '{DISTRIBUTION}[mcp]'"
    return [Finding(host=None, file=None, ok=False, text=text, advice=advice)]


def _is_sdk(requirement: str) -> bool:
    return requirement.startswith("mcp") and not requirement[3:4].isalnum() and requirement[3:4] not in "-_"


def _in_range(version: str, limits: str) -> bool:
    """Whether a version is within limits such as ``<3,>=2.3``, the only two kinds that are used here."""
    have = _numbers(version)
    return all(
        have >= _numbers(limit[2:]) if limit.startswith(">=") else have < _numbers(limit.removeprefix("<"))
        for limit in limits.split(",")
        if limit
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
