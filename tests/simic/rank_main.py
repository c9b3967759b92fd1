"""One rank of a training, as the command line starts it; run by test_distributed.py."""

from __future__ import annotations

import sys

from esper.karn.collector import TelemetryCollector
from esper.karn.settings import new_run_dir
from esper.simic.config import TrainConfig
from esper.simic.distributed import World, agreed_run_dir
from esper.simic.trainer import train


def main(telemetry_dir: str) -> None:
    world = World.from_environment()
    config = TrainConfig(
        policy="random", n_envs=2, n_episodes=2, max_epochs=6, channels=2, train_images=32, batch_size=32
    )
    run_dir = agreed_run_dir(world, None, new_run_dir)
    with TelemetryCollector(
        telemetry_dir, run_dir, rank=world.rank, world_size=world.world_size, envs_per_rank=config.n_envs
    ) as sink:
        train(config, sink, world=world)


if __name__ == "__main__":
    main(sys.argv[1])
