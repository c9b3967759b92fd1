"""The commands that look after a telemetry folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esper.karn.textout import clean
from esper.leyline.errors import TelemetryFileError, TelemetryUsageError
from esper.options import AsJson, TelemetryDir
from esper.terminal import existing_folder, open_store, progress, show

if TYPE_CHECKING:
    from esper.karn.store.archive import Moved


def compact(telemetry_dir: TelemetryDir = None) -> None:
    """Seal event files into segments, so that every later start is instant. The event files stay."""
    from esper.karn.store.compact import compact as seal

    where = existing_folder(telemetry_dir)
    with progress("sealing telemetry") as advance:
        done = seal(where, advance)
    show(
        f"{done.runs} run{'' if done.runs == 1 else 's'}: {done.event_bytes:,} bytes of events sealed in "
        f"{done.segments} segment{'' if done.segments == 1 else 's'} of {done.segment_bytes:,} bytes"
    )


def doctor(telemetry_dir: TelemetryDir = None, as_json: AsJson = False) -> None:
    """Say what is wrong with a folder's files, with this installation, and with how hosts start it.

    Gaps, bad lines, lost events, silent ranks, segments; each host's entry is started once.
    """
    import msgspec

    from esper.hosts.checkup import check_hosts, hosts_text
    from esper.karn.store.checkup import check_folder, checkup_text

    with open_store(telemetry_dir) as store:
        checked = check_folder(store)
        error = store.sealing_error
    hosts = check_hosts()
    if as_json:
        found = {"runs": checked, "hosts": hosts}
        show(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        show(f"{checkup_text(checked, error)}\n{hosts_text(hosts)}")


def archive(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="The runs' names.")] = None,
    telemetry_dir: TelemetryDir = None,
    all_finished: Annotated[bool, typer.Option("--all-finished", help="Every finished run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    restore: Annotated[bool, typer.Option("--restore", help="Bring archived event files back.")] = False,
) -> None:
    """Pack runs' event files and remove them; every answer stays the same. --restore brings them back."""
    names = list(dict.fromkeys(runs or ()))
    if restore:
        if not names or all_finished or dry_run:
            raise TelemetryUsageError("--restore needs names of runs, and no other option but the folder")
        _restore(names, existing_folder(telemetry_dir))
    elif bool(names) == all_finished:
        raise TelemetryUsageError("give names of runs, or --all-finished")
    else:
        _archive(names, telemetry_dir, asks_first=not yes, dry_run=dry_run)


def _archive(names: list[str], telemetry_dir: Path | None, *, asks_first: bool, dry_run: bool) -> None:
    from esper.karn.store.archive import archive_run, candidate, finished_runs

    if asks_first and not dry_run and not sys.stdin.isatty():
        raise TelemetryUsageError("nothing was removed: there is no terminal to ask on; pass --yes to remove")
    with open_store(telemetry_dir) as store:
        chosen = [store.check_run(name) for name in names] or finished_runs(store)
        found = [candidate(store, name) for name in chosen]
        ready = [run for run in found if run.event_bytes and run.refusal is None]
        refused = [run.run_dir for run in found if run.refusal is not None]
        for run in found:
            name = clean(run.run_dir)
            if run.refusal is not None:
                _say_refused(run.run_dir, run.refusal)
            elif not run.event_bytes:
                show(f"{name}: nothing to archive")
            elif dry_run or asks_first:
                show(f"{name}: {run.event_bytes:,} bytes of event files would be packed and removed")
        if dry_run or not ready:
            if not found:
                show("no finished run that is not archived")
        elif not asks_first or typer.confirm("pack and remove them?"):
            refused += _each(
                [run.run_dir for run in ready],
                lambda name: archive_run(store, name),
                word="freed",
                nothing="left as it is: packed it would take no less room",
            )
    if refused:
        raise typer.Exit(1)


def _restore(names: Sequence[str], where: Path) -> None:
    from esper.karn.store.archive import restore_run

    if _each(names, lambda name: restore_run(where, name), word="taken", nothing="nothing to restore"):
        raise typer.Exit(1)


def _each(names: Sequence[str], move: Callable[[str], Moved], *, word: str, nothing: str) -> list[str]:
    """Do it to each run, and say for each what came of it; returns those that refused."""
    refused, total = [], 0
    for name in names:
        try:
            moved = move(name)
        except TelemetryFileError as error:
            refused.append(name)
            _say_refused(name, str(error))
            continue
        if not moved.event_bytes:
            show(f"{clean(name)}: {nothing}")
            continue
        bytes_moved = moved.event_bytes - moved.archive_bytes
        total += bytes_moved
        show(
            f"{clean(name)}: {bytes_moved:,} bytes {word} "
            f"({moved.event_bytes:,} of events, {moved.archive_bytes:,} packed)"
        )
    if len(refused) < len(names):
        show(f"{total:,} bytes {word} in all")
    return refused


def _say_refused(run_dir: str, reason: str) -> None:
    print(f"karn: {clean(run_dir)} is left as it is: {clean(reason)}", file=sys.stderr)
