"""Where telemetry lies: names of folders and files, and what a folder may hold besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esper.karn.settings import (
    check_run_dir,
    event_file_name,
    find_event_files,
    new_run_dir,
    rank_of_event_file,
    telemetry_dir,
)


def test_the_folder_is_the_one_given_else_the_environments_else_telemetry(monkeypatch):
    assert telemetry_dir() == Path("telemetry")
    monkeypatch.setenv("KARN_TELEMETRY_DIR", "/data/runs")
    assert telemetry_dir() == telemetry_dir("") == Path("/data/runs")
    assert telemetry_dir("here") == Path("here")


@pytest.mark.parametrize(
    ("rank", "world_size", "name"),
    [
        (0, 1, "events.jsonl"),
        (0, 2, "events.rank00000.jsonl"),
        (1, 2, "events.rank00001.jsonl"),
        (123456, 200000, "events.rank123456.jsonl"),
    ],
)
def test_a_file_name_tells_its_rank_and_the_other_way_round(rank, world_size, name):
    assert event_file_name(rank, world_size) == name
    assert rank_of_event_file(name) == rank


@pytest.mark.parametrize(
    "name",
    [
        "events.jsonl.bak",
        "events.rank1.jsonl",
        "other.jsonl",
        "events.rank00001.jsonl\n",
        "xevents.jsonl",
        "",
    ],
)
def test_other_files_have_no_rank(name):
    assert rank_of_event_file(name) is None


@pytest.mark.parametrize("name", ["run", "run 7", ".hidden", "lauf-ä", "a" * 200])
def test_a_plain_name_can_be_a_run(name):
    assert check_run_dir(name) == name
    assert check_run_dir(new_run_dir()) != new_run_dir()


def test_runs_are_found_by_name_with_their_files_in_rank_order(telemetry):
    for name in ("b", "a", "empty"):
        (telemetry / name).mkdir(parents=True)
    for rank in (10, 2, 0):
        (telemetry / "b" / event_file_name(rank, 11)).touch()
    (telemetry / "a" / "events.jsonl").touch()
    (telemetry / "a" / "notes.txt").touch()
    (telemetry / "events.jsonl").touch()  # not in a run folder
    runs = find_event_files(telemetry)
    assert list(runs) == ["a", "b"]
    assert [rank_of_event_file(path.name) for path in runs["b"]] == [0, 2, 10]
    assert runs["a"] == [telemetry / "a" / "events.jsonl"]


def test_what_only_looks_like_a_run_is_none_and_hides_none(telemetry):
    for name in ("folder", "pipe", "circle", "good"):
        (telemetry / name).mkdir(parents=True)
    (telemetry / "folder" / "events.jsonl").mkdir()
    os.mkfifo(telemetry / "pipe" / "events.jsonl")
    (telemetry / "circle" / "events.jsonl").symlink_to("events.jsonl")
    (telemetry / "round").symlink_to("round")
    (telemetry / "gone").symlink_to("nowhere")
    (telemetry / "good" / "events.jsonl").touch()
    (telemetry / "linked").symlink_to("good")
    assert list(find_event_files(telemetry)) == ["good", "linked"]


def test_a_folder_that_is_not_there_holds_no_runs(tmp_path):
    assert find_event_files(tmp_path / "nowhere") == {}
    (tmp_path / "file").touch()
    assert find_event_files(tmp_path / "file") == {}
