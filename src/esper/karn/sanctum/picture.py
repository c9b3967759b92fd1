"""The screen as a picture, drawn without a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.feed import utc_now
from esper.karn.sanctum.glyphs import UNICODE
from esper.karn.sanctum.once import existing_run


def screenshot(
    telemetry_dir: Path,
    run_dir: str | None,
    path: Path,
    size: tuple[int, int] = (110, 32),
    *,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Write the screen as SVG.

    Args:
        telemetry_dir: folder of all runs.
        run_dir: the run, None for the latest.
        path: the file to write.
        size: columns and rows of the terminal.
        now: gives the time in UTC.

    Raises:
        NotFoundError: if there is no such run, or none at all.
    """
    run = existing_run(telemetry_dir, run_dir)
    app = SanctumApp(telemetry_dir, run, now=now, glyphs=UNICODE, colors="full")
    path.write_text(asyncio.run(_draw(app, size)), encoding="utf-8")


async def _draw(app: SanctumApp, size: tuple[int, int]) -> str:
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        while app.behind:
            app._poll_and_refresh()
            await pilot.pause()
        return app.export_screenshot(title=f"karn sanctum {app.snapshot.run.run_dir}")
