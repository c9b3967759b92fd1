"""Opening a file that an earlier process left: whole, torn, or written by something else."""

from __future__ import annotations

import json

import pytest

from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType, TrainingStartedPayload
from support import read_events, run_python

EPOCH = TelemetryEventType.EPOCH_COMPLETED


def emit(collector: TelemetryCollector, n: int) -> None:
    for epoch in range(n):
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)


def test_a_resumed_file_goes_on_with_the_next_seq_and_attempt(telemetry):
    for attempt in (1, 2, 3):
        with TelemetryCollector(telemetry, "run") as collector:
            assert collector.attempt == attempt
            collector.emit(
                TelemetryEventType.TRAINING_STARTED,
                TrainingStartedPayload(resumed_from_epoch=None if attempt == 1 else 90),
            )
            emit(collector, 2)
    events = read_events(collector.path)
    assert [event["seq"] for event in events] == list(range(9))
    assert [event["data"].get("attempt") for event in events] == [1, None, None, 2, None, None, 3, None, None]
    assert [event["data"].get("resumed_from_epoch") for event in events[::3]] == [None, 90, 90]
    assert len({event["event_id"] for event in events}) == 9


def test_a_process_that_wrote_nothing_is_no_attempt(telemetry):
    TelemetryCollector(telemetry, "run").close()
    with TelemetryCollector(telemetry, "run") as collector:
        assert collector.attempt == 1


@pytest.mark.parametrize("torn", [b'{"event_id":"x","event_ty', b"\x00\x00\x00", b"{", b'{"seq":99}'])
def test_a_torn_last_line_is_ended_and_glued_to_nothing(telemetry, torn):
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 3)
    with collector.path.open("ab") as file:
        file.write(torn)
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 2)
    lines = collector.path.read_bytes().split(b"\n")
    assert lines[3] == torn
    assert lines[-1] == b""
    whole = [json.loads(line) for line in [*lines[:3], *lines[4:-1]]]
    first = 100 if b"seq" in torn else 3  # a line that lacks nothing but its newline is whole
    assert [event["seq"] for event in whole] == [0, 1, 2, first, first + 1]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_wherever_a_kill_cut_the_last_line_the_others_stay_whole(telemetry, cut):
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 3)
    raw = collector.path.read_bytes()
    collector.path.write_bytes(raw[:-cut])
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 1)
    good = []
    for line in collector.path.read_bytes().splitlines():
        try:
            good.append(json.loads(line)["seq"])
        except ValueError:
            continue
    assert good == ([0, 1, 2, 3] if cut == 1 else [0, 1, 2])


def test_a_file_of_the_predecessor_has_no_seq_and_is_taken_for_one_attempt(telemetry):
    path = telemetry / "run" / "events.jsonl"
    path.parent.mkdir(parents=True)
    line = '{"event_id": "765566ea", "event_type": "EPOCH_COMPLETED", "data": {"seq": 7, "attempt": "x"}}\n'
    path.write_text(line * 3)
    with TelemetryCollector(telemetry, "run") as collector:
        assert collector.attempt == 2
        emit(collector, 2)
    assert path.read_text().startswith(line * 3)
    assert [event.get("seq") for event in read_events(path)] == [None, None, None, 0, 1]


def test_lines_of_other_writers_after_the_last_event_hide_neither_seq_nor_attempt(telemetry):
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 5)
    with collector.path.open("ab") as file:
        file.write(b'{"event_type":"X","data":{"seq":1,"attempt":[1]}}\n' * 1000)
        file.write(b'{"data":' + b"[" * 5000 + b'"seq":1 "attempt":7\n')  # nested too deep
        file.write(b'{"event_type":"X","seq":"no number","data":{"attempt":"none"}}\n')
    with TelemetryCollector(telemetry, "run") as collector:
        assert collector.attempt == 2
        emit(collector, 1)
    assert json.loads(collector.path.read_bytes().splitlines()[-1])["seq"] == 5


def test_seq_goes_on_from_the_highest_where_lines_lie_out_of_order(telemetry):
    path = telemetry / "run" / "events.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f'{{"event_type":"X","seq":{seq}}}\n' for seq in (0, 1, 5, 2, 3, 4)))
    with TelemetryCollector(telemetry, "run") as collector:
        emit(collector, 1)
    assert read_events(path)[-1]["seq"] == 6


def test_a_killed_process_leaves_no_lock_behind(telemetry):
    code = """
import os, signal, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run")
collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload())
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_python(code, telemetry, check=False).returncode == -9
    with TelemetryCollector(telemetry, "run") as collector:
        assert collector.attempt == 2
