"""One file that holds a whole training, written so that a crash at any point leaves an old or a new one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import torch

from esper.leyline.errors import KarnError
from esper.simic.config import TrainConfig

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]

VERSION = 1
MAY_DIFFER = {"n_episodes", "checkpoint_every", "threads"}
"""Fields of the config that a resumed training may change: they don't touch the epochs already trained."""


class CheckpointError(KarnError):
    """A checkpoint can't be read, or belongs to another training."""


def save_checkpoint(path: Path, config: TrainConfig, state: dict[str, Any]) -> None:
    """Replace ``path`` by a checkpoint of ``state``, in one step.

    Raises:
        OSError: if the file can't be written; an older checkpoint is then still whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save({"version": VERSION, "config": msgspec.to_builtins(config), "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name outlives a power cut only once its folder is on disk
    finally:
        os.close(folder)


def load_checkpoint(path: Path | None, config: TrainConfig) -> dict[str, Any]:
    """The state that ``save_checkpoint`` wrote.

    Raises:
        CheckpointError: if there is none, it is damaged, or it was made with another config.
    """
    if path is None or not path.is_file():
        raise CheckpointError(f"no checkpoint to resume from{f' at {path}' if path else ': name its file'}")
    try:
        saved = torch.load(path, weights_only=True)
        version, saved_config, state = saved["version"], saved["config"], saved["state"]
    except Exception as error:  # torch raises whatever its zip and pickle readers do
        raise CheckpointError(f"{path} is not a whole checkpoint ({type(error).__name__})") from error
    if version != VERSION:
        raise CheckpointError(f"{path} has checkpoint version {version}; this program reads {VERSION}")
    differing = [
        f"{name} was {saved_config.get(name)!r} and is {value!r}"
        for name, value in msgspec.to_builtins(config).items()
        if name not in MAY_DIFFER and saved_config.get(name) != value
    ]
    if differing:
        raise CheckpointError(f"{path} belongs to another training: {'; '.join(differing)}")
    loaded: dict[str, Any] = state
    return loaded
