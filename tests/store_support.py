"""What the tests of store, views and verdict need: trainings that can be killed, and stores to ask."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esper.karn.collector import TelemetryCollector
from esper.karn.store.database import Store
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from support import ROOT

DATA = next((p for p in (ROOT.parent / "shared/data", ROOT / "shared/data") if p.is_dir()), None)
"""Real telemetry of the predecessor, where the checkout has it beside itself."""

LIVE_VIEWS = (
    "epochs",
    "decisions",
    "seed_lifecycle",
    "seed_internal_levels",
    "internal_op_metrics",
    "counterfactual_deltas",
)
"""Views of which each row is one event, and in which replayed epochs count once."""


def open_store(telemetry_dir: Path) -> Store:
    """A store that has read everything."""
    store = Store(telemetry_dir)
    store.refresh()
    return store


def write_lines(path: Path, *lines: str | bytes | dict[str, Any], end: bytes = b"\n") -> Path:
    """Append lines to an event file, made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for line in lines:
            if isinstance(line, dict):
                line = json.dumps(line)
            file.write((line.encode() if isinstance(line, str) else line) + end)
    return path


def event(event_type: str, seq: int | None = None, **fields: Any) -> dict[str, Any]:
    """An event as a foreign writer would make it; keywords that the envelope lacks go into ``data``."""
    own = ("event_id", "timestamp", "seed_id", "slot_id", "epoch", "group_id", "message", "severity", "rank")
    line: dict[str, Any] = {"event_type": event_type}
    line |= {name: fields.pop(name) for name in own if name in fields}
    if seq is not None:
        line |= {"seq": seq, "rank": line.get("rank", 0)}
    return line | {"data": fields}


def level_change(
    seq: int,
    from_level: int,
    to_level: int,
    *,
    epoch: int = 0,
    env_id: int = 0,
    slot_id: str = "r0c0",
    episode_idx: int = 0,
    max_level: int = 4,
    **fields: Any,
) -> dict[str, Any]:
    """One SEED_INTERNAL_LEVEL_CHANGED line."""
    return event(
        "SEED_INTERNAL_LEVEL_CHANGED",
        seq,
        event_id=f"e{seq}",
        timestamp=f"2026-01-01T{seq // 3600 % 24:02d}:{seq // 60 % 60:02d}:{seq % 60:02d}.000000+00:00",
        slot_id=slot_id,
        epoch=epoch,
        env_id=env_id,
        episode_idx=episode_idx,
        from_level=from_level,
        to_level=to_level,
        max_level=max_level,
        **fields,
    )


GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


class SteppedTraining:
    """A training without a network that can be stopped at any step, saved, and gone on with.

    ``steps`` yields after each half of an epoch: "decided" when every environment's ops are done, and
    "completed" when every environment's epoch has ended.

    Args:
        collector: where its events go.
        n_envs: environments.
        episodes: of each.
        epochs: of an episode.
        held: rewards come with ``epoch_end``, so that decisions are written late.
        seed: of its decisions.
    """

    slots = ("r0c0", "r0c1")
    max_level = 4

    def __init__(
        self,
        collector: TelemetryCollector,
        *,
        n_envs: int = 2,
        episodes: int = 2,
        epochs: int = 100,
        held: bool = True,
        seed: int = 0,
    ) -> None:
        self.n_envs, self.episodes, self.epochs, self.held = n_envs, episodes, epochs, held
        self.recorder = InternalOpRecorder(collector, intervention_cost=0.005)
        self.rng = random.Random(seed)
        self.episode = self.epoch = 0
        self.decided = False
        self.levels: dict[tuple[int, str], int] = {}

    def start(self, **fields: Any) -> SteppedTraining:
        self.recorder.training_started(task="stepped", policy="random", n_envs=self.n_envs, **fields)
        return self

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("episode", "epoch", "decided", "levels")}
        return copy.deepcopy(state | {"rng": self.rng.getstate(), "recorder": self.recorder.state_dict()})

    def load_state_dict(self, state: dict[str, Any], *, reseed: int | None = None) -> SteppedTraining:
        """Take up; ``reseed`` makes what follows differ, as on a GPU it does."""
        state = copy.deepcopy(state)
        self.recorder.load_state_dict(state.pop("recorder"))
        self.rng.setstate(state.pop("rng"))
        vars(self).update(state)
        if reseed is not None:
            self.rng.seed(reseed)
        return self

    def steps(self) -> Iterator[tuple[str, int, int]]:
        while self.episode < self.episodes:
            while self.epoch < self.epochs:
                if not self.decided:
                    for env in range(self.n_envs):
                        self._decide(env)
                    self.decided = True
                    yield "decided", self.episode, self.epoch
                for env in range(self.n_envs):
                    self._train(env)
                self.epoch, self.decided = self.epoch + 1, False
                yield "completed", self.episode, self.epoch
            for env in range(self.n_envs):
                self.recorder.episode_end(env)
            self.levels.clear()
            self.episode, self.epoch = self.episode + 1, 0
        self.recorder.training_finished()

    def run_to(self, step: tuple[str, int, int] | None = None) -> SteppedTraining:
        """Go on until after ``step``, or to the end."""
        for done in self.steps():
            if done == step:
                break
        return self

    def _decide(self, env: int) -> None:
        recorder, slot = self.recorder, self.rng.choice(self.slots)
        level = self.levels.get((env, slot))
        options = [LifecycleOp.GERMINATE, NOOP] if level is None else [GROW, SHRINK, NOOP, GROW, SHRINK]
        if level is not None and self.rng.random() < 0.05:
            options = [LifecycleOp.PRUNE, LifecycleOp.FOSSILIZE]
        op = self.rng.choice(options)
        target = (level or 0) + {GROW: 1, SHRINK: -1}.get(op, 0)
        done = 0 <= target <= self.max_level
        recorder.decision(
            env,
            slot,
            op,
            probability=0.5,
            legal_ops=2,
            reward=None if self.held else self.rng.gauss(0, 1),
            success=done,
        )
        if op == LifecycleOp.GERMINATE:
            recorder.seed_added(env, slot, 1, self.max_level, params=100)
            self.levels[env, slot] = 1
        elif op in (LifecycleOp.PRUNE, LifecycleOp.FOSSILIZE):
            recorder.seed_removed(env, slot, "fossilized" if op == LifecycleOp.FOSSILIZE else "policy")
            del self.levels[env, slot]
        elif done and level is not None and target != level:
            recorder.level_changed(env, slot, level, target, active_params=100 * target)
            self.levels[env, slot] = target

    def _train(self, env: int) -> None:
        loss = 1 / (1 + self.epoch) + self.rng.gauss(0, 0.1)
        reward = self.rng.gauss(0, 1) if self.held else None
        self.recorder.epoch_end(env, self.epoch + 1, loss, 0.5, params=1000, reward=reward)
