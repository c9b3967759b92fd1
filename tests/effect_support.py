"""Real runs whose op has a known effect, and what plain Python makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.confounded import Run, World, simulate

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from support import GROW, NOOP

OPS = {1: GROW, 0: NOOP, -1: LifecycleOp.PRUNE}
SLOTS = ("r0c0", "r0c1")


def write_confounded(
    folder: Path,
    run_dir: str,
    world: World,
    *,
    episodes: int,
    envs: int = 2,
    seed: int = 0,
    with_probabilities: bool = True,
) -> Run:
    """A run of a simulated training, episode i in environment i % envs; every other GROW in another slot."""
    run = simulate(np.random.default_rng(seed), world, episodes)
    with (
        TelemetryCollector(folder, run_dir, envs_per_rank=envs) as collector,
        InternalOpRecorder(collector) as recorder,
    ):
        recorder.training_started(task="simulated", policy="confounded", n_envs=envs)
        for episode in range(episodes):
            _write_episode(recorder, run, world, episode, episode % envs, with_probabilities)
    return run


def _write_episode(
    recorder: InternalOpRecorder, run: Run, world: World, episode: int, env: int, with_probabilities: bool
) -> None:
    levels = dict.fromkeys(SLOTS, 1)
    for slot in SLOTS:
        recorder.seed_added(env, slot, 1, 100)
    accuracy, loss = 0.3, 3.0
    recorder.epoch_end(env, 1, loss, accuracy)
    for epoch in range(run.done.shape[1]):
        op = OPS[int(run.done[episode, epoch])]
        meant = OPS[int(run.chosen[episode, epoch])]
        slot = SLOTS[epoch % 2]
        p_op, p_noop = float(run.p_op[episode, epoch]), float(run.p_noop[episode, epoch])
        probs = {"NOOP": p_noop, "PRUNE": 1 - p_op - p_noop, "GROW_INTERNAL": p_op}
        recorder.decision(
            env,
            None if op == NOOP else slot,
            op,
            probability=probs[op.name],
            op_probs=probs if with_probabilities else None,
            success=op != LifecycleOp.PRUNE,
            **({"intended_op": meant, "intended_slot": slot, "holdout_probability": world.holdout})
            if world.holdout and meant == GROW
            else {},
        )
        if op == GROW:
            recorder.level_changed(env, slot, levels[slot], levels[slot] + 1)
            levels[slot] += 1
        accuracy += float(run.accuracy[episode, epoch])
        loss += float(run.loss[episode, epoch])
        recorder.epoch_end(env, epoch + 2, loss, accuracy, reward=0.0)
    recorder.episode_end(env)


class State(NamedTuple):
    """One decision state, by plain Python."""

    episode: Any
    arm: str | None
    weight: float
    outcome: float


def states_in(
    events: Sequence[dict[str, Any]], method: str, outcome: str, *, horizon: int = 1, env: int | None = None
) -> list[State]:
    """The states of GROW in a file's events: one dictionary and one loop, and nothing of Karn's."""
    after = {
        (e["data"]["env_id"], e["data"]["episode_idx"], e["epoch"]): e["data"][outcome]
        for e in events
        if e["event_type"] == "EPOCH_COMPLETED"
    }
    found = []
    for event in events:
        data = event["data"]
        if event["event_type"] != "ANALYTICS_SNAPSHOT" or (env is not None and data["env_id"] != env):
            continue
        place = (data["env_id"], data["episode_idx"], event["epoch"] + horizon)
        if place not in after:
            continue
        change = after[place] - data[f"{outcome}_before"]
        arm = {"GROW_INTERNAL": "op", "NOOP": "noop"}.get(data["action_name"])
        if method == "weighted":
            p = data["op_probs"][data["action_name"]]
            found.append(State(place[:2], arm, 1 / max(p, 0.01), change))
        elif data.get("intended_op") == "GROW_INTERNAL":
            h = data["holdout_probability"]
            found.append(State(place[:2], arm, 1 / (1 - h) if arm == "op" else 1 / h, change))
    return found


def plain_effect(states: Sequence[State]) -> tuple[float, float, float]:
    """The effect and the ends of its interval, by the formulas of the docstrings, written out."""

    def value(kept: Sequence[State]) -> float:
        means = []
        for arm in ("op", "noop"):
            mine = [state for state in kept if state.arm == arm]
            means.append(math.fsum(s.weight * s.outcome for s in mine) / math.fsum(s.weight for s in mine))
        return means[0] - means[1]

    whole = value(states)
    episodes = sorted({state.episode for state in states})
    n = len(episodes)
    deleted = [value([s for s in states if s.episode != episode]) - whole for episode in episodes]
    square = math.fsum(d**2 for d in deleted)
    spread = math.fsum(d**4 for d in deleted) - square**2 / n
    degrees = min(n - 1.0, max(1.0, 2 * square**2 / spread))
    half = t_quantile(degrees) * math.sqrt((n - 1) / n * square)
    return whole, whole - half, whole + half


def t_quantile(degrees: float) -> float:
    """Student's 0.975 quantile, by Simpson's rule over the density and bisection."""
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)

    def mass(end: float, steps: int = 2_000) -> float:
        def density(x: float) -> float:
            return scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2)

        width = end / steps
        inner = math.fsum((4 if i % 2 else 2) * density(i * width) for i in range(1, steps))
        return (density(0) + inner + density(end)) * width / 3

    low, high = 1.9, 13.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < 0.475 else (low, middle)
    return low
