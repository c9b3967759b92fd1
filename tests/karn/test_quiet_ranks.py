"""Which ranks of a run fell silent, when, and how far behind the others: from the files alone."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.store.ranks import QuietRank, quiet_ranks, ranks_text
from esper.simic.training.recorder import InternalOpRecorder
from store_support import open_store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def write_rank(
    telemetry: Path, rank: int, world_size: int, epochs: int, error: Exception | None = None
) -> Path:
    """One rank that recorded some epochs and then was closed without a word, or with an error."""
    with TelemetryCollector(telemetry, "run", rank=rank, world_size=world_size) as sink:
        recorder = InternalOpRecorder(sink)
        recorder.training_started(task="toy")
        for epoch in range(1, epochs + 1):
            recorder.epoch_end(0, epoch, 1.0, 0.5)
        if error is not None:
            with pytest.raises(type(error)), recorder:
                raise error
    return sink.path


def written_at(path: Path, moment: datetime) -> None:
    """Give every event of a file one time."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line | {"timestamp": moment.isoformat()}) + "\n" for line in lines))


def said(telemetry: Path) -> tuple[list[QuietRank], list[str]]:
    with closing(open_store(telemetry)) as store:
        files = store.event_files()
        ranks = quiet_ranks(files, store.select)
        return ranks, ranks_text(ranks, files)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "4 epochs"),
        (95, "4 epochs and 95 s"),
        (900, "4 epochs and 15 min"),
        (9000, "4 epochs and 2.5 h"),
    ],
)
def test_says_when_a_rank_fell_silent_and_how_far_behind_the_others_it_is(
    seconds: float, shown: str, tmp_path: Path
) -> None:
    written_at(write_rank(tmp_path, 0, 2, epochs=9), NOON)
    written_at(write_rank(tmp_path, 1, 2, epochs=5), NOON - timedelta(seconds=seconds))
    ranks, texts = said(tmp_path)
    (text,) = [text for text in texts if text.startswith("rank 1: ")]
    moment = f"{NOON - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
    assert text.startswith(f"rank 1: not finished, fell silent at {moment} UTC, after episode 0 epoch 5; ")
    assert text.endswith(f", {shown} behind the others")
    assert {rank.rank: (rank.behind_epochs, rank.behind_s) for rank in ranks} == {0: (0, 0), 1: (4, seconds)}


def test_the_first_to_fall_silent_comes_first_and_those_that_gave_up_come_last(tmp_path: Path) -> None:
    error = ValueError("out of\x1b[31m ideas")
    written_at(write_rank(tmp_path, 0, 3, epochs=3), NOON)
    written_at(write_rank(tmp_path, 1, 3, epochs=3), NOON - timedelta(seconds=1))
    written_at(write_rank(tmp_path, 2, 3, epochs=3, error=error), NOON - timedelta(seconds=2))
    ranks, texts = said(tmp_path)
    assert [rank.rank for rank in ranks] == [1, 0, 2]
    assert texts[2].startswith("rank 2: gave up at ")
    assert texts[2].endswith(
        ", after episode 0 epoch 3: ValueError: out of\N{REPLACEMENT CHARACTER}[31m ideas"
    )


def test_an_error_of_an_earlier_attempt_is_past(tmp_path: Path) -> None:
    write_rank(tmp_path, 0, 1, epochs=3, error=ValueError("once"))
    write_rank(tmp_path, 0, 1, epochs=3)
    (rank,), _ = said(tmp_path)
    assert rank.failed is None


def test_one_that_never_wrote_an_event_is_not_said_to_have_an_old_one(tmp_path: Path) -> None:
    written_at(write_rank(tmp_path, 0, 2, epochs=3), NOON)
    (tmp_path / "run/events.rank00001.jsonl").touch()
    _, texts = said(tmp_path)
    (text,) = [text for text in texts if text.startswith("rank 1: ")]
    assert text == "rank 1: not finished, fell silent with no event yet, 3 epochs behind the others"


def test_a_training_that_has_just_begun_is_running_and_not_silent(tmp_path: Path) -> None:
    sink = TelemetryCollector(tmp_path, "run")
    try:
        assert (tmp_path / "run/events.jsonl").stat().st_size == 0
        assert said(tmp_path) == ([], [])
        with closing(open_store(tmp_path)) as store:
            assert store.run("run").status == "running"
    finally:
        sink.close()
    with closing(open_store(tmp_path)) as store:
        assert store.run("run").status == "empty"


def test_a_finished_run_has_no_quiet_rank(tmp_path: Path) -> None:
    with TelemetryCollector(tmp_path, "run") as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
    assert said(tmp_path) == ([], [])


def test_a_rank_that_is_being_written_is_not_quiet(tmp_path: Path) -> None:
    with TelemetryCollector(tmp_path, "run") as sink:
        InternalOpRecorder(sink).training_started()
        assert said(tmp_path) == ([], [])


def test_of_a_large_world_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    for rank in range(10):
        write_rank(tmp_path, rank, 30, epochs=1)
    ranks, texts = said(tmp_path)
    assert len(ranks) == 10
    assert texts[8:] == [
        "so have 2 more ranks",
        "20 of 30 ranks have written no file: ranks 10, 11, 12, 13, 14, 15, 16, 17, ...",
    ]
