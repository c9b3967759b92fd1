"""A reference training with its telemetry: trainer and collector put together; neither knows the other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from esper.karn.collector import TelemetryCollector
from esper.karn.settings import check_run_dir, event_file_name, new_run_dir
from esper.leyline.errors import TelemetryUsageError
from esper.simic.checkpoint import other_world, previous_of, trained_by
from esper.simic.config import TrainConfig
from esper.simic.distributed import Alone, Group, World, agreed_run_dir, check_same, joined, rank_file
from esper.simic.policies import make_policy
from esper.simic.trainer import train
from esper.training_bar import TrainingBar, training_bar

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
        RankLostError: if this rank needs another one, and it is gone; all events until then are written.
    """
    make_policy(config, 0)
    if run_dir is not None:
        check_run_dir(run_dir)
    elif resume:
        raise TelemetryUsageError("--resume needs --run-dir: name the run to go on with")
    world = World.from_environment()
    if sanctum:
        _check_viewer(world)
    # Ranks that share nothing meet at most to agree on a name, so that none of them needs another later.
    meets = config.shares or run_dir is None
    with joined(world if meets else World()) as group:
        check_same(group, msgspec.to_builtins(config) | {"run_dir": run_dir, "resume": resume})
        name = agreed_run_dir(group, run_dir, new_run_dir)
        folder = telemetry_dir / name
        checkpoint = rank_file(folder / CHECKPOINT, world)
        _check_run(world, group, folder, checkpoint, resume=resume)
        if config.shares:
            _train(config, telemetry_dir, name, world, group, checkpoint, resume=resume, sanctum=sanctum)
    if not config.shares:
        _train(config, telemetry_dir, name, world, Alone(), checkpoint, resume=resume, sanctum=sanctum)
    return name


def _check_run(world: World, group: Group, folder: Path, checkpoint: Path, *, resume: bool) -> None:
    """The same answer on every rank of the group, so that none waits for one that could not start."""
    if any(group.gather(_has_events(folder, world))) and not resume:
        raise TelemetryUsageError(
            f"run {folder.name!r} exists; give --resume to go on with it, or another --run-dir"
        )
    if resume:
        _check_world(world, group, folder, checkpoint)
    there = checkpoint.exists() or previous_of(checkpoint).exists()
    missing = [name for name in group.gather(None if there else checkpoint.name) if name is not None]
    if resume and missing:
        raise TelemetryUsageError(
            f"run {folder.name!r} has no checkpoint to resume from ({', '.join(missing)})"
        )


def _has_events(folder: Path, world: World) -> bool:
    """Not if the file is empty: a start leaves that which came to no event, for want of room or by Ctrl-C."""
    events = folder / event_file_name(world.rank, world.world_size)
    return events.exists() and events.stat().st_size > 0


def _check_world(world: World, group: Group, folder: Path, checkpoint: Path) -> None:
    """Fewer ranks would leave environments behind, and more have none to go on with."""
    # A rank that has none of its own goes by the newest of the others.
    others = sorted(
        folder.glob(f"{Path(CHECKPOINT).stem}*.pt"), key=lambda path: path.stat().st_mtime_ns, reverse=True
    )
    known = (trained_by(path) for path in (checkpoint, previous_of(checkpoint), *others))
    for before in group.gather(next(filter(None, known), None)):
        if before is not None and before != world.world_size:
            raise TelemetryUsageError(f"run {folder.name!r} {other_world(before, world.world_size)}")


def _train(
    config: TrainConfig,
    telemetry_dir: Path,
    name: str,
    world: World,
    group: Group,
    checkpoint: Path,
    *,
    resume: bool,
    sanctum: bool,
) -> None:
    try:
        with (
            training_bar(world) as bar,
            # The run is closed before the viewer: whoever looks on sees how it ended.
            _shown(bar, telemetry_dir, name, sanctum),
            TelemetryCollector(
                telemetry_dir, name, rank=world.rank, world_size=world.world_size, envs_per_rank=config.n_envs
            ) as sink,
        ):
            train(
                config,
                sink,
                world=world,
                group=group,
                on_epoch=bar.advance,
                checkpoint_path=checkpoint,
                resume=resume,
            )
    except KeyboardInterrupt:
        if world.rank == 0:
            # The first event follows the first checkpoint: before it there may be nothing to go on from.
            begun = resume or _has_events(telemetry_dir / name, world)
            again = f"--run-dir {shlex.quote(name)}{' --resume' if begun else ''}"
            do = "go on" if begun else "begin again"
            print(f"karn: interrupted; to {do}, give the same command with {again}", file=sys.stderr)
        raise


def _check_viewer(world: World) -> None:
    from esper.karn.sanctum.embedded import check_terminal

    if world.world_size > 1:
        raise TelemetryUsageError(
            f"--sanctum is for a single process, and {world.world_size} ranks share this terminal: "
            "start karn sanctum in another one, which shows them all"
        )
    check_terminal()


@contextmanager
def _shown(bar: TrainingBar, telemetry_dir: Path, run_dir: str, sanctum: bool) -> Iterator[None]:
    """The bar from the beginning, or from when the viewer is closed."""
    if not sanctum:
        bar.start()
        yield
        return
    from esper.karn.sanctum.embedded import viewer_beside

    with viewer_beside(telemetry_dir, run_dir, on_closed=bar.start):
        yield
