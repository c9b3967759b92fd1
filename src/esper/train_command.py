"""``karn train``: the reference training from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from esper.options import TelemetryDir
from esper.terminal import next_command, show


def train(
    policy: Annotated[
        str, typer.Option(help="random, oscillate (thrashes on purpose), heuristic or ppo (learns).")
    ] = "heuristic",
    episodes: Annotated[int, typer.Option(help="Episodes of each environment.")] = 4,
    envs: Annotated[int, typer.Option(help="Environments of each process.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Epochs of an episode.", show_default="34")] = None,
    seed: Annotated[int, typer.Option(help="From which every random number follows.")] = 0,
    blueprints: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What may be planted, by slot: conv_ladder, conv_light, or none.",
            show_default="conv_ladder,conv_ladder,conv_light",
        ),
    ] = None,
    holdout: Annotated[
        float, typer.Option(metavar="P", help="Hold chosen GROW and SHRINK back with this probability.")
    ] = 0.0,
    shared_hosts: Annotated[
        bool,
        typer.Option("--shared-hosts", help="Several processes train the same networks, data-parallel."),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other hyperparameter, such as train_images=256 or ppo.lr=0.001; may be repeated.",
        ),
    ] = None,
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
    from esper.simic.distributed import World
    from esper.simic.overrides import config_from, names_of
    from esper.training_run import run_training

    fields = {
        "policy": policy,
        "n_episodes": episodes,
        "n_envs": envs,
        "max_epochs": epochs,
        "seed": seed,
        "blueprints": None if blueprints is None else names_of(blueprints),
        "holdout": holdout,
        "shared_hosts": shared_hosts,
        "checkpoint_every": checkpoint_every,
    }
    config = config_from({name: value for name, value in fields.items() if value is not None}, settings or ())
    where = folder(telemetry_dir)
    name = run_training(config, where, run_dir, resume=resume, sanctum=sanctum)
    if World.from_environment().rank == 0:
        show(f"run {name}\n{verdict_line(where, name)}\n{next_command(name, where)}")


def verdict_line(telemetry_dir: Path, run_dir: str) -> str:
    """What the events of a run say of its policy, in a line."""
    from esper.karn.sanctum.feed import utc_now
    from esper.karn.sanctum.glyphs import UNICODE
    from esper.karn.sanctum.once import read_run
    from esper.karn.sanctum.verdict_line import verdict_text

    snapshot = read_run(telemetry_dir, run_dir, utc_now())
    said = verdict_text(snapshot, UNICODE).plain
    if snapshot.run.status == "finished":
        return said
    return f"{said}\nso far: the other ranks have not all ended (`karn doctor` says how they stand)"
