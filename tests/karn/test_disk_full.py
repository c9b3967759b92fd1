"""A full disk: the training goes on, the gap is told afterwards, sealing waits and needs no hand."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.store import loading, segments
from esper.karn.store.database import Store
from fault_support import Checker, Nursery, ask, emit_one, make_regions_small, read_plain, write_some

DISK = "1m"
LINES = 100
"""In the run's file before the disk is full."""
MIDST = (0, 1, 2, 3, 4, 6, 8, 11, 15, 30)
"""Pages that are left when sealing begins, so that it fails in the midst of each of its steps."""
LIMITS = (0, 300, 3000, 6000, 8000)
"""The longest file that can be written instead, where no disk can be mounted [bytes]."""


class Fullness(NamedTuple):
    """Makes a folder's disk full, but for a little, and empty again."""

    fill: Callable[[int], None]
    make_room: Callable[[], None]


def limit_of_files() -> Fullness:
    """No real disk: this process may write no file beyond a length."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def set_limit(n_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))

    return Fullness(set_limit, lambda: set_limit(hard))


def real_disk(folder: Path) -> Fullness:
    """A disk that a ballast fills."""
    ballast = folder.parent / "ballast"

    def fill(pages_left: int) -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                size = os.fstat(file.fileno()).st_size
            file.truncate(max(0, size - 4096 * pages_left))

    return Fullness(fill, ballast.unlink)


def fullness_of(folder: Path) -> Fullness:
    """The disk's, where the folder is on one of its own."""
    return real_disk(folder) if os.path.ismount(folder.parent) else limit_of_files()


# The jobs: each runs in a process that sees the small disk, and says what it found.


def write_through(say: int, folder_name: str) -> None:
    """Emit while the disk is full, twice, and look at the gaps through the store."""
    folder = Path(folder_name)
    disk = fullness_of(folder)
    lost = []
    with TelemetryCollector(folder, "run") as collector, Store(folder, seal=False) as store:
        for _ in range(2):
            for epoch in range(LINES):
                emit_one(collector, epoch)
            disk.fill(0)
            before = collector.dropped
            for epoch in range(200):
                emit_one(collector, epoch)
            lost.append(collector.dropped - before)
            store.refresh()
            assert ask(store) == expected(folder)
            disk.make_room()
            emit_one(collector, 0)
            assert collector.dropped == before + lost[-1]
        store.refresh()
        assert ask(store) == expected(folder)
        gaps = store.select(
            "SELECT kind, event_count, reason, first_seq FROM event_gaps ORDER BY first_seq"
        ).rows
        told = store.select("SELECT count(*) FROM events WHERE event_type = 'EVENTS_DROPPED'").rows[0][0]
        bad = store.select("SELECT count(*) FROM ingest_errors WHERE kind = 'line'").rows[0][0]
    os.write(say, json.dumps({"lost": lost, "gaps": gaps, "told": told, "bad": bad}).encode())


def seal_through(say: int, folder_name: str) -> None:
    """Seal on a full disk, with less and less room, and again when there is enough."""
    make_regions_small()
    folder = Path(folder_name)
    disk, is_mount = fullness_of(folder), os.path.ismount(folder.parent)
    failed = []
    for left in MIDST if is_mount else LIMITS:
        run_dir = f"run{left}"
        write_some(folder, LINES, run_dir)
        home = folder / run_dir / segments.SEGMENTS
        loading.RETRY_S = 0.0
        with Store(folder) as store:
            disk.fill(left)
            store.refresh()
            assert ask(store) == expected(folder)
            assert nothing_half_written(folder)
            reason = store.sealing_error
            if reason is not None:
                failed.append(reason)
                assert sum(file.tail_rows.total() for file in store.event_files()) > 0
            else:
                assert list(home.iterdir()) != []
            with TelemetryCollector(folder, run_dir) as collector:  # fills what was left
                for epoch in range(LINES):
                    emit_one(collector, epoch)
                store.refresh()
                assert ask(store) == expected(folder)
                assert nothing_half_written(folder)
                disk.make_room()
                emit_one(collector, 0)
            write_some(folder, 40, run_dir)
            store.refresh()
            assert store.sealing_error is None
            assert ask(store) == expected(folder)
            assert nothing_half_written(folder)
            assert any(segment.folder.parent == home for f in store.event_files() for segment in f.segments)
        Checker(folder).check(without_segments=True)
        for path in (folder / run_dir).glob("**/*"):
            if path.is_file():
                path.unlink()
    os.write(say, json.dumps(failed).encode())


def expected(folder: Path) -> dict[str, list[int]]:
    return {name: [seq for _, seq in events] for name, events in read_plain(folder).items() if events}


def nothing_half_written(folder: Path) -> bool:
    """Whether there is no temporary segment, beside the runs or in the cache."""
    homes = [folder, Path(os.environ["XDG_CACHE_HOME"])]
    return not [path for home in homes for path in home.glob(f"**/{segments.TEMPORARY}*")]


# Where they run.


def on_small_disk(root: Path) -> list[str] | None:
    """A command that runs another on a small disk at ``root``, which nobody else sees; None if impossible."""
    mount = f"mount -t tmpfs -o size={DISK} tmpfs {shlex.quote(str(root))}"
    for private in (["unshare", "-m"], ["unshare", "-r", "-m"]):
        command = [*private, "sh", "-c", f'{mount} && exec "$@"', "sh"]
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            break
    return None


@pytest.fixture(params=["disk", "limit"])
def nursery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nursery]:
    """Jobs whose folder's disk can be made full; the cache is on the same one."""
    before: list[str] | None = []
    if request.param == "disk" and (before := on_small_disk(tmp_path)) is None:
        pytest.skip("no private mount namespace (unshare -m); the limit of file sizes stands for a disk")
    with Nursery(tmp_path / "cache", before or []) as nursery:
        yield nursery


def test_a_training_goes_on_and_each_gap_is_told_when_there_is_room(nursery, telemetry):
    said = json.loads(nursery.run(write_through, telemetry).said)
    assert said["told"] == 2
    assert all(count > 0 for count in said["lost"])
    assert [gap[1] for gap in said["gaps"]] == said["lost"]
    for kind, _, reason, _ in said["gaps"]:
        assert kind == "gap"
        assert reason in ("No space left on device", "File too large")
    assert said["bad"] <= 2  # a torn line for each time


def test_sealing_that_fails_leaves_right_answers_and_recovers_by_itself(nursery, telemetry):
    failed = json.loads(nursery.run(seal_through, telemetry).said)
    assert len(failed) >= 4
    for reason in failed:
        assert reason.startswith("can't seal run")
