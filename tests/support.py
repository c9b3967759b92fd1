"""What several test files need: a sink that remembers, a toy training that writes real runs, scripts."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp, RankSink, TelemetryEventType
from esper.simic.training.recorder import InternalOpRecorder

ROOT = Path(__file__).resolve().parents[1]
SHARED = next((path for path in (ROOT / "shared", ROOT.parent / "shared") if path.is_dir()), ROOT / "shared")
"""Material that lies beside the checkout; tests that read it are skipped where it is missing."""


class Emitted(NamedTuple):
    """One event as a sink was given it."""

    env: int | None
    event_type: TelemetryEventType
    payload: Any
    slot_id: str | None
    seed_id: str | None
    epoch: int | None
    message: str
    severity: str


class ListSink:
    """A RankSink that keeps every event in ``events``; ``env`` is None for what the rank itself emits."""

    def __init__(self) -> None:
        self.events: list[Emitted] = []

    def for_env(self, local: int) -> _ListEnvSink:
        return _ListEnvSink(self, local)

    def emit(self, event_type, payload, **fields) -> None:
        self.keep(None, event_type, payload, **fields)

    def keep(
        self, env, event_type, payload, *, slot_id=None, seed_id=None, epoch=None, message="", severity="info"
    ) -> None:
        self.events.append(Emitted(env, event_type, payload, slot_id, seed_id, epoch, message, severity))

    def of_type(self, event_type: TelemetryEventType) -> list[Emitted]:
        return [event for event in self.events if event.event_type == event_type]

    @property
    def types(self) -> list[str]:
        return [str(event.event_type) for event in self.events]


class _ListEnvSink:
    def __init__(self, sink: ListSink, env: int) -> None:
        self._sink = sink
        self._env = env

    def emit(self, event_type, payload, **fields) -> None:
        self._sink.keep(self._env, event_type, payload, **fields)


Policy = Callable[[random.Random, int, int, int], LifecycleOp]
"""From randomness, level, max_level and epoch to an op on a slot."""

GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


def _oscillate(rng: random.Random, level: int, max_level: int, epoch: int) -> LifecycleOp:
    return GROW if epoch % 2 == 0 else SHRINK


def _settle(rng: random.Random, level: int, max_level: int, epoch: int) -> LifecycleOp:
    return GROW if epoch % 3 == 0 and level < max_level - 1 else NOOP


def _random(rng: random.Random, level: int, max_level: int, epoch: int) -> LifecycleOp:
    return rng.choice([GROW, SHRINK, NOOP])


POLICIES: dict[str, Policy] = {
    "oscillate": _oscillate,
    "settle": _settle,
    "random": _random,
    "noop": lambda rng, level, max_level, epoch: NOOP,
}


def toy_training(
    sink: RankSink,
    *,
    policy: str = "random",
    n_envs: int = 2,
    slots: tuple[str, ...] = ("r0c0", "r0c1"),
    episodes: int = 2,
    epochs: int = 20,
    max_level: int = 4,
    seed: int = 0,
    prune_at: int | None = None,
    fossilize_at: int | None = None,
) -> None:
    """A training without a network: every report of the recorder, in the order a real loop makes them.

    Args:
        sink: where its events go.
        policy: a name in POLICIES.
        prune_at: epoch at which the first slot's seed is pruned and planted anew.
        fossilize_at: epoch at which the last slot's seed is fossilized.
    """
    rng = random.Random(seed)
    decide = POLICIES[policy]
    with InternalOpRecorder(sink, intervention_cost=0.005) as recorder:
        recorder.training_started(task="toy", policy=policy, seed=seed, n_envs=n_envs, n_episodes=episodes)
        for _ in range(episodes):
            levels = {(env, slot): 1 for env in range(n_envs) for slot in slots}
            for env, slot in levels:
                recorder.seed_added(env, slot, 1, max_level, blueprint="conv_ladder", params=100)
            for epoch in range(epochs):
                for env in range(n_envs):
                    if epoch == prune_at:
                        recorder.seed_removed(env, slots[0], "policy")
                        recorder.seed_added(env, slots[0], 1, max_level, params=100)
                        levels[env, slots[0]] = 1
                    if epoch == fossilize_at:
                        recorder.seed_removed(env, slots[-1], "fossilized")
                        del levels[env, slots[-1]]
                    for slot in [slot for slot in slots if (env, slot) in levels]:
                        level = levels[env, slot]
                        op = decide(rng, level, max_level, epoch)
                        target = level + {GROW: 1, SHRINK: -1}.get(op, 0)
                        possible = 0 <= target <= max_level
                        recorder.decision(
                            env,
                            slot,
                            op,
                            probability=1 / 3,
                            entropy=1.0986,
                            legal_ops=3,
                            success=possible,
                        )
                        if possible and target != level:
                            recorder.level_changed(env, slot, level, target, active_params=100 * target)
                            levels[env, slot] = target
                    grown = sum(level for (at, _), level in levels.items() if at == env)
                    loss = 2.0 / (1 + epoch) - 0.01 * grown + rng.gauss(0, 0.01)
                    recorder.epoch_end(
                        env, epoch + 1, loss, 1 / (1 + loss), params=1000 + 100 * grown, reward=-loss
                    )
            for env in range(n_envs):
                recorder.episode_end(env, outcome="timeout")


def write_run(
    telemetry_dir: Path,
    run_dir: str,
    *,
    rank: int = 0,
    world_size: int = 1,
    n_envs: int = 2,
    **training: Any,
) -> Path:
    """A real run of ``toy_training``, written by a real collector; returns the file of this rank."""
    with TelemetryCollector(
        telemetry_dir, run_dir, rank=rank, world_size=world_size, envs_per_rank=n_envs
    ) as collector:
        toy_training(collector, n_envs=n_envs, **training)
    return collector.path


def read_events(path: Path) -> list[dict[str, Any]]:
    """Every line of a file, by Python's own json: nothing of Karn's reads it."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def run_python(
    code: str, *args: object, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter where warnings are errors; its stderr shows when it fails."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        **options,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done
