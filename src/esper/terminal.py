"""What the commands share: an opened store, progress bars on standard error, printing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from esper.leyline.errors import TelemetryUsageError

if TYPE_CHECKING:
    from esper.karn.store.database import Store

SHOWN_AFTER_S = 1.0
"""A bar for less than this would only flicker."""


def show(text: str, end: str = "\n") -> None:
    """Print to standard output."""
    sys.stdout.write(text + end)


@contextmanager
def open_store(telemetry_dir: Path | None) -> Iterator[Store]:
    """The store of an existing telemetry folder, with everything on disk taken in.

    Raises:
        TelemetryUsageError: if there is no such folder.
    """
    from esper.karn.settings import telemetry_dir as folder
    from esper.karn.store.database import Store

    where = folder(telemetry_dir)
    if not where.is_dir():
        raise TelemetryUsageError(
            f"no telemetry folder {where} (looked in {where.absolute().parent}); give --telemetry-dir or set "
            "KARN_TELEMETRY_DIR"
        )
    with Store(where) as store:
        with progress("reading telemetry") as advance:
            store.refresh(advance)
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
