"""The commands that connect a host, such as Claude Code or Cursor, to the MCP server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from esper.hosts import files
from esper.hosts.change import Change, entry_of, installation, removal
from esper.hosts.entry import check_server_can_start, check_server_name, server_entry
from esper.hosts.known import HOSTS, Host, host_named
from esper.leyline.errors import HostFileError, TelemetryUsageError
from esper.options import TelemetryDir
from esper.terminal import show

HostName = Annotated[str, typer.Argument(metavar="HOST", help=f"One of {', '.join(HOSTS)}.")]
ServerName = Annotated[str, typer.Option("--name", help="The server's name in the host's file.")]
Project = Annotated[
    bool, typer.Option("--project", help="The file of the project in this folder, not the user's.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change only.")]


def install(
    host: HostName,
    telemetry_dir: TelemetryDir = None,
    project: Project = False,
    name: ServerName = "karn",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Connect a host to the MCP server: show the change to its own file, ask, write, keep a backup."""
    from esper.karn.settings import telemetry_dir as folder

    to, server = host_named(host), check_server_name(name)
    path = to.file(project=project)
    where = folder(telemetry_dir).absolute()
    if where.exists() and not where.is_dir():
        raise TelemetryUsageError(f"{where} is a file; a telemetry folder holds <run>/events.jsonl")
    check_server_can_start()
    change = installation(to, path, server, server_entry(to, where))
    if change is None:
        show(f"already there: {server} in {path}")
        return
    if _carry_out(change, yes, dry_run):
        waits = "" if where.exists() else f"\nthere is no folder {where} yet; the server waits for it"
        show(f"next: {to.next_step}{waits}")


def uninstall(
    host: HostName,
    project: Project = False,
    name: ServerName = "karn",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Undo `karn install`: take the server's entry out of a host's file, and leave all else."""
    to, server = host_named(host), check_server_name(name)
    path = to.file(project=project)
    change = removal(to, path, server)
    if change is None:
        show(f"not there: no {server} in {path}{_elsewhere(to, server, project)}")
        return
    _carry_out(change, yes, dry_run)


def _carry_out(change: Change, yes: bool, dry_run: bool) -> bool:
    """Show a change and make it, if that is wanted; whether it was made.

    Raises:
        TelemetryUsageError: if there is no one to ask.
    """
    show(change.diff())
    if dry_run:
        return False
    if not yes:
        if not sys.stdin.isatty():
            raise TelemetryUsageError("nothing was written: without a terminal to ask on, give --yes")
        if not typer.confirm(f"change {change.path}?"):
            raise typer.Exit(1)
    backup = change.write()
    done = "removed" if change.after is None else "wrote"
    show(f"{done} {change.path}" + (f" (before: {backup})" if backup else ""))
    return True


def _elsewhere(host: Host, name: str, project: bool) -> str:
    """A hint where the host's other file has the entry."""
    if host.project_file is None:
        return ""
    path = host.file(project=not project)
    try:
        if entry_of(host, path, files.read(path), name) is None:
            return ""
    except HostFileError:  # a broken file that was not asked about
        return ""
    return (
        "; the user's file has it: leave --project out" if project else "; this project's has it: --project"
    )
