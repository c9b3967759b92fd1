"""The example of a foreign loop, in an environment that holds the base installation and nothing more."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from esper.leyline.codec import json_schema
from support import ROOT, read_events

EXAMPLE = ROOT / "examples" / "own_trainer.py"


@pytest.fixture(scope="session")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh virtual environment with the project's base installed, not editable."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one environment serves all workers
    with (shared / "base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = shared / "base" / "bin" / "python"
        if not (shared / "base.ready").exists():
            subprocess.run([sys.executable, "-m", "venv", shared / "base"], check=True)
            install(python)
            (shared / "base.ready").touch()
    return python


def install(python: Path) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT]
    constraints = ROOT / "constraints.txt"
    if constraints.is_file():
        command += ["-c", constraints]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def written(base_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the example writes, run from outside the checkout, with warnings as errors."""
    folder = tmp_path_factory.mktemp("run")
    command = [base_python, "-W", "error", EXAMPLE, "--telemetry-dir", folder / "telemetry"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (path,) = folder.glob("telemetry/*/events.jsonl")
    assert done.stdout == f"wrote {path}\n"
    return path


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 60


def test_it_writes_every_kind_of_event_that_applies(written):
    events = read_events(written)
    kinds = Counter(event["event_type"] for event in events)
    assert kinds["TRAINING_STARTED"] == kinds["TRAINING_FINISHED"] == 1
    assert kinds["EPOCH_COMPLETED"] == kinds["ANALYTICS_SNAPSHOT"] == 2 * 3 * 60
    assert kinds["EPISODE_OUTCOME"] == 2 * 3
    assert kinds["SEED_GERMINATED"] == 2 * 3 * 2
    assert kinds["SEED_INTERNAL_LEVEL_CHANGED"] == kinds["INTERNAL_OP_METRICS"] > 100
    assert 0 < kinds["COUNTERFACTUAL_DELTA"] <= kinds["SEED_INTERNAL_LEVEL_CHANGED"]
    assert {event["data"].get("env_id", 0) for event in events} == {0, 1}
    validator = Draft202012Validator(json_schema())
    assert all(validator.is_valid(event) for event in events)


@pytest.mark.parametrize("package", ["torch", "duckdb", "mcp", "textual", "numpy", "sklearn"])
def test_the_base_installation_brings_none_of_the_heavy_packages(base_python, package):
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is not None)"
    assert subprocess.run([base_python, "-c", code], check=False).returncode == 0, f"{package} is there"


def test_the_base_is_the_installed_one_and_not_the_checkouts(base_python, tmp_path):
    code = "import esper.karn.collector as module; print(module.__file__)"
    done = subprocess.run([base_python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "site-packages" in done.stdout
