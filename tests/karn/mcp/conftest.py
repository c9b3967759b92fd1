"""A folder with two real runs, and the ways to connect."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp_support import Connect, connect_in_memory, connect_over_stdio

from support import write_run


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``calm``, which settles, and ``flip``, which reverses every op. Nobody writes there."""
    folder = tmp_path_factory.mktemp("runs") / "telemetry"
    write_run(folder, "calm", policy="settle", episodes=3, epochs=20)
    write_run(folder, "flip", policy="oscillate", episodes=2, epochs=30)
    return folder


@pytest.fixture(params=["memory 2025-11-25", "memory 2026-07-28", "stdio"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connects a client to a server over a folder, in each of three ways."""
    if request.param == "stdio":
        return connect_over_stdio
    mode = "legacy" if request.param.endswith("2025-11-25") else "auto"
    return lambda folder: connect_in_memory(folder, mode)
