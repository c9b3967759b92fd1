"""Checking event files: every line and field that does not read as it was meant is named, once."""

from __future__ import annotations

import json

import pytest

from esper.karn.validate import validate_file
from esper.leyline.errors import TelemetryFileError
from store_support import DATA, event, open_store, write_lines
from support import read_events, write_run


def told(path) -> list[tuple[int, str, str]]:
    return [(problem.line_number, problem.kind, problem.reason) for problem in validate_file(path).problems]


def test_what_the_recorder_wrote_is_whole(telemetry):
    path = write_run(telemetry, "run", prune_at=5, fossilize_at=8)
    check = validate_file(path)
    assert (check.events, check.problems, check.unfinished_bytes) == (len(read_events(path)), [], 0)


def test_each_kind_of_problem_is_named_with_its_line(tmp_path):
    path = write_lines(
        tmp_path / "events.jsonl",
        event("X", timestamp="2026-01-01T00:00:00+00:00"),
        "garbage",
        event("EPOCH_COMPLETED", loss="high", env_id=0),
        event("X", timestamp="yesterday"),
        '{"event_type":"EPOCH_COMPLETED","data":{"loss":NaN}}',
        event("SEED_INTERNAL_LEVEL_CHANGED", from_level=1),
        event("EPOCH_COMPLETED", epoch="one", loss=1.0),
        event("EPOCH_COMPLETED", loss="of another kind") | {"schema": 2},
        event("MY_OWN", anything=[1, {"a": None}]),
    )
    found = told(path)
    assert [(number, kind) for number, kind, _ in found] == [
        (2, "line"),
        (3, "field"),
        (4, "field"),
        (5, "repaired"),
        (6, "field"),
        (7, "field"),
        (8, "schema"),
    ]
    words = ["not JSON", "loss", "timestamp", "NaN in data.loss", "slot_id", "epoch", "format 2"]
    for (_, _, reason), word in zip(found, words, strict=True):
        assert word in reason
    assert validate_file(path).events == 8


def test_an_unfinished_last_line_is_no_problem_but_told(tmp_path):
    path = write_lines(tmp_path / "events.jsonl", event("X"))
    write_lines(path, '{"event_type":', end=b"")
    check = validate_file(path)
    assert (check.events, check.problems, check.unfinished_bytes) == (1, [], 14)


def test_progress_ends_at_the_files_size(tmp_path):
    path = write_lines(tmp_path / "events.jsonl", *[event("X")] * 100)
    seen: list[tuple[int, int]] = []
    validate_file(path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(TelemetryFileError, match="no file"):
            validate_file(path)


def test_lines_that_the_store_leaves_out_are_those_that_validation_names(tmp_path):
    lines = ["garbage", "[1]", json.dumps(event("X")), "3", '{"event_type":1}', '{"event_type":"X"}{}']
    path = write_lines(tmp_path / "run" / "events.jsonl", *lines)
    with open_store(tmp_path) as store:
        rows = store.select("SELECT line_number, kind, reason FROM ingest_errors ORDER BY line_number").rows
    assert [tuple(row) for row in rows] == told(path)


@pytest.mark.skipif(DATA is None, reason="shared/data is not beside this checkout")
def test_what_the_predecessor_wrote_has_no_bad_line():
    assert DATA is not None
    for path in (DATA / "esper_lite").glob("*/events.jsonl"):
        assert not [kind for _, kind, _ in told(path) if kind == "line"]
