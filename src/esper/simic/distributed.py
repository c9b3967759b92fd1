"""Which of several training processes this one is, and what they have to agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from esper.leyline.errors import TelemetryUsageError

__all__ = ["World", "agreed_run_dir", "rank_file"]

MEETING_TIMEOUT = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class World:
    """This process among all that train together, as torchrun says in the environment."""

    rank: int = 0
    """0 to world_size - 1."""
    world_size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> World:
        """Read RANK, WORLD_SIZE and LOCAL_RANK; a single process where they are not set.

        Raises:
            TelemetryUsageError: if they are no whole numbers, or contradict each other.
        """
        rank = _whole_number(environment, "RANK", 0)
        world_size = _whole_number(environment, "WORLD_SIZE", 1)
        local_rank = _whole_number(environment, "LOCAL_RANK", 0)
        if not 0 <= rank < world_size:
            raise TelemetryUsageError(
                f"RANK={rank} and WORLD_SIZE={world_size}: must be 0 <= RANK < WORLD_SIZE"
            )
        return cls(rank, world_size, local_rank)


def agreed_run_dir(world: World, chosen: str | None, make: Callable[[], str]) -> str:
    """The run folder's name that all ranks write into.

    Args:
        world: this process among the others.
        chosen: the name that every rank was started with; then there is nothing to agree on.
        make: makes a new name. Rank 0 calls it and tells the others, which wait for it.

    Raises:
        TelemetryUsageError: if the ranks have no way to meet.
    """
    if chosen is not None:
        return chosen
    if world.world_size == 1:
        return make()
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise TelemetryUsageError(
            f"{world.world_size} ranks without {' and '.join(missing)} can't agree on a run folder: "
            "start them with torchrun, or give every one the same run folder"
        )
    return _from_rank_0(world, make)


def rank_file(path: Path, world: World) -> Path:
    """``path`` for a single process; with more, one of its own for each rank."""
    if world.world_size == 1:
        return path
    return path.with_name(f"{path.stem}.rank{world.rank:05d}{path.suffix}")


def _from_rank_0(world: World, make: Callable[[], str]) -> str:
    from torch import distributed

    distributed.init_process_group(
        "gloo", rank=world.rank, world_size=world.world_size, timeout=MEETING_TIMEOUT
    )
    try:
        names = [make() if world.rank == 0 else None]
        distributed.broadcast_object_list(names, src=0)
        # Rank 0 holds the meeting place: it may not leave before the others have heard.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
    name = names[0]
    assert name is not None
    return name


def _whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise TelemetryUsageError(f"{name}={text!r} in the environment must be a whole number") from None
