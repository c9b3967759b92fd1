"""Eight writers of one run and two readers that seal: no answer is behind what was acknowledged, or ahead."""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from esper.karn.collector import TelemetryCollector
from esper.karn.store import sealing
from esper.karn.store.database import Store
from fault_support import Checker, emit_one, make_regions_small

RANKS, READERS, ROUNDS = 8, 2, 20
COUNTS = "SELECT rank, count(*), count(DISTINCT seq), max(seq) FROM events GROUP BY rank"


class Tally:
    """What each rank has begun and acknowledged to write, seen by all processes as it changes."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 16 * RANKS)).cast("q")

    def begin(self, rank: int) -> None:
        self._numbers[rank] += 1

    def acknowledge(self, rank: int) -> None:
        self._numbers[RANKS + rank] += 1

    def begun(self) -> list[int]:
        return list(self._numbers[:RANKS])

    def acknowledged(self) -> list[int]:
        return list(self._numbers[RANKS:])


def write(folder: Path, rank: int, tally: Tally, turns: int) -> None:
    """Emit a burst for each turn that a reader begins, until no reader is left to begin one."""
    rng = random.Random(rank)
    with TelemetryCollector(folder, "run", rank=rank, world_size=RANKS) as collector:
        epoch = 0
        while True:
            for _ in range(rng.randint(1, 20)):
                tally.begin(rank)
                emit_one(collector, epoch)
                tally.acknowledge(rank)
                epoch += 1
            if not os.read(turns, 1):
                break
        assert collector.dropped == 0


def read(folder: Path, tally: Tally, turns: list[int], finished: int) -> dict[str, int]:
    """Ask all the time; every answer must fit what the writers say before and after it."""
    make_regions_small(16 << 10, rows=1500)
    sealing.KEPT_S = 600.0  # the other reader may ask them
    last = [0] * RANKS
    moved = 0
    with Store(folder) as store:
        for turn in range(ROUNDS + 1):
            if turn == ROUNDS:
                for end in turns:
                    os.close(end)
                select.select([finished], [], [])
            else:
                for end in turns:
                    os.write(end, b".")
            before = tally.acknowledged()
            store.refresh()
            rows = store.select(COUNTS).rows
            after = tally.begun()
            counts = [0] * RANKS
            for rank, count, distinct, highest in rows:
                assert count == distinct == highest + 1, (turn, rank, count, distinct, highest)
                counts[rank] = count
            for rank in range(RANKS):
                bounds = (before[rank], counts[rank], after[rank])
                assert max(last[rank], before[rank]) <= counts[rank] <= after[rank], (turn, rank, bounds)
            moved += counts != last
            last = counts
        assert store.sealing_error is None
        assert last == tally.acknowledged() == tally.begun()
        return {"moved": moved, "events": sum(last), "segments": _count_segments(store)}


def _count_segments(store: Store) -> int:
    return sum(len(file.segments) for file in store.event_files())


def main(folder: Path) -> None:
    """Fork all of them and wait; each reader prints what it saw."""
    tally = Tally()
    turns = [os.pipe() for _ in range(RANKS)]
    finished, at_work = os.pipe()

    def start_writer(rank: int) -> int:
        others = [end for pair in turns for end in pair if end != turns[rank][0]]
        return _fork(lambda: write(folder, rank, tally, turns[rank][0]), [*others, finished])

    def start_reader() -> int:
        ends = [give for _, give in turns]
        close = [*(take for take, _ in turns), at_work]

        def ask() -> None:
            print(json.dumps(read(folder, tally, ends, finished)), flush=True)

        return _fork(ask, close)

    children = [start_writer(rank) for rank in range(RANKS)] + [start_reader() for _ in range(READERS)]
    for end in (*(end for pair in turns for end in pair), finished, at_work):
        os.close(end)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert statuses == [0] * len(children)


def _fork(work: Callable[[], None], close: list[int]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for end in close:
                os.close(end)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def test_every_answer_lies_between_what_was_acknowledged_before_and_begun_after(telemetry, tmp_path):
    paths = [os.path.abspath(entry) for entry in sys.path if entry]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib, test_many_writers as t; t.main(pathlib.Path(sys.argv[1]))",
            str(telemetry),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    readers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(readers) == READERS
    for reader in readers:
        assert reader["moved"] >= ROUNDS // 2
        assert reader["segments"] >= RANKS
    names = {entry.name for entry in (telemetry / "run").iterdir()}
    assert names == {"segments", *(f"events.rank{rank:05d}.jsonl" for rank in range(RANKS))}
    checker = Checker(telemetry)
    checker.check(without_segments=True)
    assert checker.segments >= RANKS
