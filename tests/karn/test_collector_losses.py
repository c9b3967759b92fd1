"""What a kill or a full disk may cost: nothing that ``emit`` returned from, and never the training."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.buffered import BufferedWriter
from esper.karn.jsonl.envelope import Envelope
from esper.karn.jsonl.guarded import GuardedWriter
from esper.karn.jsonl.writer import LineWriter
from esper.leyline import EpochCompletedPayload, RunLockedError, TelemetryEventType
from support import run_python

EPOCH = TelemetryEventType.EPOCH_COMPLETED

_WRITER = """
import os, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, RunLockedError, TelemetryEventType
collector = TelemetryCollector(sys.argv[1], "run")
epoch = 0
while True:
    collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=0.5), epoch=epoch)
    epoch += 1
    os.write(1, b".")  # one byte for each emit that has returned
"""


@pytest.mark.parametrize("after", [1, 1000, 2500])
def test_kill_9_loses_no_event_whose_emit_had_returned(telemetry, after):
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(telemetry)], stdout=subprocess.PIPE) as writer:
        returned = 0
        while returned < after:
            returned += len(os.read(writer.stdout.fileno(), 4096))
        writer.send_signal(signal.SIGKILL)
        returned += len(writer.stdout.read())
    lines = (telemetry / "run" / "events.jsonl").read_bytes().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert returned <= len(whole) <= returned + 1
    assert [event["epoch"] for event in whole] == list(range(len(whole)))


# A disk that is full.


class SmallDisk(NamedTuple):
    """A folder on a disk that fills up soon, and what makes room on it."""

    folder: Path
    make_room: Callable[[], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 64 KiB, half of it taken by a file that ``make_room`` deletes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no permission to mount a small disk; the file size limit below stands for it")
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(32 << 10))
    try:
        yield SmallDisk(folder, ballast.unlink)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def story(path: Path) -> tuple[list[int], list[dict]]:
    """The seqs of the epochs in a file, and its EVENTS_DROPPED; every torn line must stand alone."""
    seqs, gaps = [], []
    for line in path.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            assert line.count(b'"event_id"') <= 1, "two events are glued into one line"
            continue
        if event["event_type"] == "EVENTS_DROPPED":
            gaps.append(event)
        else:
            seqs.append(event["seq"])
    return seqs, gaps


def check_story(path: Path, emitted: int, dropped: int, n_gaps: int) -> None:
    seqs, gaps = story(path)
    assert len(seqs) == emitted - dropped
    assert len(gaps) == n_gaps
    assert sum(gap["data"]["count"] for gap in gaps) == dropped
    missing = set()
    for gap in gaps:
        data = gap["data"]
        assert gap["severity"] == "warning"
        assert data["reason"]
        assert data["last_seq"] - data["first_seq"] + 1 == data["count"]
        missing |= set(range(data["first_seq"], data["last_seq"] + 1))
    numbers = [*seqs, *(gap["seq"] for gap in gaps)]
    assert len(numbers) == len(set(numbers))
    assert missing.isdisjoint(numbers)
    assert missing | set(numbers) == set(range(emitted + n_gaps))


@pytest.mark.parametrize("buffered", [False, True])
def test_a_full_disk_stops_no_training_and_the_gap_is_recorded_when_there_is_room(
    small_disk, buffered, caplog
):
    with caplog.at_level(logging.WARNING, "karn"):
        with TelemetryCollector(small_disk.folder, "run", buffered=buffered) as collector:
            for epoch in range(400):
                collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
            collector.flush()
            dropped = collector.dropped
            assert dropped > 100
            small_disk.make_room()
            for epoch in range(50):
                collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
            collector.flush()
            assert collector.dropped == dropped
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left on device" in caplog.text
    assert "training goes on" in caplog.text
    check_story(collector.path, emitted=450, dropped=dropped, n_gaps=1)


def test_a_disk_that_fills_up_twice_leaves_two_gaps(small_disk):
    more = small_disk.folder / "more"
    with TelemetryCollector(small_disk.folder, "run") as collector:

        def emit(n: int) -> None:
            for epoch in range(n):
                collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)

        emit(200)
        first = collector.dropped
        small_disk.make_room()
        emit(10)
        assert collector.dropped == first > 0
        more.write_bytes(bytes(28 << 10))
        emit(100)
        assert collector.dropped > first
        more.unlink()
        emit(10)
    check_story(collector.path, emitted=320, dropped=collector.dropped, n_gaps=2)


def test_a_gap_that_is_open_at_the_end_is_recorded_at_close_if_there_is_room_then(small_disk):
    with TelemetryCollector(small_disk.folder, "run") as collector:
        for epoch in range(200):
            collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
        small_disk.make_room()
    check_story(collector.path, emitted=200, dropped=collector.dropped, n_gaps=1)


def test_a_disk_that_is_full_from_the_start_does_not_hide_which_attempt_it_is(small_disk):
    rest = small_disk.folder / "rest"
    with TelemetryCollector(small_disk.folder, "run") as collector:
        try:
            with rest.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            pass
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5))
        assert collector.dropped == 1
        rest.unlink()
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5))
    gap, event = (json.loads(line) for line in collector.path.read_bytes().splitlines())
    assert (gap["event_type"], gap["data"]["attempt"], gap["data"]["first_seq"]) == ("EVENTS_DROPPED", 1, 0)
    assert (gap["seq"], event["seq"]) == (1, 2)
    assert "attempt" not in event["data"]


def test_a_training_resumed_on_a_full_disk_goes_on_and_glues_nothing(small_disk):
    with TelemetryCollector(small_disk.folder, "run") as collector:
        for epoch in range(200):
            collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
    assert not collector.path.read_bytes().endswith(b"\n"), "the disk was to fill up within a line"
    with TelemetryCollector(small_disk.folder, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5))
        assert collector.dropped == 1
        small_disk.make_room()
        collector.emit(EPOCH, EpochCompletedPayload(loss=0.5))
    seqs, gaps = story(collector.path)
    assert seqs[-1] == gaps[-1]["seq"] + 1
    assert gaps[-1]["data"]["attempt"] == 2


_LIMITED = """
import json, logging, resource, signal, sys
from esper.karn.collector import TelemetryCollector
from esper.leyline import EpochCompletedPayload, RunLockedError, TelemetryEventType
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
logging.basicConfig(stream=sys.stderr)
collector = TelemetryCollector(sys.argv[1], "run", buffered=sys.argv[3] == "True")
emit = lambda: collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=0.5))
for _ in range(40):
    emit()
collector.flush()
dropped = collector.dropped
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
emit()
collector.close()
print(json.dumps([dropped, collector.dropped]))
"""


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 100, 3000, *range(3300, 3312), 5000])
def test_wherever_a_limit_cuts_a_line_nothing_is_glued_lost_or_counted_twice(telemetry, limit, buffered):
    done = run_python(_LIMITED, telemetry, limit, buffered)
    before, after = json.loads(done.stdout)
    assert before == after > 0
    assert done.stderr.count("WARNING") == 1
    check_story(telemetry / "run" / "events.jsonl", emitted=41, dropped=after, n_gaps=1)


# The writers themselves.


def limited_file_size(n_bytes: int) -> tuple[str, ...]:
    return (
        "import resource, signal",
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)",
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({n_bytes}, hard))",
    )


def test_many_lines_of_which_some_fit_say_how_many(tmp_path):
    code = "\n".join(
        [
            *limited_file_size(10),
            "import pathlib, sys",
            "from esper.karn.jsonl.writer import LineWriter",
            "writer = LineWriter(pathlib.Path(sys.argv[1]))",
            "print(writer.write_many([b'aaa\\n', b'bbb\\n', b'ccc\\n', b'ddd\\n'])[0])",
            "print(writer.write_many([b'eee\\n'])[0])",  # still full: nothing may forget the torn line
            "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))",
            "print(writer.write_many([b'fff\\n'])[0])",
            "writer.close()",
        ]
    )
    done = run_python(code, tmp_path / "events.jsonl")
    assert done.stdout.split() == ["2", "0", "1"]
    assert (tmp_path / "events.jsonl").read_bytes() == b"aaa\nbbb\ncc\nfff\n"


@pytest.mark.parametrize("many", [False, True])
def test_a_line_that_lacks_only_its_newline_is_whole(tmp_path, many):
    write = "writer.write_many([b'aaa\\n'])" if many else "writer.write(b'aaa\\n')"
    code = "\n".join(
        [
            *limited_file_size(3),
            "import pathlib, sys",
            "from esper.karn.jsonl.writer import LineWriter",
            "writer = LineWriter(pathlib.Path(sys.argv[1]))",
            write,
            "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))",
            "writer.write(b'bbb\\n')",
        ]
    )
    run_python(code, tmp_path / "events.jsonl")
    assert (tmp_path / "events.jsonl").read_bytes() == b"aaa\nbbb\n"


def test_a_log_handler_that_fails_does_not_reach_the_training(small_disk):
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no log today")

    logger, handler = logging.getLogger("karn"), Broken()
    logger.addHandler(handler)
    try:
        for buffered in (False, True):
            with TelemetryCollector(small_disk.folder, f"run{buffered}", buffered=buffered) as collector:
                for epoch in range(400):
                    collector.emit(EPOCH, EpochCompletedPayload(loss=0.5), epoch=epoch)
                collector.flush()
                assert collector.dropped > 0
            collector.emit(EPOCH, EpochCompletedPayload())
    finally:
        logger.removeHandler(handler)


def test_a_full_buffer_makes_its_callers_wait_and_drops_nothing(tmp_path):
    writer = LineWriter(tmp_path / "events.jsonl")
    envelope = Envelope(0, "default", 0, {})
    buffer = BufferedWriter(GuardedWriter(writer, envelope), envelope, pytest.fail, capacity=3)
    form = envelope.form(EPOCH, epoch=0)
    for epoch in range(1000):
        buffer.put(form, epoch, b"{}")
        assert buffer.waiting <= 3
    buffer.close()
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1000))


@pytest.mark.parametrize("has_flock", [False, True])
def test_a_file_system_without_locks_is_written_all_the_same_with_a_warning(
    telemetry, monkeypatch, caplog, has_flock
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    if not has_flock:
        monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING, "karn"), TelemetryCollector(telemetry, "run") as collector:
        collector.emit(EPOCH, EpochCompletedPayload())
        if has_flock:
            with pytest.raises(RunLockedError):
                TelemetryCollector(telemetry, "run")
    assert len(story(collector.path)[0]) == 1
    assert ("without locks" in caplog.text) is not has_flock
