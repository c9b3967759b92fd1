"""One random training, told to the vectorised recorder and to the scalar one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import torch

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from esper.simic.vectorised.recorder import VectorInternalOpRecorder

SLOTS = ("r0c0", "r0c1", "r1c0")
MAX_LEVEL = 3
NAMES = [op.name for op in LifecycleOp]
Call = tuple[str, dict[str, Any]]
"""A method of the vectorised recorder, and its arguments as lists and numbers."""


def history(rng: random.Random, n_envs: int, steps: int) -> list[Call]:
    """What a loop of ``n_envs`` environments would report; losses are sometimes not finite."""
    calls: list[Call] = []
    levels: list[list[int | None]] = [[None] * len(SLOTS) for _ in range(n_envs)]
    epoch = [0] * n_envs

    def some(chance: float) -> list[list[bool]]:
        return [[rng.random() < chance for _ in SLOTS] for _ in range(n_envs)]

    def plant(chance: float) -> None:
        mask = [
            [wanted and level is None for wanted, level in zip(*rows, strict=True)]
            for rows in zip(some(chance), levels, strict=True)
        ]
        start = [[rng.randrange(MAX_LEVEL + 1) for _ in SLOTS] for _ in range(n_envs)]
        for env, row in enumerate(mask):
            for slot, planted in enumerate(row):
                if planted:
                    levels[env][slot] = start[env][slot]
        fields = {"level": start, "max_level": MAX_LEVEL, "params": 100, "blueprint": "conv_ladder"}
        calls.append(("seeds_added", {"mask": mask, **fields}))

    plant(0.8)
    for _ in range(steps):
        ops = [rng.choice(list(LifecycleOp)[:1] * 3 + list(LifecycleOp)).value for _ in range(n_envs)]
        slots = [rng.randrange(-1, len(SLOTS)) for _ in range(n_envs)]
        decided: dict[str, Any] = {
            "ops": ops,
            "slots": slots,
            "probability": [rng.random() for _ in range(n_envs)],
            "op_probs": [[rng.random() for _ in NAMES] for _ in range(n_envs)],
            "slot_probs": [[rng.random() for _ in SLOTS] for _ in range(n_envs)],
            "legal_ops": 3,
            "success": [rng.random() < 0.9 for _ in range(n_envs)],
        }
        if rng.random() < 0.3:
            decided["intended_ops"] = [rng.choice((-1, 4, 5)) for _ in range(n_envs)]
            decided["intended_slots"] = [rng.randrange(-1, len(SLOTS)) for _ in range(n_envs)]
            decided["holdout_probability"] = 0.25
        if rng.random() < 0.3:
            decided["reward"] = [rng.random() for _ in range(n_envs)]
        if rng.random() < 0.2:
            decided["env_mask"] = [rng.random() < 0.5 for _ in range(n_envs)]
        calls.append(("decisions", decided))
        for _ in range(rng.choice((0, 1, 1, 2))):  # two: the first is superseded
            old = [[0 if level is None else level for level in row] for row in levels]
            for row in levels:
                for slot, level in enumerate(row):
                    if level is not None and rng.random() < 0.4:
                        row[slot] = rng.randrange(MAX_LEVEL + 1)
            new = [[0 if level is None else level for level in row] for row in levels]
            params = [[100 * level for level in row] for row in new]
            calls.append(("levels_changed", {"from_levels": old, "to_levels": new, "active_params": params}))
        if rng.random() < 0.2:
            mask = [
                [wanted and level is not None for wanted, level in zip(*rows, strict=True)]
                for rows in zip(some(0.3), levels, strict=True)
            ]
            for env, row in enumerate(mask):
                levels[env] = [None if gone else level for gone, level in zip(row, levels[env], strict=True)]
            reason = rng.choice(("policy", "fossilized"))
            calls.append(("seeds_removed", {"mask": mask, "reason": reason}))
            plant(0.5)
        ended: dict[str, Any] = {
            "loss": [rng.choice((rng.random(), rng.random(), float("nan"), float("inf"))) for _ in epoch],
            "accuracy": [rng.random() for _ in range(n_envs)],
            "params": [rng.randrange(10_000) for _ in range(n_envs)],
            "train_loss": 0.5,
        }
        in_it = [True] * n_envs
        if rng.random() < 0.3:
            ended["env_mask"] = in_it = [rng.random() < 0.7 for _ in range(n_envs)]
        if rng.random() < 0.5:
            ended["reward"] = [rng.random() for _ in range(n_envs)]
        epoch = [at + taken for at, taken in zip(epoch, in_it, strict=True)]
        if rng.random() < 0.5:
            ended["epoch"] = epoch
        calls.append(("epoch_end", ended))
        if rng.random() < 0.15:
            over = [rng.random() < 0.5 for _ in range(n_envs)]
            keep = rng.random() < 0.5
            calls.append(("episode_end", {"env_mask": over, "outcome": "timeout", "keep_seeds": keep}))
            epoch = [0 if done else at for at, done in zip(epoch, over, strict=True)]
            if not keep:
                levels = [[None] * len(SLOTS) if over[env] else row for env, row in enumerate(levels)]
            plant(0.5)
    return calls


def tell_vector(recorder: VectorInternalOpRecorder, call: Call) -> None:
    """Report it to the vectorised recorder."""
    name, fields = call
    tensors = {
        field: torch.tensor(value, dtype=torch.float64 if _real(value) else None)
        if isinstance(value, list)
        else value
        for field, value in fields.items()
    }
    getattr(recorder, name)(**tensors)


def tell_scalar(recorder: InternalOpRecorder, call: Call, n_envs: int) -> None:
    """Report it to the scalar recorder: environment after environment, slot after slot."""
    name, fields = call
    chosen = fields.get("env_mask", [True] * n_envs)
    for env in range(n_envs):
        if not chosen[env]:
            continue
        mine = {
            field: value[env] if isinstance(value, list) else value
            for field, value in fields.items()
            if field != "env_mask"
        }
        match name:
            case "decisions":
                slot = mine.pop("slots")
                mine["op_probs"] = dict(zip(NAMES, mine["op_probs"], strict=True))
                mine["slot_probs"] = dict(zip(SLOTS, mine["slot_probs"], strict=True))
                op = LifecycleOp(mine.pop("ops"))
                if "intended_ops" in mine:
                    intended, of = mine.pop("intended_ops"), mine.pop("intended_slots")
                    mine["intended_op"] = None if intended < 0 else LifecycleOp(intended)
                    mine["intended_slot"] = None if of < 0 else SLOTS[of]
                recorder.decision(env, None if slot < 0 else SLOTS[slot], op, **mine)
            case "epoch_end":
                mine.setdefault("epoch", recorder._env(env).epoch + 1)
                recorder.epoch_end(env, **mine)
            case "episode_end":
                recorder.episode_end(env, **mine)
            case _:
                _tell_slots(recorder, name, env, mine)


def _tell_slots(recorder: InternalOpRecorder, name: str, env: int, fields: dict[str, Any]) -> None:
    for index, slot in enumerate(SLOTS):
        mine = {field: value[index] if isinstance(value, list) else value for field, value in fields.items()}
        if name == "levels_changed":
            old, new = mine.pop("from_levels"), mine.pop("to_levels")
            if old != new:
                recorder.level_changed(env, slot, old, new, **mine)
        elif mine.pop("mask"):
            tell = recorder.seed_added if name == "seeds_added" else recorder.seed_removed
            tell(env, slot, **mine)


def collector(folder: Path, run_dir: str, n_envs: int) -> TelemetryCollector:
    return TelemetryCollector(folder, run_dir, envs_per_rank=n_envs)


def events(path: Path) -> list[dict[str, Any]]:
    """A file's events without what no two runs have in common."""
    found = []
    for line in path.read_bytes().splitlines():
        event = msgspec.json.decode(line)
        event["data"].pop("inode", None)
        found.append({name: value for name, value in event.items() if name not in ("event_id", "timestamp")})
    return found


def _real(value: Any) -> bool:
    while isinstance(value, list):
        value = value[0]
    return isinstance(value, float)
