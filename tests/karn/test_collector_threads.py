"""The collector among threads, forks and signals, after its end and at extreme rates."""

from __future__ import annotations

import logging
import threading

import pytest

from esper.karn.collector import TelemetryCollector
from esper.leyline import (
    EpochCompletedPayload,
    TelemetryEventType,
)
from support import read_events, run_python

EPOCH = TelemetryEventType.EPOCH_COMPLETED
PPO = TelemetryEventType.PPO_UPDATE_COMPLETED


# After the end.


def test_what_comes_after_close_is_counted_and_said_once(telemetry, caplog):
    collector = TelemetryCollector(telemetry, "run")
    env = collector.for_env(0)
    collector.emit(EPOCH, EpochCompletedPayload())
    collector.close()
    collector.close()
    with caplog.at_level(logging.WARNING, "karn"):
        collector.emit(EPOCH, EpochCompletedPayload())
        env.emit(EPOCH, EpochCompletedPayload())
        collector.flush()
    assert collector.dropped == 2
    assert len(caplog.records) == 1
    assert len(read_events(collector.path)) == 1


def test_a_forked_child_gets_a_closed_sink_and_leaves_the_parents_alone(telemetry):
    code = """
import os, sys, threading, warnings
warnings.filterwarnings("ignore", message=".*fork")
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, RunLockedError, TelemetryEventType
buffered = sys.argv[2] == "True"
collector = TelemetryCollector(sys.argv[1], "run", buffered=buffered)
emit = lambda loss: collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=loss))
emit(1.0)
collector.flush()
pid = os.fork()
if pid == 0:
    emit(2.0)
    collector.flush()
    collector.close()
    os._exit(collector.dropped)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
try:
    TelemetryCollector(sys.argv[1], "run")
    raise SystemExit("the child's end gave up the parent's lock")
except RunLockedError:
    pass
emit(3.0)
collector.close()
"""
    for buffered in (False, True):
        directory = telemetry / str(buffered)
        run_python(code, directory, buffered)
        events = read_events(directory / "run" / "events.jsonl")
        assert [event["data"]["loss"] for event in events] == [1.0, 3.0]
        assert [event["seq"] for event in events] == [0, 1]


def test_a_fork_in_the_middle_of_another_threads_emit_does_not_hang_the_child(telemetry):
    code = """
import os, sys, threading, warnings
warnings.filterwarnings("ignore", message=".*fork")
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run")
emit = lambda: collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0))
collector._writer._lock.acquire()
held = threading.Thread(target=emit)  # waits for the lock, which this thread holds while it forks
held.start()
pid = os.fork()
if pid == 0:
    child = threading.Thread(target=emit)
    child.start()
    child.join()
    os._exit(0)
collector._writer._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
held.join()
collector.close()
"""
    run_python(code, telemetry)
    assert len(read_events(telemetry / "run" / "events.jsonl")) == 1


# Threads and signals.


@pytest.mark.parametrize("buffered", [False, True])
def test_events_of_eight_threads_all_land_each_with_a_seq_of_its_own(telemetry, buffered):
    with TelemetryCollector(telemetry, "run", envs_per_rank=8, buffered=buffered) as collector:
        barrier = threading.Barrier(8)

        def work(env: int) -> None:
            sink = collector.for_env(env)
            barrier.wait()
            for epoch in range(500):
                sink.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)

        threads = [threading.Thread(target=work, args=(env,)) for env in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = read_events(collector.path)
    assert sorted(event["seq"] for event in events) == list(range(4000))
    for env in range(8):
        epochs = [event["epoch"] for event in events if event["data"]["env_id"] == env]
        assert epochs == list(range(500))
    assert collector.dropped == 0


def test_a_signal_handler_may_emit_and_close_in_the_middle_of_an_emit(telemetry):
    code = """
import signal, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run")
emit = lambda: collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0))
signal.signal(signal.SIGUSR1, lambda *_: emit())
with collector._writer._lock:  # the moment at which an emit holds it
    signal.raise_signal(signal.SIGUSR1)
signal.signal(signal.SIGUSR1, lambda *_: collector.close())
with collector._writer._lock:
    signal.raise_signal(signal.SIGUSR1)
"""
    run_python(code, telemetry)
    assert len(read_events(telemetry / "run" / "events.jsonl")) == 1


@pytest.mark.parametrize("buffered", [False, True])
def test_each_event_has_a_number_of_its_own_wherever_a_signal_handler_emits(telemetry, buffered):
    code = """
import signal, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run", buffered=sys.argv[2] == "True")
count, within = 0, False
def emit(*_):
    global count, within
    if within:  # a handler is interrupted by the next one, without end where signals come too fast
        return
    within = True
    count += 1
    collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0), epoch=1)
    within = False
signal.signal(signal.SIGALRM, emit)
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
for _ in range(10_000):
    collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0), epoch=1)
signal.setitimer(signal.ITIMER_REAL, 0)
collector.close()
print(10_000 + count)
"""
    emitted = int(run_python(code, telemetry, buffered).stdout)
    assert emitted > 10_000
    events = read_events(telemetry / "run" / "events.jsonl")
    assert sorted(event["seq"] for event in events) == list(range(emitted))


# Extreme rates.


def test_a_buffered_burst_lands_whole_and_in_order(telemetry):
    with TelemetryCollector(telemetry, "run", buffered=True) as collector:
        for epoch in range(20_000):
            collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
        collector.flush()
        assert len(read_events(collector.path)) == 20_000
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=20_000)
    events = read_events(collector.path)
    assert [event["epoch"] for event in events] == list(range(20_001))
    assert [event["seq"] for event in events] == list(range(20_001))
    assert events[0]["data"]["attempt"] == 1
    assert not any("attempt" in event["data"] for event in events[1:])


def test_flush_ends_although_others_go_on_emitting(telemetry):
    with TelemetryCollector(telemetry, "run", buffered=True) as collector:
        stop = threading.Event()

        def chatter() -> None:
            while not stop.is_set():
                collector.emit(EPOCH, EpochCompletedPayload(loss=0.5))

        thread = threading.Thread(target=chatter)
        thread.start()
        for _ in range(50):
            collector.emit(EPOCH, EpochCompletedPayload(loss=2.0))
            collector.flush()
        stop.set()
        thread.join()
    assert sum(event["data"]["loss"] == 2.0 for event in read_events(collector.path)) == 50


def test_a_buffered_collector_that_nobody_closes_is_written_at_exit(telemetry):
    code = """
import sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run", buffered=True)
for epoch in range(5000):
    collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0), epoch=epoch)
"""
    run_python(code, telemetry)
    assert len(read_events(telemetry / "run" / "events.jsonl")) == 5000
