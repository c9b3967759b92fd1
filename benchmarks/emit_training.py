"""What telemetry costs the reference training: its share of the CPU, with everything on."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, cost_of, interleave
from esper.karn.collector import TelemetryCollector
from esper.leyline import EventSink, TelemetryEventType
from esper.leyline.payloads import Payload
from esper.simic import trainer
from esper.simic.config import TrainConfig
from esper.simic.training.recorder import InternalOpRecorder

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class NullSink:
    """A RankSink that takes everything and keeps nothing."""

    def for_env(self, local: int) -> EventSink:
        return self

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
        pass


class NotedRecorder(InternalOpRecorder):
    """A recorder that notes what it is told, so that it can be told again without a training."""

    calls: list[Call]

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in _REPORTS:
            return found

        def noted(*args: Any, **fields: Any) -> Any:
            NotedRecorder.calls.append((name, args, fields))
            return found(*args, **fields)

        return noted


_REPORTS = {
    *("training_started", "decision", "seed_added", "level_changed", "stage_changed", "seed_removed"),
    *("epoch_end", "episode_end"),
}


def measure(rounds: int, epochs: int) -> list[dict[str, Any]]:
    """Train with a sink that keeps nothing and with everything on, in turn; then telemetry by itself.

    The difference of two trainings is small against how much one differs from the next. So the reports of
    a training are noted as well, and made again without it: recorder, trackers, payloads and collector.

    Args:
        rounds: medians are over these.
        epochs: of each training.
    """
    config = TrainConfig(policy="oscillate", n_envs=2, n_episodes=1, max_epochs=epochs)

    def with_telemetry() -> Cost:
        with tempfile.TemporaryDirectory() as folder:
            return cost_of(lambda: _train(config, Path(folder)))

    def noted() -> Cost:
        with tempfile.TemporaryDirectory() as folder:
            return _replayed(config, calls, Path(folder))

    calls = _reports_of(config)
    costs = interleave(
        {
            "null sink": lambda: cost_of(lambda: trainer.train(config, NullSink())),
            "everything on": with_telemetry,
            "telemetry alone": noted,
        },
        rounds,
    )
    training = costs["null sink"].cpu_s
    return [
        {
            "training": name,
            "cpu ms": cost.cpu_s * 1e3,
            "wall ms": cost.wall_s * 1e3,
            "% of null sink": cost.cpu_s / training * 100,
        }
        for name, cost in costs.items()
    ]


def _train(config: TrainConfig, folder: Path) -> None:
    with TelemetryCollector(folder, "run", envs_per_rank=config.n_envs) as sink:
        trainer.train(config, sink)


def _reports_of(config: TrainConfig) -> list[Call]:
    NotedRecorder.calls = []
    before = trainer.InternalOpRecorder
    trainer.InternalOpRecorder = NotedRecorder  # type: ignore[misc]
    try:
        trainer.train(config, NullSink())
    finally:
        trainer.InternalOpRecorder = before  # type: ignore[misc]
    return NotedRecorder.calls


def _replayed(config: TrainConfig, calls: list[Call], folder: Path) -> Cost:
    with TelemetryCollector(folder, "run", envs_per_rank=config.n_envs) as sink:
        recorder = InternalOpRecorder(
            sink, window_size=config.window_size, intervention_cost=config.intervention_cost
        )
        wall, cpu = time.perf_counter(), time.process_time()
        for name, args, fields in calls:
            getattr(recorder, name)(*args, **fields)
        return Cost(time.process_time() - cpu, time.perf_counter() - wall)
