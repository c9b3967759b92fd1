"""``karn plot``: levels over epochs, as text and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esper.leyline.errors import TelemetryUsageError
from esper.options import Run, TelemetryDir
from esper.terminal import open_store, show


def plot(
    run: Run = None,
    telemetry_dir: TelemetryDir = None,
    env: Annotated[int | None, typer.Option(help="Only this environment.")] = None,
    slot: Annotated[str | None, typer.Option(help="Only slots of this name.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write a picture too (extra plot).")
    ] = None,
) -> None:
    """Show each slot's level over epochs, the worst first, with its reversals and since when it thrashes."""
    from esper.karn.plotting.sparkline import sparkline_text
    from esper.karn.store.levels import run_levels

    if out is not None and out.suffix.lower() != ".png":
        raise TelemetryUsageError(f"--out must name a .png file, not {out.name}")
    with open_store(telemetry_dir) as store:
        levels = run_levels(store, run, env, slot)
    written = out is not None and bool(levels.slots)
    if out is not None and written:
        from esper.karn.plotting.picture import picture

        png = picture(levels)
        try:
            out.write_bytes(png)
        except OSError as error:
            raise TelemetryUsageError(f"can't write {out}: {error.strerror}") from error
    show(sparkline_text(levels))
    if written:
        show(f"picture: {out}")
