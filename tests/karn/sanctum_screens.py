"""Sanctum on a screen that a test can press keys on, and look at as text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sanctum_support import fixed_now
from textual.widgets import Static

from esper.karn.sanctum.app import SanctumApp
from esper.karn.sanctum.glyphs import UNICODE
from esper.karn.sanctum.widgets.internal_level import InternalLevelWidget

NEVER_S = 10_000.0
"""Refresh interval of an app whose every poll is the test's own."""
SCREENS = Path(__file__).parent / "screens"
"""What the screen should look like, as text. KARN_UPDATE_SCREENS=1 writes them anew: look at each."""


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
    """The screen as lines of text, taken from its picture."""
    picture = ElementTree.fromstring(app.export_screenshot())
    lines: dict[int, list[str]] = {}
    for part in picture.iter("{http://www.w3.org/2000/svg}text"):
        found = re.search(r"line-(\d+)", part.get("clip-path") or "")
        if found is not None:
            line = lines.setdefault(int(found[1]), [" "] * app.size.width)
            start = round(float(part.get("x") or 0) / 12.2)
            text = (part.text or "").replace("\xa0", " ")
            line[start : start + len(text)] = text
    rows = ["".join(lines.get(row, [])).rstrip() for row in range(app.size.height)]
    return "\n".join(rows) + "\n"


async def look(name: str, app: SanctumApp, size: tuple[int, int], *keys: str) -> None:
    """Press keys, and see that the screen is as it was when somebody last looked at it."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        while app.behind:
            app._poll_and_refresh()
            await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        shown = screen_text(app)
    path = SCREENS / f"{name}.txt"
    if "KARN_UPDATE_SCREENS" in os.environ:
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")
