"""Several processes that train together: who is who, how they meet, a file each, nothing lost."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from event_list import tiny
from rank_processes import Event, ends, event_file, events_of, free_port, start_ranks, train_ranks, training

from esper.leyline.errors import TelemetryUsageError
from esper.simic.distributed import Alone, RankLostError, World, agreed_run_dir, check_same, joined, rank_file

SMALL = tiny(policy="random", max_epochs=6)


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

    def test_each_rank_has_a_checkpoint_of_its_own(self) -> None:
        path = Path("run/checkpoint.pt")
        assert rank_file(path, World()) == path
        assert rank_file(path, World(1, 2)) == Path("run/checkpoint.rank00001.pt")


class TestAlone:
    def test_agrees_with_itself(self) -> None:
        group = Alone()
        tensor = torch.tensor([1.0, 2.0])
        group.mean_([tensor])
        assert tensor.tolist() == [1.0, 2.0]
        assert (group.broadcast("mine"), group.gather("mine")) == ("mine", ["mine"])
        assert agreed_run_dir(group, None, lambda: "new") == "new"
        check_same(group, {"seed": 0})

    def test_a_chosen_name_is_kept(self) -> None:
        assert agreed_run_dir(Alone(), "mine", lambda: "new") == "mine"


class TestMeeting:
    def test_one_process_needs_none(self) -> None:
        with joined(World()) as group:
            assert isinstance(group, Alone)

    def test_ranks_that_cannot_meet_are_told_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MASTER_ADDR", raising=False)
        monkeypatch.delenv("MASTER_PORT", raising=False)
        with (
            pytest.raises(
                TelemetryUsageError, match=r"MASTER_ADDR and MASTER_PORT: start them with torchrun"
            ),
            joined(World(0, 2)),
        ):
            pytest.fail("they met")

    def test_a_rank_that_nobody_joins_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = free_port()
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with (
            pytest.raises(
                RankLostError, match=rf"rank 0 of 2 met not all others at 127.0.0.1:{port} within 1 s"
            ),
            joined(World(0, 2), patience=timedelta(seconds=1)),
        ):
            pytest.fail("they met")


TOGETHER = """
import json, sys
from datetime import timedelta
import torch
from esper.simic.distributed import RankLostError, World, check_same, joined
world = World.from_environment()
try:
    with joined(world, patience=timedelta(seconds=float(sys.argv[1]))) as group:
        print(group.broadcast({"rank": world.rank}), group.gather(world.rank * 10))
        tensors = [torch.full((2, 3), float(world.rank)), torch.tensor(float(world.rank == 1))]
        group.mean_(tensors)
        print(json.dumps([tensor.tolist() for tensor in tensors]), flush=True)
        if sys.argv[2] == "differ":
            check_same(group, {"seed": 0, "n_envs": world.rank})
        while sys.argv[2] == "go on":
            group.gather(None)
except Exception as error:
    raise SystemExit(f"{type(error).__name__}: {error}")
"""


class TestGroup:
    def test_has_rank_0s_value_everyones_values_and_the_mean_on_each_rank(self) -> None:
        ended = ends(start_ranks([["-c", TOGETHER, 60, ""]] * 3))
        third = [[1.0] * 3] * 2
        for rank in ended:
            first, means = rank.stdout.splitlines()
            assert first == "{'rank': 0} [0, 10, 20]"
            assert json.loads(means) == [third, pytest.approx(1 / 3)]
            assert (rank.code, rank.stderr) == (0, "")

    def test_ranks_that_were_started_differently_all_say_how(self) -> None:
        ended = ends(start_ranks([["-c", TOGETHER, 60, "differ"]] * 2))
        told = "all ranks must be started alike: n_envs is 0 on rank 0 and 1 on rank 1"
        assert [rank.stderr for rank in ended] == [f"TelemetryUsageError: {told}\n"] * 2

    @pytest.mark.parametrize(
        ("lost", "sent"), [(1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)]
    )
    def test_a_rank_that_ends_or_stops_is_named_by_the_other(self, lost: int, sent: signal.Signals) -> None:
        processes = start_ranks([["-c", TOGETHER, 5 if sent == signal.SIGSTOP else 600, "go on"]] * 2)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
        processes[lost].send_signal(sent)
        (other,) = ends([processes[1 - lost]])
        processes[lost].kill()
        processes[lost].communicate()
        assert other.code == 1
        assert other.stderr.startswith(
            f"RankLostError: rank {1 - lost} stops: rank {lost} has ended or no longer answers; `karn doctor`"
        )
        assert len(other.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[list[Event]]:
    """The events of two real processes that trained as two ranks, one list per file."""
    telemetry = tmp_path_factory.mktemp("telemetry")
    ended = train_ranks(telemetry, "", SMALL)
    assert [rank.code for rank in ended] == [0, 0], ended
    (run,) = telemetry.iterdir()
    assert sorted(path.name for path in run.glob("*.jsonl")) == [
        event_file(run, rank).name for rank in range(2)
    ]
    return [events_of(event_file(run, rank)) for rank in range(2)]


class TestTwoRanks:
    def test_write_one_run_with_a_file_each(self, files: list[list[Event]]) -> None:
        assert [{event["rank"] for event in events} for events in files] == [{0}, {1}]
        for events in files:
            assert [event["seq"] for event in events] == list(range(len(events)))
            assert events[0]["event_type"] == "TRAINING_STARTED"
            assert events[-1]["event_type"] == "TRAINING_FINISHED"

    def test_have_environment_ids_that_no_other_rank_has(self, files: list[list[Event]]) -> None:
        ids = [{event["data"]["env_id"] for event in events if "env_id" in event["data"]} for events in files]
        assert ids == [{0, 1}, {2, 3}]

    def test_record_every_epoch_of_every_environment(self, files: list[list[Event]]) -> None:
        epochs = Counter(
            event["data"]["env_id"]
            for events in files
            for event in events
            if event["event_type"] == "EPOCH_COMPLETED"
        )
        assert epochs == dict.fromkeys(range(4), 2 * 6)

    def test_do_not_repeat_each_other(self, files: list[list[Event]]) -> None:
        curves = [
            [event["data"]["loss"] for event in events if event["event_type"] == "EPOCH_COMPLETED"]
            for events in files
        ]
        assert curves[0] != curves[1]


def test_ranks_of_one_run_need_no_meeting_when_they_share_nothing_and_know_its_name(tmp_path: Path) -> None:
    processes = start_ranks([training(tmp_path, "mine", SMALL)] * 2)
    processes[0].kill()
    _, other = ends(processes)
    assert other.code == 0, other
    assert events_of(event_file(tmp_path / "mine", 1))[-1]["event_type"] == "TRAINING_FINISHED"
