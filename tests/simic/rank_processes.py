"""Starts real processes as the ranks of one training, and reads what they wrote."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from esper.simic.config import TrainConfig

RANK_MAIN = Path(__file__).with_name("rank_main.py")
DEADLINE_S = 120.0
"""A rank that has not ended by then hangs."""

Event = dict[str, Any]


class Ended(NamedTuple):
    """How one rank came to its end."""

    code: int
    stdout: str
    stderr: str
    """Without the line that rank 0 writes for each episode."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_ranks(commands: Sequence[Sequence[object]]) -> list[subprocess.Popen[str]]:
    """Start each command as one rank of a world of as many, as torchrun would, but each on its own."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(len(commands))}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | place | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]


def training(telemetry: Path, run_dir: str, config: TrainConfig, *, resume: bool = False) -> list[object]:
    """The command of one rank of a small training; an empty run_dir lets the ranks agree on one."""
    how = "resume" if resume else ""
    return [RANK_MAIN, telemetry, run_dir, msgspec.json.encode(config).decode(), how]


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[Ended]:
    """How all of them ended; a rank that hangs is killed, and fails the test."""
    ended = []
    try:
        for process in processes:
            stdout, stderr = process.communicate(timeout=DEADLINE_S)
            said = [line for line in stderr.splitlines(keepends=True) if not line.startswith("episode ")]
            ended.append(Ended(process.returncode, stdout, "".join(said)))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return ended


def train_ranks(
    telemetry: Path, run_dir: str, config: TrainConfig, *, ranks: int = 2, resume: bool = False
) -> list[Ended]:
    """A whole training by several real processes."""
    return ends(start_ranks([training(telemetry, run_dir, config, resume=resume)] * ranks))


def event_file(run: Path, rank: int) -> Path:
    """The event file of one of several ranks."""
    return run / f"events.rank{rank:05d}.jsonl"


def events_of(path: Path, event_type: str | None = None) -> list[Event]:
    """Every event of a file, or those of one type; each line must be whole."""
    content = path.read_text()
    assert content.endswith("\n")
    events = [json.loads(line) for line in content.splitlines()]
    return [event for event in events if event_type in (None, event["event_type"])]


def wait_for(what: Callable[[], bool], processes: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until something is so; fails if a process ends before it, or it takes too long."""
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert all(process.poll() is None for process in processes), "a rank ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def epochs_in(path: Path) -> int:
    """Epochs that a file tells of by now."""
    return path.read_bytes().count(b'"EPOCH_COMPLETED"') if path.exists() else 0
