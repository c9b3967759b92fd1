"""Ctrl-C while a buffered collector writes what it holds: a close that was interrupted is finished later."""

from __future__ import annotations

import pytest

from support import read_events, run_python

EVENTS = 5000

# On a disk that takes nothing until Ctrl-C was heard as often as it is pressed, and is slow then.
_SCRIPT = """
import os, signal, sys, threading, time
from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl import writer
from esper.leyline import EpochCompletedPayload, TelemetryEventType

n_events, presses, then = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


released = threading.Event()


class SlowDisk:
    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, fd, data):
        released.wait()
        time.sleep(0.8)
        return os.write(fd, data)


def press():
    for _ in range(presses):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)


def emit(epoch):
    collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=1.0), epoch=epoch)


writer.os = SlowDisk()
collector = TelemetryCollector(sys.argv[1], "run", buffered=True)
emit(0)
time.sleep(0.1)  # the thread writes this one, and all others wait
heard = 0
for epoch in range(1, n_events):
    emit(epoch)
threading.Thread(target=press, daemon=True).start()
for _ in range(presses):
    try:
        collector.close()
    except KeyboardInterrupt:
        heard += 1
released.set()
if then == "close":
    collector.close()
    emit(n_events)
print(heard, collector.dropped)
"""


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("then", ["close", "exit"])
def test_what_an_interrupted_close_leaves_is_written_by_the_next_one_or_at_exit(telemetry, then, presses):
    done = run_python(_SCRIPT, telemetry, EVENTS, presses, then)
    heard, dropped = map(int, done.stdout.split())
    assert heard == presses
    assert dropped == (1 if then == "close" else 0)
    assert [event["epoch"] for event in read_events(telemetry / "run" / "events.jsonl")] == list(
        range(EVENTS)
    )
