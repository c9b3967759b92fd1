"""What the commands share: an opened store, progress bars on standard error, printing, exit codes."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from typer.exceptions import TyperException

from esper.ctrl_c import ended_by_ctrl_c
from esper.karn.textout import clean
from esper.leyline.errors import KarnError, TelemetryUsageError

if TYPE_CHECKING:
    from esper.karn.store.database import Store

SHOWN_AFTER_S = 1.0
"""A bar for less than this would only flicker."""


def show(text: str, end: str = "\n") -> None:
    """Print to standard output.

    Raises:
        TelemetryUsageError: if it takes no more, as on a full disk.
        BrokenPipeError: if its reader has enough.
    """
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_output()
        raise TelemetryUsageError(f"can't write to standard output: {error.strerror}") from error


def _give_up_output() -> None:
    """Python would write the rest once more when it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def next_command(run_dir: str, telemetry_dir: Path) -> str:
    """What to type next, fit to be pasted into a shell."""
    return f"next: karn report --telemetry-dir {shlex.quote(str(telemetry_dir))} -- {shlex.quote(run_dir)}"


def existing_folder(telemetry_dir: Path | None) -> Path:
    """The telemetry folder.

    Raises:
        TelemetryUsageError: if there is no such folder.
    """
    from esper.karn.settings import telemetry_dir as folder

    where = folder(telemetry_dir)
    if where.exists() and not where.is_dir():
        raise TelemetryUsageError(f"{where} is a file; a telemetry folder holds <run>/events.jsonl")
    if not where.is_dir():
        raise TelemetryUsageError(
            f"no telemetry folder {where} (looked in {where.absolute().parent}); give --telemetry-dir or set "
            "KARN_TELEMETRY_DIR"
        )
    return where


@contextmanager
def open_store(telemetry_dir: Path | None) -> Iterator[Store]:
    """The store of an existing telemetry folder, with everything on disk taken in.

    Raises:
        TelemetryUsageError: if there is no such folder.
    """
    from esper.karn.store.database import Store

    where = existing_folder(telemetry_dir)
    with ended_by_ctrl_c(), Store(where) as store:
        with progress("reading telemetry") as advance:
            store.refresh(advance)
        for damage in store.damaged():
            print(f"karn: events can't be read: {clean(damage)}", file=sys.stderr)
        yield store


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes on standard error, on a terminal only, once it has taken a second."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what)
    begun = time.monotonic()

    def advance(done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - begun > SHOWN_AFTER_S:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        bar.stop()


_EXTRA_OF = {
    "duckdb": "mcp",
    "mcp": "mcp",
    "anyio": "mcp",
    "textual": "sanctum",
    "matplotlib": "plot",
    "torch": "train",
    "sklearn": "train",
}


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command line; exit with 0, 1 after one clear line on standard error, or 2 on wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal can't show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="karn", standalone_mode=False)
    except TyperException as error:
        _fail_usage(error)
    except KarnError as error:
        _fail(str(error), 1)
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        _fail(f"this needs {error.name}: pip install 'karn-telemetry[{extra}]'", 1)
    except BrokenPipeError:  # the reader, such as head, has enough
        sys.stderr.close()
        code = 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _give_up_output()  # the help page is printed by others
        _fail(f"can't write: {error.strerror}", 1)
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # DuckDB's words for Ctrl-C
            raise
        raise SystemExit(130) from None
    raise SystemExit(code or 0)


def _fail_usage(error: TyperException) -> NoReturn:
    message = error.format_message().replace("Value error, ", "")
    if not message:  # no command at all: the help was shown
        raise SystemExit(error.exit_code)
    context = getattr(error, "ctx", None)
    where = "karn" if context is None else context.command_path
    _fail(f"{message.rstrip('.')}; see {where} --help", error.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    print(f"karn: {clean(text)}", file=sys.stderr)
    raise SystemExit(code)
