"""Every benchmark, small: it ends well, its ways of answering agree, and it leaves its numbers as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import ROOT

LINUX = sys.platform == "linux"
TABLES = {
    "store": 1,
    "ingest": 2,
    "cold": 1,
    "growth": 2,
    "process": 2,
    "mcp": 3,
    "sanctum": 4,
    "emit": 3,
    "trackers": 1,
    "effects": 1,
}
"""How many tables each benchmark writes."""
QUESTIONS = {
    "thrash check",
    "counterfactual by op",
    "usage",
    "summary of a run",
    "last 100 changes",
    "summary of all runs",
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def measured(name: str, work_dir: Path, *options: str) -> dict[str, Any]:
    """What a benchmark of 2,000 events and one round writes; it ends with an error if answers differ."""
    results = work_dir / "results"
    done = python(
        *("-m", f"benchmarks.bench_{name}", "--events", "2000", "--rounds", "1"),
        *("--work-dir", str(work_dir / "events"), "--results", str(results), *options),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 3, "a table is printed"
    written: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
    assert written["benchmark"] == name
    assert all(written["tables"].values()), "no table is empty"
    assert not [
        path for path in (work_dir / "events").iterdir() if path.name.startswith(("copy-", "writing-"))
    ]
    return written["tables"]


def test_make_bench_runs_every_benchmark() -> None:
    files = {path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")}
    (listed,) = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("BENCHMARKS")
    ]
    assert files == set(TABLES) == set(listed.partition(":=")[2].split())


@pytest.mark.parametrize(
    "name",
    [
        "ingest",
        "cold",
        pytest.param(
            "process", marks=pytest.mark.skipif(not LINUX, reason="asks the kernel for what only Linux tells")
        ),
    ],
)
def test_a_benchmark_ends_well_and_writes_its_numbers(name: str, tmp_path: Path) -> None:
    tables = measured(name, tmp_path, "--runs", "2")
    assert len(tables) == TABLES[name]


def test_all_four_ways_answer_the_six_questions_alike(tmp_path: Path) -> None:
    (rows,) = measured("store", tmp_path, "--runs", "2").values()
    found = {row["question"]: row["rows"] for row in rows}
    assert found.keys() == {*QUESTIONS, "sum"}
    assert all(found.values()), "each question has rows to agree on"
    assert all(row[f"{way} cpu"] > 0 for row in rows for way in ("karn", "reparse", "polars", "floor"))


def test_the_server_is_measured_beside_the_least_one(tmp_path: Path) -> None:
    tables = measured("mcp", tmp_path, "--runs", "2", "--calls", "40")
    assert len(tables) == TABLES["mcp"]
    assert all(value > 0 for rows in tables.values() for row in rows for value in row.values())


@pytest.mark.skipif(not LINUX, reason="asks the kernel for what only Linux tells")
def test_the_viewer_is_measured_in_a_terminal_beside_others(tmp_path: Path) -> None:
    options = ("--rows", "64", "--seconds", "0.2", "--settle", "0.3", "--markers", "2", "--without-toolong")
    tables = measured("sanctum", tmp_path, *options)
    assert len(tables) == TABLES["sanctum"]
    (live,), (seen,) = tables["live"], tables["latency"]
    assert all(live[f"{way} cpu %"] > 0 for way in ("sanctum", "seed widget"))
    assert 0 < seen["median ms"] <= seen["worst ms"]
    assert [row["viewer"] for row in tables["idle"]] == ["empty app", "sanctum, ended run", "sanctum, paused"]


def test_every_event_lands_whichever_way_it_is_logged(tmp_path: Path) -> None:
    tables = measured("emit", tmp_path, "--epochs", "1")
    assert len(tables) == TABLES["emit"]
    ways = {row["way"]: row for row in tables["emit"]}
    assert {"karn", "karn buffered", "json.dumps", "json.dumps, flush", "write alone"} <= ways.keys()
    assert all(row["landed %"] == 100 and row["caller us"] > 0 for row in ways.values())
    assert [row["what"] for row in tables["landed"]] == [
        "burst, karn",
        "burst, karn buffered",
        "kill -9, karn",
    ]
    assert all(row["landed"] == row["emitted"] > 0 for row in tables["landed"])
    assert all(row["cpu ms"] > 0 for row in tables["training"])


def test_the_tracker_answers_as_the_seeds_formula_at_every_window(tmp_path: Path) -> None:
    tables = measured("trackers", tmp_path)
    assert len(tables) >= TABLES["trackers"]  # and one more where trackers of many environments are built
    assert [row["window"] for row in tables["scalar"]] == [10, 50, 500]
    assert all(row["tracker"] > 0 for row in tables["scalar"])


def test_growth_is_fitted_over_events_and_runs(tmp_path: Path) -> None:
    tables = measured("growth", tmp_path, "--events", "1000", "2000", "--runs", "1", "3")
    assert {(row["events"], row["runs"]) for row in tables["costs"]} == {
        (events, runs) for events in (1000, 2000) for runs in (1, 3)
    }
    for row in tables["exponents"]:
        assert all(isinstance(value, float) for name, value in row.items() if name != "step")


def test_an_answer_that_differs_ends_the_benchmark() -> None:
    code = """
from benchmarks.bench_store import check
from benchmarks.questions import QUESTIONS
ways = {way: {name: lambda way=way: [(1, way == "karn")] for name in QUESTIONS} for way in ("karn", "floor")}
check(ways)
"""
    done = python("-c", code)
    assert done.returncode == 1
    assert "thrash check: karn answers" in done.stderr


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    code = """
from benchmarks.measure import exponent
print(round(exponent([1, 10, 100], [3, 30, 300]), 6), round(exponent([1, 10], [5, 5]), 6), exponent([1], [1]))
"""
    assert python("-c", code).stdout == "1.0 0.0 None\n"
