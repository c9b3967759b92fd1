"""Events that were lost, and that a resumed training wrote anew: they are missing no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.mcp.standing import standing
from esper.karn.store.checkup import check_folder, checkup_text
from esper.karn.store.evidence import thrash_verdict
from esper.leyline import EpochCompletedPayload, TelemetryEventType, TrainingStartedPayload
from segment_support import shrink_regions
from store_support import open_store

ENVS = 2
RESUMED_FROM = 10


def attempt(folder: Path, first: int, last: int, *, said: bool = True) -> list[bytes]:
    """Epochs of one process; the lines that the file then holds."""
    with TelemetryCollector(folder, "run", envs_per_rank=ENVS) as collector:
        place: dict[str, Any] = {}
        if said and first > 1:
            place = {"resumed_from_episode": 0, "resumed_from_epoch": first - 1}
        collector.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(n_envs=ENVS, **place))
        for epoch in range(first, last + 1):
            for env in range(ENVS):
                payload = EpochCompletedPayload(episode_idx=0, inner_epoch=epoch, loss=1.0)
                collector.for_env(env).emit(TelemetryEventType.EPOCH_COMPLETED, payload, epoch=epoch)
    return collector.path.read_bytes().splitlines(keepends=True)


def seq_of(epoch: int, env: int) -> int:
    """In the first attempt."""
    return 1 + ENVS * (epoch - 1) + env


def lose(folder: Path, first_seq: int, last_seq: int) -> None:
    path = folder / "run" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:first_seq] + lines[last_seq + 1 :]))


def gaps(folder: Path) -> list[list[Any]]:
    with open_store(folder) as store:
        return store.select(
            "SELECT kind, first_seq, last_seq, event_count FROM event_gaps ORDER BY first_seq"
        ).rows


@pytest.mark.parametrize("said", [True, False], ids=["said", "shown"])
def test_what_a_resumed_training_wrote_anew_is_not_missing(tmp_path, said):
    attempt(tmp_path, 1, 20)
    first, last = seq_of(12, 0), seq_of(14, 1)
    lose(tmp_path, first, last)
    count = last - first + 1
    assert gaps(tmp_path) == [["gap", first, last, count]]
    with open_store(tmp_path) as store:
        assert f"{count} events missing in 1 place" in checkup_text(check_folder(store), None)

    attempt(tmp_path, RESUMED_FROM + 1, 30, said=said)
    assert gaps(tmp_path) == [["replayed", first, last, count]]
    with open_store(tmp_path) as store:
        epochs = store.select("SELECT epoch FROM epochs WHERE env_id = 0 ORDER BY epoch").rows
        assert epochs == [[epoch] for epoch in range(1, 31)]
        text = checkup_text(check_folder(store), None)
        assert f"{count} events lost, but written anew by a resumed training, in 1 place: see" in text
        assert "missing" not in text
        assert not any("missing" in note for note in thrash_verdict(store).notes)
        assert standing(store).warnings == []


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param((8, 0), (14, 1), id="begins before the checkpoint"),
        pytest.param((3, 0), (4, 1), id="lies before it"),
        # Epoch 11 of environment 0 is there, but of the other nobody knows what was lost.
        pytest.param((11, 1), (14, 1), id="begins where one environment may be before it"),
    ],
)
def test_what_may_not_have_been_written_anew_is_missing(tmp_path, first, last):
    attempt(tmp_path, 1, 20)
    lose(tmp_path, seq_of(*first), seq_of(*last))
    attempt(tmp_path, RESUMED_FROM + 1, 30)
    assert [row[0] for row in gaps(tmp_path)] == ["gap"]
    with open_store(tmp_path) as store:
        assert any("missing" in note for note in thrash_verdict(store).notes)
        assert any("missing" in warning for warning in standing(store).warnings)


def test_what_the_last_attempt_lost_is_missing(tmp_path):
    attempt(tmp_path, 1, 20)
    lines = attempt(tmp_path, RESUMED_FROM + 1, 30)
    lose(tmp_path, len(lines) - 5, len(lines) - 3)
    assert gaps(tmp_path) == [["gap", len(lines) - 5, len(lines) - 3, 3]]


def test_it_is_the_same_from_segments(tmp_path, monkeypatch):
    shrink_regions(monkeypatch)
    attempt(tmp_path, 1, 200)
    first, last = seq_of(150, 0), seq_of(152, 1)
    lose(tmp_path, first, last)
    attempt(tmp_path, 101, 600)
    for _ in range(2):  # what was sealed is read from segments the second time
        assert gaps(tmp_path) == [["replayed", first, last, last - first + 1]]
    assert list((tmp_path / "run" / "segments").iterdir())
