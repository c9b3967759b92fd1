"""Kill -9 at any moment of writing, sealing and asking: every event whose emit returned is there, once."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.store.database import Store
from fault_support import Checker, Nursery, ask, emit_one, make_regions_small, read_plain, write_some

ATTEMPT = 10_000
"""The n-th writer's epochs count from n times this."""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("cache")) as nursery:
        yield nursery


# The jobs. Each gets the end of a pipe to say something with, and the telemetry folder.


def write(say: int, folder: str, first: int, room: int | None = None) -> None:
    """Emit for ever, and say a byte for each emit that has returned.

    Args:
        say: the pipe.
        folder: the telemetry folder.
        first: epoch of the first event.
        room: bytes that the file may still grow; the write after the one that meets the limit is deadly.
    """
    with TelemetryCollector(folder, "run") as collector:
        if room is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (collector.path.stat().st_size + room, hard))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        epoch = first
        while True:
            emit_one(collector, epoch)
            epoch += 1
            os.write(say, b".")


def seal(say: int, folder: str) -> None:
    """Seal all there is, by and by, and say what the store answers then."""
    make_regions_small()
    with Store(Path(folder)) as store:
        store.refresh()
        store.seal_all()
        os.write(say, json.dumps(ask(store)).encode())


def ask_for_ever(say: int, folder: str) -> None:
    """Refresh and ask, over and over, as a writer goes on and whole regions are sealed by the way."""
    make_regions_small()
    with Store(Path(folder)) as store, TelemetryCollector(folder, "other") as collector:
        while True:
            store.refresh()
            answer = ask(store)
            seqs = answer.get("other/events.jsonl", [])
            assert seqs == list(range(len(seqs)))
            for epoch in range(20):
                emit_one(collector, epoch)
            os.write(say, b".")


# What their deaths may cost.


def check_written(folder: Path, returned: list[int]) -> None:
    """Every event whose emit returned is in the file, and of each writer at most one more."""
    events = []
    for line in (folder / "run" / "events.jsonl").read_bytes().splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    epochs: dict[int, list[int]] = {}
    for event in events:
        epochs.setdefault(event["epoch"] // ATTEMPT, []).append(event["epoch"] % ATTEMPT)
    for attempt, count in enumerate(returned):
        written = epochs.get(attempt, [])
        assert written == list(range(len(written)))
        assert count <= len(written) <= count + 1


def test_a_run_whose_writer_is_killed_and_resumed_again_and_again_keeps_every_event(nursery, telemetry):
    rng, checker = random.Random(1), Checker(telemetry)
    returned = []
    for attempt in range(96):
        by_delay = attempt % 2
        outcome = nursery.run(
            write,
            telemetry,
            attempt * ATTEMPT,
            after_bytes=None if by_delay else rng.randint(1, 30),
            delay_s=rng.uniform(0.0, 0.006) if by_delay else None,
        )
        assert outcome.killed
        returned.append(len(outcome.said))
        if attempt % 16 == 15:
            check_written(telemetry, returned)
            checker.check()
    assert sum(returned) > 500


def test_a_writer_that_dies_within_a_line_costs_that_line_alone(nursery, telemetry):
    rng, checker = random.Random(2), Checker(telemetry)
    returned = []
    for attempt in range(50):
        outcome = nursery.run(write, telemetry, attempt * ATTEMPT, rng.randint(1, 3000))
        assert outcome.killed
        returned.append(len(outcome.said))
        if attempt % 10 == 9:
            assert not (telemetry / "run" / "events.jsonl").read_bytes().endswith(b"\n")
            check_written(telemetry, returned)
            checker.check()
    nursery.run(write, telemetry, 50 * ATTEMPT, after_bytes=1)
    with Store(telemetry, seal=False) as store:
        store.refresh()
        torn = store.select("SELECT count(*) FROM ingest_errors WHERE kind = 'line'").rows[0][0]
    assert 40 <= torn <= 50


def test_kill_9_at_every_step_of_sealing_leaves_whole_segments_and_right_answers(nursery, telemetry):
    write_some(telemetry, 130)
    checker = Checker(telemetry)
    home = telemetry / "run" / "segments"
    steps = nursery.run(seal, telemetry).steps
    assert steps > 60
    checker.check(without_segments=True)
    for step in range(1, steps + 1):
        shutil.rmtree(home, ignore_errors=True)
        assert nursery.run(seal, telemetry, step=step).killed
        checker.check()
        if step % 4 == 0:  # somebody goes on with what is there, and is killed too
            nursery.run(seal, telemetry, step=1 + step % 50)
            checker.check(without_segments=True)
    check_recovery(nursery, telemetry, checker)
    assert checker.segments > 50, (steps, checker.segments)


def test_kill_9_at_random_moments_of_sealing_leaves_whole_segments_and_right_answers(nursery, telemetry):
    write_some(telemetry, 150)
    rng, checker = random.Random(3), Checker(telemetry)
    home = telemetry / "run" / "segments"
    kills = 0
    for turn in range(64):
        if turn % 4 == 0:  # else what the last one left is gone on with
            shutil.rmtree(home, ignore_errors=True)
        # The kill comes in the midst of what follows the step: of writing a Parquet file, mostly.
        outcome = nursery.run(seal, telemetry, after_bytes=rng.randint(1, 50), tells_steps=True)
        kills += outcome.killed
        if not outcome.killed:
            check_answer(telemetry, outcome.said.lstrip("."))
        if turn % 4 == 3:
            checker.check(without_segments=turn % 8 == 7)
            write_some(telemetry, 5)
    assert kills > 30
    check_recovery(nursery, telemetry, checker)


def test_kill_9_of_a_reader_that_refreshes_asks_and_seals_harms_no_file(nursery, telemetry):
    write_some(telemetry, 120)
    rng, checker = random.Random(4), Checker(telemetry)
    kills = 0
    for turn in range(30):
        by_step = turn % 2
        outcome = nursery.run(
            ask_for_ever,
            telemetry,
            step=rng.randint(5, 100) if by_step else None,
            delay_s=None if by_step else rng.uniform(0.02, 0.1),
        )
        kills += outcome.killed
        checker.check(without_segments=turn % 10 == 9)
    assert kills == 30
    check_recovery(nursery, telemetry, checker)
    assert checker.segments > 5


def check_answer(folder: Path, said: str) -> None:
    """What the sealing store itself answered, part from memory and part from segments."""
    assert json.loads(said) == {name: [s for _, s in events] for name, events in read_plain(folder).items()}


def check_recovery(nursery: Nursery, folder: Path, checker: Checker) -> None:
    """One undisturbed sealing needs no hand, and clears away what the killed ones left."""
    write_some(folder, 30)
    outcome = nursery.run(seal, folder)
    assert not outcome.killed
    check_answer(folder, outcome.said)
    checker.check(without_segments=True)
    for home in folder.glob("*/segments"):
        assert [entry.name for entry in home.iterdir() if entry.name.startswith(".")] == []
    with Store(folder, seal=False) as store:
        store.refresh()
        assert all(file.sealed_bytes == file.tail.offset for file in store.event_files())
