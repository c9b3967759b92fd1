"""``karn train``: puts the reference trainer and the collector together; neither knows the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from esper.karn.collector import TelemetryCollector
from esper.karn.settings import check_run_dir, event_file_name, new_run_dir
from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import TrainConfig
from esper.simic.distributed import World, agreed_run_dir, rank_file
from esper.simic.policies import make_policy
from esper.simic.trainer import Progress, train

CHECKPOINT = "checkpoint.pt"
"""Beside the run's events; one for each rank."""


def run_training(config: TrainConfig, telemetry_dir: Path, run_dir: str | None, *, resume: bool) -> str:
    """Train, and write telemetry and checkpoints into a run folder.

    Args:
        config: of the training.
        telemetry_dir: folder of all runs.
        run_dir: the run's folder; None makes a new name.
        resume: go on from the run's checkpoint.

    Returns:
        The run folder's name.

    Raises:
        KarnError: if the config, policy or run can't be; nothing is written then.
    """
    make_policy(config, 0)
    if run_dir is not None:
        check_run_dir(run_dir)
    elif resume:
        raise TelemetryUsageError("--resume needs --run-dir: name the run to go on with")
    world = World.from_environment()
    name = agreed_run_dir(world, run_dir, new_run_dir)
    folder = telemetry_dir / name
    if (folder / event_file_name(world.rank, world.world_size)).exists() and not resume:
        raise TelemetryUsageError(
            f"run {name!r} exists; give --resume to go on with it, or another --run-dir"
        )
    checkpoint = rank_file(folder / CHECKPOINT, world)
    if resume and not checkpoint.exists():
        raise TelemetryUsageError(f"run {name!r} has no checkpoint to resume from ({checkpoint.name})")
    with (
        TelemetryCollector(
            telemetry_dir, name, rank=world.rank, world_size=world.world_size, envs_per_rank=config.n_envs
        ) as sink,
        _progress(world) as on_epoch,
    ):
        train(config, sink, world=world, on_epoch=on_epoch, checkpoint_path=checkpoint, resume=resume)
    return name


@contextmanager
def _progress(world: World) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on rank 0's terminal, with what the training is about."""
    if world.rank != 0 or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("episode {task.fields[episode]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "accuracy {task.fields[accuracy]:.3f}  params {task.fields[params]:.0f}  {task.fields[ops]}"
        ),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("train", episode=1, accuracy=0.0, params=0, ops="", total=None)

        def on_epoch(now: Progress) -> None:
            ops = ", ".join(f"{count} {op}" for op, count in sorted(now.op_counts.items()))
            bar.update(
                task,
                completed=now.done,
                total=now.total,
                episode=f"{now.episode + 1}/{now.n_episodes}",
                accuracy=now.accuracy,
                params=now.params,
                ops=ops,
            )

        yield on_epoch
