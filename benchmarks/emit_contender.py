"""One way of logging, in a process of its own: ``python emit_contender.py NAME FOLDER``.

It reads numbers from its input; for each it logs so many events and answers with one line of JSON: CPU
seconds of the thread that logged, and of the whole process meanwhile. For the word ``forever`` it logs
until it is killed, and answers with one byte after each event. At the end of its input it closes what it
opened and answers with how many events are on disk. Peers run in a Python without Karn, so
nothing of Karn or of the benchmarks is imported at the top.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SLOT, SEED, BLUEPRINT = "r0c1", "env3-ep0-r0c1-1", "conv_ladder"
ENV, ENVS = 3, 8


class Contender(NamedTuple):
    """How one way of logging is used; ``log`` takes how many events and the number of the first."""

    log: Callable[[int, int], None]
    close: Callable[[], None]
    landed: Callable[[], int]
    settle: Callable[[], None] = lambda: None
    """Waits for what the process still has to do, so that its CPU counts."""


def karn(folder: Path, *, buffered: bool) -> Contender:
    """A whole level-change event, through the sink of one environment."""
    from esper.karn.collector import TelemetryCollector
    from esper.leyline import SeedInternalKind, SeedInternalLevelChangedPayload, TelemetryEventType

    collector = TelemetryCollector(folder, "run", envs_per_rank=ENVS, buffered=buffered)
    sink = collector.for_env(ENV)

    def log(count: int, first: int) -> None:
        for number in range(first, first + count):
            sink.emit(
                TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
                SeedInternalLevelChangedPayload(
                    slot_id=SLOT,
                    from_level=1,
                    to_level=2,
                    max_level=4,
                    episode_idx=number,
                    blueprint_id=BLUEPRINT,
                    internal_kind=SeedInternalKind.CONV_LADDER,
                    active_params=1184,
                ),
                slot_id=SLOT,
                seed_id=SEED,
                epoch=number,
            )

    return Contender(log, collector.close, lambda: _whole_lines(collector.path), collector.flush)


def dumps(folder: Path, *, flush: bool) -> Contender:
    """The same fields as a dict, by ``json.dumps`` into a text file."""
    from datetime import UTC, datetime

    file = (folder / "events.jsonl").open("w")

    def log(count: int, first: int) -> None:
        for number in range(first, first + count):
            event = {
                "event_id": f"0.0123456789ab-{number}",
                "event_type": "SEED_INTERNAL_LEVEL_CHANGED",
                "timestamp": datetime.now(UTC).isoformat(),
                "seed_id": SEED,
                "slot_id": SLOT,
                "epoch": number,
                "group_id": "default",
                "message": "",
                "data": {
                    "slot_id": SLOT,
                    "from_level": 1,
                    "to_level": 2,
                    "max_level": 4,
                    "env_id": ENV,
                    "episode_idx": number,
                    "blueprint_id": BLUEPRINT,
                    "internal_kind": 1,
                    "active_params": 1184,
                },
                "severity": "info",
                "rank": 0,
                "seq": number,
                "schema": 1,
            }
            file.write(json.dumps(event) + "\n")
            if flush:
                file.flush()

    return Contender(log, file.close, lambda: _whole_lines(folder / "events.jsonl"))


def write(folder: Path) -> Contender:
    """The floor: bytes of an event's length, ready-made, one ``write`` each."""
    path = folder / "events.jsonl"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    line = b"x" * 430 + b"\n"

    def log(count: int, first: int) -> None:
        for _ in range(count):
            os.write(fd, line)

    return Contender(log, lambda: os.close(fd), lambda: _whole_lines(path))


def tensorboard(folder: Path) -> Contender:
    """One scalar, by the writer that comes with torch, its settings as they are."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(count: int, first: int) -> None:
        for number in range(first, first + count):
            writer.add_scalar("loss", 0.5, number)

    def landed() -> int:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

        return sum(1 for path in folder.iterdir() for _ in RawEventFileLoader(str(path)).Load()) - 1

    return Contender(log, writer.close, landed, writer.flush)


def trackio(folder: Path) -> Contender:
    """One scalar into trackio's local database, without its own sampling of the machine."""
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio as peer

    peer.init(project="bench", embed=False, auto_log_cpu=False, auto_log_gpu=False)

    def log(count: int, first: int) -> None:
        for _ in range(count):
            peer.log({"loss": 0.5})

    def landed() -> int:
        import sqlite3

        paths = list(folder.glob("*.db"))
        found = 0
        for path in paths:
            database = sqlite3.connect(path)
            found += database.execute("SELECT count(*) FROM metrics").fetchone()[0]
            database.close()
        return found

    return Contender(log, peer.finish, landed)


def wandb(folder: Path) -> Contender:
    """One scalar, offline, without its own sampling of the machine."""
    import wandb as peer

    settings = peer.Settings(x_disable_stats=True, console="off", silent=True)
    run = peer.init(project="bench", mode="offline", dir=str(folder), settings=settings)

    def log(count: int, first: int) -> None:
        for _ in range(count):
            run.log({"loss": 0.5})

    def landed() -> int:
        from wandb.proto import wandb_internal_pb2

        (path,) = folder.rglob("*.wandb")
        records = map(wandb_internal_pb2.Record.FromString, _log_records(path.read_bytes()))
        return sum(record.WhichOneof("record_type") == "history" for record in records)

    return Contender(log, run.finish, landed)


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "karn": lambda folder: karn(folder, buffered=False),
    "karn buffered": lambda folder: karn(folder, buffered=True),
    "json.dumps": lambda folder: dumps(folder, flush=False),
    "json.dumps, flush": lambda folder: dumps(folder, flush=True),
    "write alone": write,
    "tensorboard": tensorboard,
    "trackio": trackio,
    "wandb offline": wandb,
}
PEERS = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio", "wandb offline": "wandb"}
"""The module of each contender that is no part of Karn's installation."""


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer
    contender = CONTENDERS[name](folder)
    done = 0
    _answer(answers, {"ready": True})
    for request in sys.stdin:
        while request == "forever\n":
            contender.log(1, done)
            done += 1
            os.write(answers.fileno(), b".")
        count = int(request)
        thread, process = time.thread_time(), time.process_time()
        contender.log(count, done)
        of_thread = time.thread_time() - thread
        done += count
        contender.settle()
        _answer(answers, {"thread_s": of_thread, "process_s": time.process_time() - process})
    contender.close()
    _answer(answers, {"landed": contender.landed()})


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _whole_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _log_records(raw: bytes) -> list[bytes]:
    """The records of a ``.wandb`` file, which is a LevelDB log of 32 KiB blocks with a header of 7 bytes.

    Each piece has a checksum (4 bytes), a length (2) and a kind: 1 whole, 2 first, 3 middle, 4 last.
    """
    block, records, record, at = 32768, [], b"", 7
    while at + 7 <= len(raw):
        if block - at % block < 7:  # no room for another piece: the block's rest is padding
            at += block - at % block
            continue
        length, kind = int.from_bytes(raw[at + 4 : at + 6], "little"), raw[at + 6]
        record += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            records.append(record)
            record = b""
    return records


if __name__ == "__main__":
    main()
