"""``karn train``: the reference training from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from esper.options import TelemetryDir
from esper.terminal import next_command, show


def train(
    policy: Annotated[
        str, typer.Option(help="random, oscillate (thrashes on purpose) or heuristic.")
    ] = "heuristic",
    episodes: Annotated[int, typer.Option(help="Episodes of each environment.")] = 4,
    envs: Annotated[int, typer.Option(help="Environments of each process.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Epochs of an episode.", show_default="34")] = None,
    seed: Annotated[int, typer.Option(help="From which every random number follows.")] = 0,
    telemetry_dir: TelemetryDir = None,
    run_dir: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's folder name. Default: a new one.")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(metavar="EPOCHS", help="Epochs between checkpoints.")] = 10,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    sanctum: Annotated[
        bool,
        typer.Option("--sanctum", help="Watch it in this terminal; closing the viewer does not stop it."),
    ] = False,
) -> None:
    """Train the reference networks on real data, so that there is real telemetry to look at.

    Several processes: torchrun --nproc-per-node N -m esper train ...
    """
    from esper.karn.settings import telemetry_dir as folder
    from esper.simic.config import TrainConfig
    from esper.training_run import run_training

    given = {} if epochs is None else {"max_epochs": epochs}
    config = TrainConfig(
        policy=policy, n_episodes=episodes, n_envs=envs, seed=seed, checkpoint_every=checkpoint_every, **given
    )
    where = folder(telemetry_dir)
    name = run_training(config, where, run_dir, resume=resume, sanctum=sanctum)
    show(f"run {name}\n{next_command(name, where)}")
