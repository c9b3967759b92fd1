"""What an import brings with it, seen from a fresh interpreter: the base stays light for good."""

from __future__ import annotations

import pytest

from support import run_python

HEAVY = {"duckdb", "torch", "mcp", "textual", "numpy", "sklearn", "matplotlib", "anyio", "rich", "typer"}


def packages_after(statement: str) -> set[str]:
    """Names of the top-level packages that are loaded once a statement has run."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    return set(run_python(code).stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "esper",
        "esper.leyline",
        "esper.leyline.codec",
        "esper.simic.training.internal_op_tracker",
        "esper.simic.training.counterfactual_tracker",
        "esper.simic.training.recorder",
        "esper.karn.collector",
        "esper.karn.settings",
        "esper.karn.jsonl.tail",
        "esper.karn.jsonl.lines",
        "esper.karn.diagnosis",
        "esper.hosts.checkup",
    ],
)
def test_the_base_loads_nothing_heavy(module):
    assert packages_after(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("esper.leyline", {"esper.simic", "esper.kasmina", "esper.karn", "pydantic"}),
        ("esper.simic.training.recorder", {"esper.karn", "esper.kasmina", "pydantic"}),
        ("esper.karn.collector", {"esper.simic", "esper.kasmina", "esper.karn.store", "esper.karn.sanctum"}),
        ("esper.karn.diagnosis", {"esper.simic", "esper.karn.store", "esper.karn.sanctum", "esper.karn.mcp"}),
    ],
)
def test_no_part_loads_one_that_it_should_not_know(module, never):
    code = f"import {module}, sys\nprint(*sys.modules)"
    loaded = run_python(code).stdout.split()
    assert not [name for name in loaded for part in never if name == part or name.startswith(f"{part}.")]


def test_a_whole_recording_loads_nothing_heavy_either(tmp_path):
    code = """
import sys
from esper.karn.collector import TelemetryCollector
from esper.simic.training.recorder import InternalOpRecorder
with TelemetryCollector(sys.argv[1]) as collector, InternalOpRecorder(collector) as recorder:
    recorder.training_started(task="toy")
    recorder.seed_added(0, "r0c0", 1, 4)
    recorder.level_changed(0, "r0c0", 1, 2)
    recorder.epoch_end(0, 1, 0.5, 0.5)
    recorder.episode_end(0)
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in run_python(code, tmp_path).stdout.split()}
    assert loaded & HEAVY == set()
