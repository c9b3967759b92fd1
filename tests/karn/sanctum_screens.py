"""Sanctum on a screen that a test can press keys on, and look at as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from picture_text import screen_lines
from sanctum_support import fixed_now
from textual.pilot import Pilot
from textual.widgets import Static

from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.glyphs import UNICODE
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget

NEVER_S = 10_000.0
"""Refresh interval of an app whose every poll is the test's own."""


def viewer(folder: Path, run_dir: str | None = None, **options: Any) -> SanctumApp:
    """An app whose clock stands still, in a terminal that can show everything."""
    fixed = {"refresh_s": NEVER_S, "now": fixed_now, "glyphs": UNICODE, "colors": "full"}
    return SanctumApp(folder, run_dir, **fixed | options)


def levels(app: SanctumApp) -> str:
    """The level table as text."""
    return str(app.screen_stack[0].query_one("#internal-levels", InternalLevelWidget).render())


def slots(app: SanctumApp) -> list[str]:
    """The environments and slots in the table, from the top: "0 r0c0"."""
    return [" ".join(line.split()[:2]) for line in levels(app).splitlines()[1:] if not line.startswith("▸")]


def text_of(app: SanctumApp, selector: str) -> str:
    """What one part of the main screen says."""
    return str(app.screen_stack[0].query_one(selector, Static).render())


def screen_text(app: SanctumApp) -> str:
    """The screen as lines of text."""
    return "\n".join(screen_lines(app)) + "\n"


async def settle(pilot: Pilot[None]) -> None:
    """Wait until the app has read everything, and drawn it."""
    app = pilot.app
    assert isinstance(app, SanctumApp)
    await pilot.pause()
    while app.behind:
        app._poll_and_refresh()
        await pilot.pause()
