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
from typing import TYPE_CHECKING, NoReturn, TextIO

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
        _give_up(sys.stdout)
        raise TelemetryUsageError(_no_output(error)) from error


def _no_output(error: OSError) -> str:
    why = "it is closed" if error.errno == errno.EBADF else error.strerror
    return f"can't write to standard output: {why}"


def _give_up(stream: TextIO) -> None:
    """Python would write the rest once more when it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
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


_TAKES_NO_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a user's share of it, and the longest file that a process may write."""


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command line; exit with 0, 1 after one clear line on standard error, or 2 on wrong usage."""
    _replace_closed_streams()
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
        if error.errno == errno.EBADF and _output_is_closed():
            text = _no_output(error)
        elif error.errno in _TAKES_NO_MORE:
            text = f"can't write: {error.strerror}"
        else:
            raise
        _give_up(sys.stdout)  # the help page is printed by others
        _fail(text, 1)
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # DuckDB's words for Ctrl-C
            raise
        raise SystemExit(130) from None
    raise SystemExit(code or 0)


def _replace_closed_streams() -> None:
    """Where a stream was closed, as by ``>&-``: output then fails as elsewhere, and errors go nowhere."""
    number = 0
    while number <= 2:  # a file that is opened later must not get the number of a stream
        number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _output_is_closed() -> bool:
    """Whether standard output, or what stands for it, was not opened for writing."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _fail_usage(error: TyperException) -> NoReturn:
    message = error.format_message().replace("Value error, ", "")
    if not message:  # no command at all: the help was shown
        raise SystemExit(error.exit_code)
    context = getattr(error, "ctx", None)
    where = "karn" if context is None else context.command_path
    _fail(f"{message.rstrip('.')}; see {where} --help", error.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    try:
        print(f"karn: {clean(text)}", file=sys.stderr, flush=True)
    except OSError:  # there is nowhere left to say it
        _give_up(sys.stderr)
    raise SystemExit(code)
