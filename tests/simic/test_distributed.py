"""Several processes that train together: who is who, one run folder, a file each, nothing shared or lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from esper.leyline.errors import TelemetryUsageError
from esper.simic.distributed import World, agreed_run_dir, rank_file

RANK_MAIN = Path(__file__).with_name("rank_main.py")


class TestWorld:
    def test_is_a_single_process_where_the_environment_is_silent(self) -> None:
        assert World.from_environment({}) == World(rank=0, world_size=1, local_rank=0)

    def test_is_what_torchrun_says(self) -> None:
        environment = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
        assert World.from_environment(environment) == World(rank=3, world_size=4, local_rank=1)

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 and WORLD_SIZE=2"),
            ({"RANK": "-1"}, "RANK=-1"),
            ({"RANK": "first"}, "RANK='first' in the environment must be a whole number"),
        ],
    )
    def test_that_contradicts_itself_is_refused(self, environment: dict[str, str], message: str) -> None:
        with pytest.raises(TelemetryUsageError, match=message):
            World.from_environment(environment)


class TestAgreement:
    def test_a_chosen_name_needs_no_meeting(self) -> None:
        assert agreed_run_dir(World(1, 2), "mine", lambda: "new") == "mine"

    def test_a_single_process_makes_its_own(self) -> None:
        assert agreed_run_dir(World(), None, lambda: "new") == "new"

    def test_ranks_that_cannot_meet_are_told_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MASTER_ADDR", raising=False)
        monkeypatch.delenv("MASTER_PORT", raising=False)
        with pytest.raises(TelemetryUsageError, match=r"MASTER_ADDR and MASTER_PORT can't agree .* torchrun"):
            agreed_run_dir(World(0, 2), None, lambda: "new")

    def test_each_rank_has_a_checkpoint_of_its_own(self) -> None:
        path = Path("run/checkpoint.pt")
        assert rank_file(path, World()) == path
        assert rank_file(path, World(1, 2)) == Path("run/checkpoint.rank00001.pt")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """The events of two real processes that trained as two ranks, one list per file."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, RANK_MAIN, telemetry],
            env=os.environ
            | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    (run_dir,) = telemetry.iterdir()
    names = sorted(path.name for path in run_dir.iterdir() if path.suffix == ".jsonl")
    assert len(names) == 2, names
    return [[json.loads(line) for line in (run_dir / name).read_text().splitlines()] for name in names]


class TestTwoRanks:
    def test_write_one_run_with_a_file_each(self, files: list[list[dict[str, Any]]]) -> None:
        assert [{event["rank"] for event in events} for events in files] == [{0}, {1}]
        for events in files:
            assert [event["seq"] for event in events] == list(range(len(events)))
            assert events[0]["event_type"] == "TRAINING_STARTED"
            assert events[-1]["event_type"] == "TRAINING_FINISHED"

    def test_have_environment_ids_that_no_other_rank_has(self, files: list[list[dict[str, Any]]]) -> None:
        ids = [{event["data"]["env_id"] for event in events if "env_id" in event["data"]} for events in files]
        assert ids == [{0, 1}, {2, 3}]

    def test_record_every_epoch_of_every_environment(self, files: list[list[dict[str, Any]]]) -> None:
        epochs = Counter(
            event["data"]["env_id"]
            for events in files
            for event in events
            if event["event_type"] == "EPOCH_COMPLETED"
        )
        assert epochs == dict.fromkeys(range(4), 2 * 6)

    def test_do_not_repeat_each_other(self, files: list[list[dict[str, Any]]]) -> None:
        curves = [
            [event["data"]["loss"] for event in events if event["event_type"] == "EPOCH_COMPLETED"]
            for events in files
        ]
        assert curves[0] != curves[1]
