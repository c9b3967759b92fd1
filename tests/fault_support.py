"""Processes that die at a chosen moment, and what must be true of a telemetry folder afterwards.

A ``Nursery`` is a process that has imported everything, has no threads, and forks one child for each job:
a death costs milliseconds instead of an interpreter's start.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import duckdb

from esper.karn.collector import TelemetryCollector
from esper.karn.settings import find_event_files
from esper.karn.store import loading, sealing, segments
from esper.karn.store.database import Store
from esper.leyline import EpochCompletedPayload, PPOUpdateCompletedPayload, TelemetryEventType

SEGMENT = re.compile(r"(events.*\.jsonl)@(\d+)-(\d+)\Z")
_STEPS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate")
"""Audited steps that change a file system; opening a file of the folder, as each fsync does, is one too."""


class Outcome(NamedTuple):
    """How a job ended."""

    killed: bool
    said: str
    """What it wrote, up to its death."""
    steps: int
    """Steps of its work that were counted; -1 if it did not live to say."""
    took_s: float


class Nursery:
    """The process that forks the jobs.

    Args:
        cache: stands for the user's cache folder.
        before: a command that is put before the interpreter's.
    """

    def __init__(self, cache: Path, before: Sequence[str] = ()) -> None:
        paths = [os.path.abspath(entry) for entry in sys.path if entry]
        env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", "import fault_support; fault_support.serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def run(
        self,
        job: Callable[..., None],
        *args: Any,
        step: int | None = None,
        delay_s: float | None = None,
        after_bytes: int | None = None,
        tells_steps: bool = False,
    ) -> Outcome:
        """Run a job in a child of its own; it gets a pipe's end and ``args``.

        Args:
            job: a function of a module.
            args: what JSON can carry.
            step: the child kills itself right before this one of its steps, counted from 1.
            delay_s: it is killed after so long.
            after_bytes: it is killed when it has said so much, wherever it has got to by then.
            tells_steps: it says a dot before each step.
        """
        request = {
            "job": [job.__module__, job.__name__],
            "args": [str(arg) if isinstance(arg, Path) else arg for arg in args],
            "step": step,
            "delay_s": delay_s,
            "after_bytes": after_bytes,
            "tells_steps": tells_steps,
        }
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the nursery has died"
        reply = json.loads(line)
        assert reply["status"] in (0, -signal.SIGKILL, -signal.SIGXFSZ), reply
        return Outcome(reply["status"] < 0, reply["said"], reply["steps"], reply["took_s"])

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve() -> None:
    """Be a nursery: a request on each line of stdin, an answer on each of stdout."""
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    job = getattr(importlib.import_module(request["job"][0]), request["job"][1])
    (said_end, say_end), (steps_end, count_end) = os.pipe(), os.pipe()
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            tell = say_end if request["tells_steps"] else None
            counted = _count_steps(request["step"], request["args"][0], tell)
            job(say_end, *request["args"])
            os.write(count_end, b"%d" % counted())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(say_end)
    os.close(count_end)
    said, wait_s = bytearray(), request["delay_s"]
    while True:
        if not select.select([said_end], [], [], wait_s)[0]:
            os.kill(pid, signal.SIGKILL)
            wait_s = None
            continue
        part = os.read(said_end, 1 << 16)
        if not part:
            break
        said += part
        if request["after_bytes"] is not None and len(said) >= request["after_bytes"]:
            os.kill(pid, signal.SIGKILL)
        if wait_s is not None:
            wait_s = max(0.0, begun + request["delay_s"] - time.monotonic())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took_s = time.monotonic() - begun
    steps = int(os.read(steps_end, 20) or b"-1")
    os.close(said_end)
    os.close(steps_end)
    return {"status": status, "said": said.decode(), "steps": steps, "took_s": took_s}


def _count_steps(last: int | None, folder: str, tell: int | None) -> Callable[[], int]:
    count = 0

    def on_event(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event in _STEPS or (event == "open" and str(args[0]).startswith(folder)):
            count += 1
            if tell is not None:
                os.write(tell, b".")
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    return lambda: count


def make_regions_small(region: int = 8 << 10, rows: int = 150) -> None:
    """Make this process seal after every few events, and merge two regions at once.

    Args:
        region: bytes.
        rows: in memory at most.
    """
    sealing.REGION_BYTES, sealing.MERGE_BYTES = region, 2 * region
    sealing.LEAST_BYTES, sealing.MERGE_COUNT = 64, 3
    sealing.KEPT_S = 0.0
    loading.ROWS_IN_MEMORY = rows


def emit_one(collector: TelemetryCollector, epoch: int) -> None:
    """Emit one event; of two types in turn."""
    if epoch % 3 == 0:
        update = PPOUpdateCompletedPayload(entropy=0.5, kl_divergence=0.01)
        collector.emit(TelemetryEventType.PPO_UPDATE_COMPLETED, update, epoch=epoch)
    else:
        collector.emit(TelemetryEventType.EPOCH_COMPLETED, EpochCompletedPayload(loss=0.5), epoch=epoch)


def write_some(folder: Path, count: int, run_dir: str = "run") -> None:
    """A writer that ends as it should."""
    with TelemetryCollector(folder, run_dir) as collector:
        for epoch in range(count):
            emit_one(collector, epoch)


Plain = dict[str, list[tuple[int, int]]]
"""Offset and ``seq`` of each whole event, by event file."""


def read_plain(folder: Path) -> Plain:
    """What is in the event files, by Python's own json."""
    found: Plain = {}
    for run_dir, paths in find_event_files(folder).items():
        for path in paths:
            events = found.setdefault(f"{run_dir}/{path.name}", [])
            offset = 0
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    try:
                        events.append((offset, json.loads(line)["seq"]))
                    except ValueError:
                        assert line.count(b'"event_id"') <= 1, "two events are glued into one line"
                offset += len(line)
    return found


def ask(store: Store) -> dict[str, list[int]]:
    """Every ``seq`` that a store answers, by event file."""
    rows = store.select("SELECT filename, list(seq ORDER BY file_offset) FROM events GROUP BY filename").rows
    return {filename: list(seqs) for filename, seqs in rows}


class Checker:
    """Compares what a folder's stores answer with a plain reading of its files.

    Args:
        folder: the telemetry folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._seen: set[tuple[str, int]] = set()
        self.segments = 0
        """Segments that were read row by row."""

    def check(self, *, without_segments: bool = False) -> None:
        """Every event once, in fresh stores; every segment whole and true.

        Args:
            without_segments: a store that has none must say the same.
        """
        plain = read_plain(self._folder)
        expected = {name: [seq for _, seq in events] for name, events in plain.items() if events}
        with Store(self._folder, seal=False) as store:
            store.refresh()
            assert ask(store) == expected
            covers = {file.filename: file.segments for file in store.event_files()}
        for name, events in plain.items():
            self._check_segments(self._folder / name, events, covers[name])
        if without_segments:
            self._ask_without_segments(expected)

    def _check_segments(
        self, path: Path, events: list[tuple[int, int]], cover: Sequence[segments.Segment]
    ) -> None:
        """A folder with a segment's name is whole and holds the events of its bytes, or is being deleted."""
        home = path.parent / segments.SEGMENTS
        for folder in sorted(home.iterdir()) if home.exists() else ():
            found = SEGMENT.match(folder.name)
            if found is None:
                assert folder.name.startswith(segments.TEMPORARY)
                continue
            mark = (str(folder), folder.stat().st_ino)
            if found[1] != path.name or mark in self._seen:
                continue
            start, end = int(found[2]), int(found[3])
            if not segments.is_sound(folder, path, start, end):
                assert any(s.meta.start <= start and end <= s.meta.end for s in cover), folder.name
                continue
            files = [str(file) for file in folder.glob("*.parquet") if file.stem != "problems"]
            listed = "SELECT seq FROM read_parquet($1, union_by_name = true) ORDER BY file_offset"
            seqs = [row[0] for row in self._connection.execute(listed, [files]).fetchall()] if files else []
            assert seqs == [seq for offset, seq in events if start <= offset < end], folder.name
            self._seen.add(mark)
            self.segments += 1

    def _ask_without_segments(self, expected: dict[str, list[int]]) -> None:
        homes = [home for home in self._folder.glob(f"*/{segments.SEGMENTS}") if home.is_dir()]
        for home in homes:
            home.rename(home.with_name("aside"))
        with Store(self._folder, seal=False) as store:
            store.refresh()
            assert not any(file.segments for file in store.event_files())
            assert ask(store) == expected
        for home in homes:
            home.with_name("aside").rename(home)
