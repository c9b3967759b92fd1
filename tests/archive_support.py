"""What the tests of archived runs share: a folder with every kind of run, and what is in it."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.packed import index_member
from esper.karn.jsonl.source import open_archive
from esper.karn.store.archive import archive_run
from esper.karn.store.checkup import check_folder, checkup_text
from store_support import SteppedTraining, level_change, open_store, write_lines
from support import ROOT, write_run

RESUMED = "größer [a]* it's"
RUNS = ("real", "ranks", RESUMED)


def every_kind_of_run(tmp_path: Path) -> Path:
    """A real run, one of two ranks, and one that was resumed, has bad lines, and ends in half a line."""
    folder = tmp_path / "telemetry"
    shutil.copytree(ROOT / "examples/telemetry/oscillate", folder / "real")
    for rank in range(2):
        write_run(folder, "ranks", rank=rank, world_size=2, policy="oscillate", seed=rank)
    with TelemetryCollector(folder, RESUMED, envs_per_rank=2) as collector:
        training = SteppedTraining(collector, epochs=30).start().run_to(("decided", 0, 20))
        state = training.state_dict()
        training.run_to(("completed", 1, 3))
    with TelemetryCollector(folder, RESUMED, envs_per_rank=2) as collector:
        SteppedTraining(collector, epochs=30).load_state_dict(state, reseed=1).run_to(("completed", 1, 25))
    write_lines(collector.path, b"not json", level_change(9, 0, 1.5), b"\xff\xfe")
    write_lines(collector.path, b'{"event_type": "EPOCH', end=b"")
    return folder


def event_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/events*.jsonl")}


def archive(folder: Path, *runs: str) -> None:
    with open_store(folder) as store:
        for run in runs or RUNS:
            archive_run(store, run)


def checkup(folder: Path) -> str:
    """What doctor says of a folder."""
    with open_store(folder) as store:
        return checkup_text(check_folder(store), None)


def forge(archive: Path, data: bytes | None = None, **fields: Any) -> None:
    """Write an archive anew with an index that says something else.

    Args:
        archive: a whole one.
        data: what stands before the index; as it is if None.
        fields: of the index.
    """
    with closing(open_archive(archive)) as packed:
        index = packed.index
    if data is None:
        data = archive.read_bytes()[: sum(index.members)]
    archive.write_bytes(data + index_member(msgspec.structs.replace(index, **fields)))
