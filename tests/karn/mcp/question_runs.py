"""Runs whose truth is known because of how they are made, for the questions of ``questions``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from support import GROW, NOOP, ROOT, SHRINK, read_events, write_run

RECORDED = ROOT / "examples/telemetry"

Script = Callable[[int, str, int, int], LifecycleOp]
"""From environment, slot, episode and epoch to an op."""

BAD_LINES = [11, 12]
"""Lines of ``torn`` that are broken, counted from 1."""
LOST = (30, 34)
"""First and last ``seq`` that ``torn`` has lost for good, besides those of the broken lines."""


def make_runs(folder: Path) -> Path:
    """Write every run whose truth is known; returns the folder.

    ========  ==========================================================================================
    flip      every op reverses the one before, from the first epoch on, in all 4 slots
    calm      each slot grows and then stays
    crowd     40 slots whose ops are coin flips: what looks bad is chance
    two       coin flips on ladders of one level, where every op must reverse the last
    idle      no internal op at all
    late      of 6 slots only r0c1 of environment 1 flips, and only from epoch 40 on
    over      r0c0 flips from epoch 20 to 58 of episode 0, and then no more
    helps     a GROW lowers the loss by 0.05 on average, a NOOP by 0.01
    torn      two broken lines and five lost ones
    half      the second of two ranks never wrote
    cut       ends in the middle
    ========  ==========================================================================================
    """
    write_run(folder, "flip", policy="oscillate", episodes=2, epochs=30)
    write_run(folder, "calm", policy="settle", episodes=2, epochs=30)
    write_run(folder, "crowd", policy="random", n_envs=20, episodes=1, epochs=30, seed=5)
    write_run(folder, "two", policy="random", max_level=1, epochs=40)
    write_run(folder, "idle", policy="noop")
    scripted(folder, "late", _late, n_envs=3, slots=("r0c0", "r0c1"))
    scripted(folder, "over", _over, episodes=8)
    scripted(folder, "helps", _helps, episodes=16, epochs=20)
    _tear(write_run(folder, "torn", policy="oscillate"))
    write_run(folder, "half", policy="settle", rank=0, world_size=2)
    path = write_run(folder, "cut", policy="settle")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-40]))
    return folder


def scripted(
    folder: Path,
    name: str,
    script: Script,
    *,
    n_envs: int = 1,
    slots: tuple[str, ...] = ("r0c0",),
    episodes: int = 1,
    epochs: int = 80,
) -> None:
    """A run that does what a script says. Losses fall by 0.01 an epoch, and by 0.04 or 0.06 after a GROW."""
    with TelemetryCollector(folder, name, envs_per_rank=n_envs) as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started(task="toy", policy=name, n_envs=n_envs, n_episodes=episodes)
        grown = 0
        for episode in range(episodes):
            levels = {(env, slot): 1 for env in range(n_envs) for slot in slots}
            losses = dict.fromkeys(range(n_envs), 2.0)
            for env, slot in levels:
                recorder.seed_added(env, slot, 1, 4, params=100)
            for epoch in range(epochs):
                for env, slot in levels:
                    level, op = levels[env, slot], script(env, slot, episode, epoch)
                    recorder.decision(env, slot, op, probability=0.5, legal_ops=3)
                    losses[env] -= 0.01 / len(slots)
                    if op in (GROW, SHRINK):
                        levels[env, slot] += 1 if op == GROW else -1
                        recorder.level_changed(env, slot, level, levels[env, slot], active_params=100 * level)
                    if op == GROW:
                        grown += 1
                        losses[env] -= 0.03 if grown % 2 else 0.05
                for env in range(n_envs):
                    recorder.epoch_end(env, epoch + 1, losses[env], 0.5)
            for env in range(n_envs):
                recorder.episode_end(env)


def _late(env: int, slot: str, episode: int, epoch: int) -> LifecycleOp:
    if (env, slot) == (1, "r0c1") and epoch >= 40 and epoch % 2 == 0:
        return GROW if epoch % 4 == 0 else SHRINK
    return GROW if epoch == 10 else NOOP


def _over(env: int, slot: str, episode: int, epoch: int) -> LifecycleOp:
    if episode == 0 and 20 <= epoch <= 58 and epoch % 2 == 0:
        return GROW if epoch % 4 == 0 else SHRINK
    return GROW if epoch == 10 or (episode and epoch == 20) else NOOP


def _helps(env: int, slot: str, episode: int, epoch: int) -> LifecycleOp:
    return GROW if epoch in (8, 14) else NOOP


def _tear(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    whole = {event["seq"]: line for event, line in zip(read_events(path), lines, strict=True)}
    first, last = LOST
    kept = [line for seq, line in whole.items() if not first <= seq <= last]
    for number in BAD_LINES:
        kept[number - 1] = kept[number - 1][:40] + b"\n"
    path.write_bytes(b"".join(kept))
