"""karn compact and karn doctor as a person types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from esper.karn.collector import TelemetryCollector
from store_support import level_change, write_lines
from support import toy_training, write_run
from test_cli import error_of, karn


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    folder = tmp_path / "telemetry"
    write_run(folder, "whole")
    return folder


def doctor(telemetry: Path, *options: str) -> str:
    """What karn doctor says to a person whose hosts know nothing of it."""
    done = karn("doctor", "-d", telemetry, *options, cwd=telemetry.parent, HOME=str(telemetry.parent))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compact_seals_a_folder_and_says_how_much(telemetry):
    size = (telemetry / "whole/events.jsonl").stat().st_size
    done = karn("compact", "-d", telemetry)
    assert done.returncode == 0
    assert done.stdout.startswith(f"1 run: {size:,} bytes of events sealed in 1 segment")
    assert len(list(telemetry.glob("whole/segments/events.jsonl@*"))) == 1
    assert karn("compact", "-d", telemetry).stdout == done.stdout


def test_compact_needs_a_folder(tmp_path):
    assert "no telemetry folder" in error_of("compact", "-d", tmp_path / "none")


def test_a_report_from_segments_is_the_same(telemetry):
    before = karn("report", "-d", telemetry, "--full").stdout
    karn("compact", "-d", telemetry)
    assert karn("report", "-d", telemetry, "--full").stdout == before


def test_doctor_finds_nothing_in_a_whole_folder(telemetry):
    first, *about_hosts = doctor(telemetry).splitlines()
    assert first.startswith("whole: finished, ")
    assert "0 bad lines" in first
    assert len(about_hosts) == 1
    assert "MCP SDK" in about_hosts[0]


def test_doctor_names_bad_lines_gaps_and_ranks_that_went_silent(telemetry):
    with TelemetryCollector(telemetry, "broken", rank=0, world_size=2, envs_per_rank=2) as first:
        toy_training(first, episodes=1, epochs=5)
    second = TelemetryCollector(telemetry, "broken", rank=1, world_size=2, envs_per_rank=2)
    second.for_env(0)
    second.close()
    path = telemetry / "broken/events.rank00001.jsonl"
    write_lines(path, b"not json", level_change(5, 0, 1), level_change(5, 1, 2))
    text = doctor(telemetry)
    assert "1 problem of kind line, such as: " in text
    assert "5 events missing in 1 place: see event_gaps" in text
    assert "1 event repeated in 1 place: see event_gaps" in text
    assert "rank 1: not finished" in text


def test_doctor_names_ranks_that_never_wrote(telemetry):
    with TelemetryCollector(telemetry, "lonely", rank=0, world_size=3, envs_per_rank=2) as first:
        toy_training(first, episodes=1, epochs=5)
    assert "  2 of 3 ranks have written no file: ranks 1, 2\n" in doctor(telemetry)
    assert (
        "note: 2 of 3 ranks have written no file: ranks 1, 2\n"
        in karn("report", "lonely", "-d", telemetry).stdout
    )


def test_doctor_names_segments_that_cannot_be_used(telemetry):
    karn("compact", "-d", telemetry)
    folder = next(telemetry.glob("whole/segments/*"))
    next(folder.glob("*.parquet")).unlink()
    assert "1 segment can't be used; `karn compact` writes anew" in doctor(telemetry)
    karn("compact", "-d", telemetry)
    assert "can't be used" not in doctor(telemetry)


def test_doctor_as_json(telemetry):
    found = json.loads(doctor(telemetry, "--json"))
    (entry,) = found["runs"]
    assert all(finding["ok"] for finding in found["hosts"])
    assert entry["run"]["run_dir"] == "whole"
    assert entry["gaps"] == entry["errors"] == entry["quiet_ranks"] == []
    shutil.rmtree(telemetry / "whole")
    assert json.loads(doctor(telemetry, "--json"))["runs"] == []
