"""Which of several training processes this one is, and how they work as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, distributed

from esper.leyline.errors import KarnError, TelemetryUsageError

__all__ = [
    "Alone",
    "Group",
    "ProcessGroup",
    "RankLostError",
    "World",
    "agreed_run_dir",
    "check_same",
    "joined",
    "rank_file",
]

T = TypeVar("T")

PATIENCE = timedelta(seconds=300)
"""How long a rank waits for another. One that was killed is noticed at once, since its connections close;
so long only for one that is stopped, or whose machine has gone."""


class RankLostError(KarnError):
    """Another rank ended, or no longer answers, while this one needs it."""


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


class Group(Protocol):
    """The ranks that train as one. Each of them must make the same calls in the same order."""

    @property
    def rank(self) -> int:
        """This process's, 0 to world_size - 1."""
        ...

    @property
    def world_size(self) -> int:
        """Ranks of the group."""
        ...

    def broadcast(self, value: T) -> T:
        """Rank 0's ``value`` on every rank; what the others hand in is ignored.

        Raises:
            RankLostError: if a rank is gone.
        """
        ...

    def gather(self, value: T) -> list[T]:
        """Every rank's ``value`` on every rank, by rank; nobody goes on before all have come so far.

        Raises:
            RankLostError: if a rank is gone.
        """
        ...

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in place; bit for bit the same on each.

        Args:
            tensors: on the CPU and of one dtype; as many on every rank, of the same shapes.

        Raises:
            RankLostError: if a rank is gone.
        """
        ...


class Alone:
    """A group of one: nothing to agree on."""

    rank = 0
    world_size = 1

    def broadcast(self, value: T) -> T:
        """``value`` itself."""
        return value

    def gather(self, value: T) -> list[T]:
        """``value`` itself, in a list."""
        return [value]

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Nothing: each tensor is its own mean."""


class ProcessGroup:
    """A group of processes that met through gloo; made by ``joined``.

    Args:
        world: this process among them.
    """

    def __init__(self, world: World) -> None:
        self.rank = world.rank
        self.world_size = world.world_size

    def broadcast(self, value: T) -> T:
        """As ``Group.broadcast``; ``value`` must be picklable."""
        values = [value]
        with self._together():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """As ``Group.gather``; ``value`` must be picklable."""
        values = [value] * self.world_size
        with self._together():
            distributed.all_gather_object(values, value)
        return values

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """As ``Group.mean_``, in one exchange for all tensors."""
        if not tensors:
            return
        with torch.no_grad():
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            with self._together():
                distributed.all_reduce(flat)
            flat /= self.world_size
            parts = torch.split(flat, [tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # all that gloo raises, with a text for its developers
            others = [str(rank) for rank in range(self.world_size) if rank != self.rank]
            lost = f"rank {others[0]}" if len(others) == 1 else f"one of the ranks {', '.join(others)}"
            raise RankLostError(
                f"rank {self.rank} stops: {lost} has ended or no longer answers; "
                "`karn doctor` says which, and since when"
            ) from error


@contextmanager
def joined(world: World, *, patience: timedelta = PATIENCE) -> Iterator[Group]:
    """Bring all ranks of a world together, for as long as the context lasts; for one there is nothing to do.

    Args:
        world: this process among the others.
        patience: how long to wait for another rank, to meet it or in the middle.

    Raises:
        TelemetryUsageError: if the ranks have no way to meet.
        RankLostError: if they don't.
    """
    if world.world_size == 1:
        yield Alone()
        return
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise TelemetryUsageError(
            f"{world.world_size} ranks can't meet without {' and '.join(missing)}: start them with torchrun, "
            "or give each the same run folder if they share nothing else"
        )
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if not 0 < _whole_number(os.environ, "MASTER_PORT", 0) < 2**16:
        raise TelemetryUsageError(f"MASTER_PORT={os.environ['MASTER_PORT']} must be 1 to 65535")
    try:
        distributed.init_process_group("gloo", rank=world.rank, world_size=world.world_size, timeout=patience)
    except RuntimeError as error:
        raise RankLostError(
            f"rank {world.rank} of {world.world_size} met not all others at {place} within "
            f"{patience.total_seconds():.0f} s: are they all started, and is the port free?"
        ) from error
    try:
        yield ProcessGroup(world)
        # Rank 0 holds the meeting place: it may not leave before the others have heard all it said. Who
        # has no more to hear doesn't mind if somebody is gone.
        with suppress(RuntimeError):
            distributed.barrier()
    finally:
        distributed.destroy_process_group()


def check_same(group: Group, settings: Mapping[str, object]) -> None:
    """Make sure that every rank was started in the same way; else they would wait for each other for ever.

    Args:
        group: all ranks of the training.
        settings: of this rank, by name.

    Raises:
        TelemetryUsageError: on every rank, if they were not.
        RankLostError: if a rank is gone.
    """
    of_ranks = group.gather(settings)
    differing = [
        f"{name} is {of_ranks[0].get(name)!r} on rank 0 and {own.get(name)!r} on rank {rank}"
        for rank, own in enumerate(of_ranks)
        for name in settings
        if own.get(name) != of_ranks[0].get(name)
    ]
    if differing:
        raise TelemetryUsageError(f"all ranks must be started alike: {'; '.join(differing)}")


def agreed_run_dir(group: Group, chosen: str | None, make: Callable[[], str]) -> str:
    """The run folder's name that all ranks write into.

    Args:
        group: all ranks of the training.
        chosen: the name that every rank was started with; then there is nothing to agree on.
        make: makes a new name. Rank 0 calls it and tells the others, which wait for it.

    Raises:
        RankLostError: if a rank is gone.
    """
    if chosen is not None:
        return chosen
    return group.broadcast(make() if group.rank == 0 else "")


def rank_file(path: Path, world: World) -> Path:
    """``path`` for a single process; with more, one of its own for each rank."""
    if world.world_size == 1:
        return path
    return path.with_name(f"{path.stem}.rank{world.rank:05d}{path.suffix}")


def _whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise TelemetryUsageError(f"{name}={text!r} in the environment must be a whole number") from None
