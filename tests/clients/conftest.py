"""Fixtures of the tests with clients that nobody here wrote; ``make test-clients`` installs the clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import FASTMCP_PYTHON, NODE, copied_runs


def pytest_sessionstart() -> None:
    """Say at once what is missing."""
    for path in (NODE, FASTMCP_PYTHON):
        if not path.exists():
            pytest.exit(f"{path} is not there: run `make test-clients`, which installs it", returncode=2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A telemetry folder with the recorded runs, which a test may write to."""
    return copied_runs(tmp_path / "telemetry")
