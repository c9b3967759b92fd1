"""A reference training with its telemetry: trainer and collector put together; neither knows the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from esper.karn.collector import TelemetryCollector
from esper.karn.settings import check_run_dir, event_file_name, new_run_dir
from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import TrainConfig
from esper.simic.distributed import World, agreed_run_dir, rank_file
from esper.simic.policies import make_policy
from esper.simic.trainer import Progress, train

CHECKPOINT = "checkpoint.pt"
"""Beside the run's events; one for each rank."""


def run_training(
    config: TrainConfig, telemetry_dir: Path, run_dir: str | None, *, resume: bool, sanctum: bool = False
) -> str:
    """Train, and write telemetry and checkpoints into a run folder.

    Args:
        config: of the training.
        telemetry_dir: folder of all runs.
        run_dir: the run's folder; None makes a new name.
        resume: go on from the run's checkpoint.
        sanctum: show the run in this terminal meanwhile, as ``esper.karn.sanctum.embedded`` says.

    Returns:
        The run folder's name.

    Raises:
        KarnError: if the config, policy, run or terminal can't be; nothing is written then.
    """
    make_policy(config, 0)
    if run_dir is not None:
        check_run_dir(run_dir)
    elif resume:
        raise TelemetryUsageError("--resume needs --run-dir: name the run to go on with")
    world = World.from_environment()
    if sanctum:
        _check_viewer(world)
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
        _progress(world) as bar,
        # The run is closed before the viewer: whoever looks on sees how it ended.
        _shown(bar, telemetry_dir, name, sanctum),
        TelemetryCollector(
            telemetry_dir, name, rank=world.rank, world_size=world.world_size, envs_per_rank=config.n_envs
        ) as sink,
    ):
        train(config, sink, world=world, on_epoch=bar.advance, checkpoint_path=checkpoint, resume=resume)
    return name


def _check_viewer(world: World) -> None:
    from esper.karn.sanctum.embedded import check_terminal

    if world.world_size > 1:
        raise TelemetryUsageError(
            f"--sanctum is for a single process, and {world.world_size} ranks share this terminal: "
            "start karn sanctum in another one, which shows them all"
        )
    check_terminal()


@contextmanager
def _shown(bar: _Bar, telemetry_dir: Path, run_dir: str, sanctum: bool) -> Iterator[None]:
    """The bar from the beginning, or from when the viewer is closed."""
    if not sanctum:
        bar.start()
        yield
        return
    from esper.karn.sanctum.embedded import viewer_beside

    with viewer_beside(telemetry_dir, run_dir, on_closed=bar.start):
        yield


class _Bar(NamedTuple):
    """A progress bar, or nothing where there is no terminal for it."""

    start: Callable[[], None]
    advance: Callable[[Progress], None] | None


@contextmanager
def _progress(world: World) -> Iterator[_Bar]:
    """A bar on rank 0's terminal, with what the training is about; shown once it is started."""
    if world.rank != 0 or not sys.stderr.isatty():
        yield _Bar(lambda: None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("episode {task.fields[episode]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "accuracy {task.fields[accuracy]:.3f}  params {task.fields[params]:.0f}  {task.fields[ops]}"
        ),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
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

    try:
        yield _Bar(bar.start, on_epoch)
    finally:
        bar.stop()
