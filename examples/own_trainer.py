"""A training loop of your own, wired to Karn: the lines that say ``recorder`` are all it takes.

The "network" is a toy: the nearer its slots are to the level that they need, the lower its loss. It needs
nothing but ``pip install karn-telemetry``. Run it, then look at the result:

    python examples/own_trainer.py --telemetry-dir telemetry
    karn report --telemetry-dir telemetry
"""

import argparse
import random

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder

ENVS, EPISODES, EPOCHS, MAX_LEVEL, COST = 2, 3, 60, 4, 0.005
NEEDED = {"r0c0": 3, "r0c1": 2}  # what the policy should find out
OPS = {0: LifecycleOp.NOOP, 1: LifecycleOp.GROW_INTERNAL, -1: LifecycleOp.SHRINK_INTERNAL}


def train_episode(recorder: InternalOpRecorder, env: int, rng: random.Random) -> None:
    """One environment's episode: in each epoch the policy decides, then the network trains."""
    levels = dict.fromkeys(NEEDED, 1)
    for slot, level in levels.items():
        recorder.seed_added(env, slot, level, MAX_LEVEL)
    for epoch in range(1, EPOCHS + 1):
        slot = rng.choice(list(levels))
        legal = [step for step in OPS if 0 <= levels[slot] + step <= MAX_LEVEL]
        weights = {step: 1 if step else 3 for step in legal}  # the policy waits more often than it acts
        (step,) = rng.choices(legal, list(weights.values()))
        probability = weights[step] / sum(weights.values()) / len(levels)
        recorder.decision(env, slot, OPS[step], probability=probability, legal_ops=len(legal))
        if step:
            levels[slot] += step
            recorder.level_changed(env, slot, levels[slot] - step, levels[slot])
        distance = sum(abs(levels[slot] - needed) for slot, needed in NEEDED.items())
        loss = 0.2 + 0.1 * distance + 1 / epoch + abs(rng.gauss(0, 0.02))
        recorder.epoch_end(env, epoch, loss, accuracy=1 / (1 + loss), reward=-loss - COST * abs(step))
    recorder.episode_end(env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--telemetry-dir", help="default: KARN_TELEMETRY_DIR, else telemetry")
    folder, rng = parser.parse_args().telemetry_dir, random.Random(0)
    with TelemetryCollector(folder, envs_per_rank=ENVS) as collector:
        with InternalOpRecorder(collector, intervention_cost=COST) as recorder:
            recorder.training_started(task="toy", policy="luck", n_envs=ENVS, n_episodes=EPISODES)
            for _ in range(EPISODES):
                for env in range(ENVS):
                    train_episode(recorder, env, rng)
    print(f"wrote {collector.path}")


if __name__ == "__main__":
    main()
