"""Opens the viewer on this process's terminal, as that terminal can show it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from esper.karn.sanctum.glyphs import color_mode, glyphs_for
from esper.karn.sanctum.memory import collect_rarely
from esper.karn.settings import find_event_files
from esper.leyline.errors import TelemetryUsageError, unknown_name

if TYPE_CHECKING:
    from esper.karn.sanctum.app import SanctumApp


def run_sanctum(telemetry_dir: Path, run_dir: str | None = None) -> int:
    """Open the viewer and stay until it is closed. A missing folder, or one without runs, is waited for.

    Args:
        telemetry_dir: folder of all runs.
        run_dir: the run, None for the latest.

    Returns:
        The exit code: 0, 1 after the viewer crashed, or 128 and the number of the signal that ended it.

    Raises:
        NotFoundError: if the folder holds runs, but not this one.
        TelemetryUsageError: if there is no terminal to draw on.
    """
    runs = find_event_files(telemetry_dir)
    if run_dir is not None and runs and run_dir not in runs:
        raise unknown_name("run", run_dir, runs)
    streams = {"input": sys.__stdin__, "output": sys.__stdout__, "error": sys.__stderr__}
    elsewhere = [name for name, stream in streams.items() if stream is None or not stream.isatty()]
    if elsewhere:
        raise TelemetryUsageError(
            f"Sanctum draws on a terminal, and standard {' and '.join(elsewhere)} "
            f"{'is' if len(elsewhere) == 1 else 'are'} redirected: use karn sanctum --once"
        )
    from esper.karn.sanctum.leaving import run_until_told

    return run_until_told(sanctum_app(telemetry_dir, run_dir))


def sanctum_app(telemetry_dir: Path, run_dir: str | None) -> SanctumApp:
    """The viewer with the signs and colours of this terminal, not yet running."""
    from esper.karn.sanctum.app import SanctumApp

    collect_rarely()
    return SanctumApp(
        telemetry_dir,
        run_dir,
        glyphs=glyphs_for(os.environ, sys.stdout.encoding),
        colors=color_mode(os.environ),
    )
