"""Runs for Sanctum's tests: real folders with real files, written by the recorder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from esper.karn.collector import TelemetryCollector
from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.state import SanctumSnapshot
from esper.leyline import EventSink, Payload, TelemetryEvent, TelemetryEventType
from esper.leyline.codec import encode_event
from esper.simic.training.recorder import InternalOpRecorder

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
"""When the runs with a fixed clock begin."""
LATER = START + timedelta(minutes=30)


def fixed_now() -> datetime:
    """The clock for pictures."""
    return LATER


class FixedSink:
    """A RankSink whose events are a quarter of a second apart, so that pictures don't change."""

    def __init__(self, path: Path, env_id: int | None = None, parent: FixedSink | None = None) -> None:
        self.path = path
        self.env_id = env_id
        self.parent = parent
        self.seq = 0

    def for_env(self, local: int) -> EventSink:
        """A sink for one environment."""
        return FixedSink(self.path, local, self)

    def emit(
        self,
        event_type: TelemetryEventType,
        payload: Payload,
        *,
        slot_id: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
        message: str = "",
        severity: str = "info",
    ) -> None:
        """Append one line."""
        root = self.parent or self
        if self.env_id is not None:
            payload = msgspec.structs.replace(payload, env_id=self.env_id)  # type: ignore[call-arg]
        event = TelemetryEvent(
            event_type=event_type,
            timestamp=(START + timedelta(seconds=root.seq / 4)).isoformat(),
            seed_id=seed_id,
            slot_id=slot_id,
            epoch=epoch,
            data=payload,
            rank=0,
            seq=root.seq,
        )
        root.seq += 1
        with open(self.path, "ab") as file:
            file.write(encode_event(event))


def fixed_recorder(telemetry_dir: Path, run_dir: str) -> InternalOpRecorder:
    """A recorder of a run whose times don't change from test to test."""
    (telemetry_dir / run_dir).mkdir(parents=True)
    return InternalOpRecorder(FixedSink(telemetry_dir / run_dir / "events.jsonl"))


@contextmanager
def training(
    telemetry_dir: Path, run_dir: str = "run", *, envs: int = 1, **options: Any
) -> Iterator[InternalOpRecorder]:
    """A training that ends as it should."""
    with TelemetryCollector(telemetry_dir, run_dir, envs_per_rank=envs, **options) as collector:
        with InternalOpRecorder(collector) as recorder:
            recorder.training_started()
            yield recorder


def play(
    recorder: InternalOpRecorder, env: int, slot: str, levels: Sequence[int], *, first_epoch: int = 1
) -> int:
    """Take a seed through ``levels``, one op and one epoch after the other; the last epoch."""
    epoch = first_epoch - 1
    for before, after in pairwise(levels):
        recorder.level_changed(env, slot, before, after)
        epoch += 1
        recorder.epoch_end(env, epoch, 1.0, 0.5)
    return epoch


def zigzag(low: int, high: int, ops: int) -> list[int]:
    """Levels of a seed that goes to and fro between two neighbouring levels."""
    return [low if op % 2 == 0 else high for op in range(ops + 1)]


COURSES = (
    [1, 2, *zigzag(3, 2, 30)],
    [1, 2, 3, 4, 3, 4, 3, 2, 3, 4, 3, 2, 1],
    [1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2],
)
"""Levels of slot r0c0 in each environment of the thrashing run."""


def thrashing_run(recorder: InternalOpRecorder) -> None:
    """Three environments; r0c0 thrashes in the first alone, r0c2 has no ladder, r0c3 is fossilized."""
    recorder.training_started(policy="oscillate")
    for env, course in enumerate(COURSES):
        recorder.seed_added(env, "r0c0", 1, 4, blueprint="conv")
        recorder.seed_added(env, "r0c1", 0, 4, blueprint="conv")
        recorder.seed_added(env, "r0c2", blueprint="norm")
        recorder.seed_added(env, "r0c3", 1, 12, blueprint="conv")
        epoch = play(recorder, env, "r0c1", [0, 1, 2, 3])
        epoch = play(recorder, env, "r0c3", range(1, 9), first_epoch=epoch + 1)
        play(recorder, env, "r0c0", course, first_epoch=epoch + 1)
        recorder.seed_removed(env, "r0c3", "fossilized")
    recorder.training_finished()


def read(telemetry_dir: Path, run_dir: str = "run", now: datetime = LATER) -> SanctumSnapshot:
    """What Sanctum knows of a run, read to its end."""
    feed = RunFeed(telemetry_dir / run_dir)
    while feed.poll(1 << 20):
        pass
    return feed.snapshot(now)
