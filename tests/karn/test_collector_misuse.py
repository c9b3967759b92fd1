"""What the collector refuses: one clear line each, before anything is written."""

from __future__ import annotations

import gc
import re

import pytest

from esper.karn.collector import TelemetryCollector
from esper.leyline import (
    EpochCompletedPayload,
    KarnError,
    RunLockedError,
    TelemetryEventType,
    TelemetryFileError,
    TelemetryUsageError,
)
from support import read_events, run_python

EPOCH = TelemetryEventType.EPOCH_COMPLETED
PPO = TelemetryEventType.PPO_UPDATE_COMPLETED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 of world_size 2"),
        ({"rank": -1}, "rank -1"),
        ({"world_size": 0}, "world_size 0"),
        ({"rank": "0"}, "rank must be a whole number, not '0'"),
        ({"envs_per_rank": 0}, "envs_per_rank must be at least 1, not 0"),
        ({"envs_per_rank": 1.5}, "envs_per_rank must be a whole number"),
        ({"run_dir": "a/b"}, "'a/b' is not a folder name"),
        ({"run_dir": ".."}, "is not a folder name"),
        ({"run_dir": ""}, "is not a folder name"),
        ({"run_dir": "a\nb"}, "is not a folder name"),
        ({"run_dir": "x" * 500}, "is not a folder name"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_one_line(telemetry, arguments, text):
    with pytest.raises(TelemetryUsageError, match=re.escape(text)) as caught:
        TelemetryCollector(telemetry, **arguments)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert not telemetry.exists()


def test_ranks_that_cannot_agree_on_a_new_name_are_warned(telemetry, caplog):
    TelemetryCollector(telemetry, rank=1, world_size=2).close()
    assert "each of 2 ranks writes a run of its own" in caplog.text


def test_an_environment_that_this_rank_does_not_have_is_refused(telemetry):
    with TelemetryCollector(telemetry, envs_per_rank=2) as collector:
        for local in (2, -1, "0"):
            with pytest.raises(TelemetryUsageError):
                collector.for_env(local)
        with pytest.raises(TelemetryUsageError, match="envs_per_rank=3"):
            collector.for_env(2)


def test_an_event_of_no_environment_is_refused_where_there_are_several(telemetry):
    with TelemetryCollector(telemetry, "run", envs_per_rank=2) as collector:
        with pytest.raises(TelemetryUsageError, match=r"for_env\(index\)"):
            collector.emit(EPOCH, EpochCompletedPayload())
        collector.emit(EPOCH, EpochCompletedPayload(env_id=1))
    assert [event["seq"] for event in read_events(collector.path)] == [0]


@pytest.mark.parametrize("payload", [{"loss": 0.5}, None, EpochCompletedPayload(loss=object())])
def test_a_payload_that_cannot_be_written_raises_and_leaves_no_hole(telemetry, payload):
    with TelemetryCollector(telemetry, "run") as collector:
        with pytest.raises(TypeError, match=r"payload|object"):
            collector.emit(EPOCH, payload)
        with pytest.raises(TypeError, match=r"payload|object"):
            collector.for_env(0).emit(EPOCH, payload)
        collector.emit(EPOCH, EpochCompletedPayload())
    (event,) = read_events(collector.path)
    assert event["seq"] == 0
    assert event["data"]["attempt"] == 1
    assert collector.dropped == 0


def test_an_array_is_no_number(telemetry):
    numpy = pytest.importorskip("numpy")
    with TelemetryCollector(telemetry) as collector, pytest.raises(TypeError, match="can't carry a ndarray"):
        collector.emit(EPOCH, EpochCompletedPayload(loss=numpy.ones(3)))


@pytest.mark.parametrize("where", ["a file in the way", "a folder named like the file"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, where):
    if where == "a file in the way":
        (tmp_path / "telemetry").write_text("")
    else:
        (tmp_path / "telemetry" / "run" / "events.jsonl").mkdir(parents=True)
    with pytest.raises(TelemetryFileError, match=r"can't write telemetry to .*events\.jsonl") as caught:
        TelemetryCollector(tmp_path / "telemetry", "run")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, KarnError)


# One writer per file.


def test_a_second_opener_is_refused_also_from_another_process(telemetry):
    code = """
import sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import RunLockedError
try:
    TelemetryCollector(sys.argv[1], "run").close()
    print("opened")
except RunLockedError as error:
    print(error)
"""
    with TelemetryCollector(telemetry, "run"):
        with pytest.raises(RunLockedError, match="is being written already"):
            TelemetryCollector(telemetry, "run")
        # Neither the refused opener's end nor a reader's takes the lock away.
        (telemetry / "run" / "events.jsonl").read_bytes()
        assert "is being written already" in run_python(code, telemetry).stdout
        TelemetryCollector(telemetry, "run", rank=1, world_size=2).close()  # another file
    assert run_python(code, telemetry).stdout == "opened\n"


def test_a_collector_that_nobody_holds_any_more_gives_up_its_file(telemetry):
    TelemetryCollector(telemetry, "run")
    gc.collect()
    TelemetryCollector(telemetry, "run").close()
