"""Fixtures that tests of every part may use; the helpers behind them are in support.py."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import ListSink, write_run

# A machine that is busy with something else is no reason to fail.
settings.register_profile("karn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("karn")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in the background of a shell script: every process that a test starts would take Ctrl-C for nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_telemetry_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own KARN_TELEMETRY_DIR changes no test."""
    monkeypatch.delenv("KARN_TELEMETRY_DIR", raising=False)


@pytest.fixture
def sink() -> ListSink:
    """A sink that remembers what it was given."""
    return ListSink()


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    """A telemetry folder that does not exist yet."""
    return tmp_path / "telemetry"


@pytest.fixture
def run_factory(telemetry: Path) -> Callable[..., Path]:
    """Writes runs into ``telemetry``: ``run_factory("name", policy="oscillate", episodes=3)``."""

    def write(run_dir: str, **training: object) -> Path:
        return write_run(telemetry, run_dir, **training)  # type: ignore[arg-type]

    return write
