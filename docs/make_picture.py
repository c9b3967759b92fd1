"""Draws docs/sanctum.svg, the README's picture of Sanctum, from a recorded run (``make picture``)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from esper.karn.sanctum.picture import screenshot

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    screenshot(
        ROOT / "examples/telemetry",
        "oscillate",
        ROOT / "docs/sanctum.svg",
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
