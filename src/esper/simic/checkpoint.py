"""One file that holds a whole training, written so that a crash at any point leaves an old or a new one."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import torch

from esper.leyline.errors import KarnError
from esper.simic.config import TrainConfig
from esper.simic.distributed import Alone, Group, World

__all__ = [
    "CheckpointError",
    "UnwrittenError",
    "discard_checkpoints",
    "load_checkpoint",
    "other_world",
    "previous_of",
    "save_checkpoint",
    "trained_by",
]

VERSION = 1
MAY_DIFFER = {"n_episodes", "checkpoint_every", "threads"}
"""Fields of the config that a resumed training may change: they don't touch the epochs already trained."""


class CheckpointError(KarnError):
    """A checkpoint can't be read or written, or belongs to another training."""


class UnwrittenError(CheckpointError):
    """A checkpoint can't be written now, as on a full disk; those that are there are as they were."""


Saved = dict[str, Any]
Moment = tuple[int, int]
"""Episode, and epochs completed in it."""


def previous_of(path: Path) -> Path:
    """Where ranks that share something keep the checkpoint before the newest."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def discard_checkpoints(path: Path, group: Group | None = None) -> None:
    """Remove what an earlier training left in the place of a new one's checkpoints.

    Otherwise ranks that are killed early could have one of that training in common, and go on with it.

    Raises:
        CheckpointError: if a file can't be removed; on every rank of the group.
        RankLostError: if a rank is gone.
    """
    problem = ""
    try:
        for each in (path, previous_of(path)):
            each.unlink(missing_ok=True)
    except OSError as error:
        problem = f"{error.filename} of an earlier training can't be removed: {error.strerror}"
    for told in (group or Alone()).gather(problem):
        if told:
            raise CheckpointError(told)


def save_checkpoint(
    path: Path,
    config: TrainConfig,
    state: dict[str, Any],
    group: Group | None = None,
    world: World | None = None,
) -> None:
    """Replace ``path`` by a checkpoint of ``state``, in one step.

    Ranks that share something wait for each other and keep one older checkpoint each, so that they have
    one in common wherever they are killed.

    Args:
        path: this rank's own file.
        config: of the training.
        state: plain lists, dicts, numbers and tensors, with ``episode`` and ``epoch``.
        group: the ranks that share something.
        world: this process among all ranks of the training, whether they share something or not.

    Raises:
        UnwrittenError: if there is no room for a new file, on every rank of the group; an older
            checkpoint is then still whole.
        CheckpointError: if the new file can't take the place of the old one.
        RankLostError: if a rank is gone; the older one is still whole.
    """
    group, world = group or Alone(), world or World()
    temporary = path.with_name(f"{path.name}.tmp")  # one that a kill left behind is written over
    content = io.BytesIO()  # torch's own writer does not say why a disk takes no more
    place = {"rank": world.rank, "world_size": world.world_size}
    torch.save({"version": VERSION, "config": msgspec.to_builtins(config), "state": state} | place, content)
    try:
        problem = _written(temporary, content)
        # All have the one before: nobody is further than one ahead.
        for rank, told in enumerate(group.gather(problem)):
            if told:
                of = f"rank {rank}'s" if group.world_size > 1 else "the"
                raise UnwrittenError(f"{of} checkpoint can't be written: {told}")
        if group.world_size > 1 and path.exists():
            os.replace(path, previous_of(path))
        os.replace(temporary, path)
        _sync(path.parent)  # the new name outlives a power cut only once its folder is on disk
    except OSError as error:
        raise CheckpointError(f"{path} can't be replaced: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _written(path: Path, content: io.BytesIO) -> str:
    """Why a file can't be written, with its content on the disk; empty if it can."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def trained_by(path: Path) -> int | None:
    """How many ranks the training of a checkpoint had; None if it can't be read, or is too old to say."""
    try:
        world_size = torch.load(path, weights_only=True, mmap=True).get("world_size")
    except Exception:  # whatever torch's readers raise: load_checkpoint says what is wrong
        return None
    return world_size if isinstance(world_size, int) else None


def other_world(before: int, now: int) -> str:
    """What to say of a training whose ranks have become more or fewer."""
    ranks = "1 rank" if before == 1 else f"{before} ranks"
    return f"was trained by {ranks}, and {now} would go on: start as many"


def load_checkpoint(
    path: Path | None, config: TrainConfig, group: Group | None = None, world: World | None = None
) -> dict[str, Any]:
    """The state that ``save_checkpoint`` wrote; with several ranks in the group, the newest that all have.

    Raises:
        CheckpointError: if there is none, it is damaged, it was made with another config, by more or fewer
            ranks or by another one, or the ranks have none in common. Every rank of the group raises it then.
        RankLostError: if a rank is gone.
    """
    if path is None:
        raise CheckpointError("no checkpoint to resume from: name its file")
    group, world = group or Alone(), world or World()
    if group.world_size == 1:
        return _load(path, config, world)
    found: dict[Moment, tuple[Path, Saved]] = {}
    problem = ""
    for each in (path, previous_of(path)):
        try:
            state = _load(each, config, world)
        except CheckpointError as error:
            problem = problem or str(error)
        else:
            found.setdefault((state["episode"], state["epoch"]), (each, state))
    known = group.gather((sorted(found, reverse=True), problem))
    for rank, (moments, reason) in enumerate(known):
        if not moments:
            raise CheckpointError(f"rank {rank} can't resume: {reason}")
    common = set(found).intersection(*(moments for moments, _ in known))
    if not common:
        ranks = "; ".join(
            f"rank {rank} at {' and '.join(f'episode {episode} epoch {epoch}' for episode, epoch in moments)}"
            for rank, (moments, _) in enumerate(known)
        )
        raise CheckpointError(f"the ranks have no checkpoint in common: {ranks}")
    source, state = found[max(common)]
    if source != path:
        # The newer one is given up: the next write would keep it as the older, which no other rank has.
        os.replace(source, path)
    return state


def _load(path: Path, config: TrainConfig, world: World) -> Saved:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint to resume from at {path}")
    try:
        saved = torch.load(path, weights_only=True)
        version, saved_config, state = saved["version"], saved["config"], saved["state"]
    except Exception as error:  # torch raises whatever its zip and pickle readers do
        raise CheckpointError(f"{path} is not a whole checkpoint ({type(error).__name__})") from error
    if version != VERSION:
        raise CheckpointError(f"{path} has checkpoint version {version}; this program reads {VERSION}")
    # One of an earlier program does not say whose it is.
    rank, world_size = saved.get("rank", world.rank), saved.get("world_size", world.world_size)
    if world_size != world.world_size:
        raise CheckpointError(f"what {path} holds {other_world(world_size, world.world_size)}")
    if rank != world.rank:
        raise CheckpointError(f"{path} is of rank {rank}, and this is rank {world.rank}")
    # What the program that wrote it did not know yet had its default.
    then = _settings(msgspec.to_builtins(TrainConfig())) | _settings(saved_config)
    differing = [
        f"{name} was {then[name]!r} and is {value!r}"
        for name, value in _settings(msgspec.to_builtins(config)).items()
        if name not in MAY_DIFFER and then[name] != value
    ]
    if differing:
        raise CheckpointError(f"{path} belongs to another training: {'; '.join(differing)}")
    loaded: Saved = state
    return loaded


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a config by name, those within another as ``ppo.lr``."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= (
            {f"{name}.{part}": of_part for part, of_part in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat
