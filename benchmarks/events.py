"""Telemetry to measure with: seeded trainings without a network, by the real recorder and collector."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from esper.karn.collector import TelemetryCollector
from esper.leyline import LifecycleOp, RankSink
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder

EPOCHS = 60
"""Of an episode."""
MAX_LEVEL = 4
PARAMS_PER_LEVEL = 148
_FORMAT = 1
"""Of the cached folders: one more whenever what is written changes."""
_STYLES = ("random", "oscillate", "settle")
_GROW, _SHRINK, _NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


@dataclass(frozen=True)
class Dataset:
    """A telemetry folder of a known size. Nothing is sealed in it, and nothing may be written to it."""

    folder: Path
    n_events: int
    n_bytes: int
    run_dirs: tuple[str, ...]

    @property
    def telemetry(self) -> Path:
        """The telemetry folder."""
        return self.folder / "telemetry"

    @property
    def files(self) -> list[Path]:
        """Each run's event file."""
        return [self.telemetry / run_dir / "events.jsonl" for run_dir in self.run_dirs]

    @property
    def one_run(self) -> str:
        """The run that questions about one run are asked of."""
        return self.run_dirs[len(self.run_dirs) // 2]


def make_events(
    work_dir: Path, n_events: int, *, n_runs: int = 8, n_envs: int = 8, n_slots: int = 5, seed: int = 0
) -> Dataset:
    """The data set of these parameters, written where it is not there yet.

    Args:
        work_dir: where data sets are kept.
        n_events: of all runs together; what is written differs by a few events a run.
        n_runs: run folders, of equal size.
        n_envs: environments of each run.
        n_slots: slots of each environment.
        seed: of all random numbers; times and event ids differ from one writing to the next.
    """
    folder = work_dir / f"events-v{_FORMAT}-{n_events}x{n_runs}r{n_envs}e{n_slots}s-{seed}"
    facts = folder / "dataset.json"
    if not facts.is_file():
        work_dir.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(dir=work_dir, prefix="writing-"))
        write = partial(_write_run, unfinished / "telemetry", n_events // n_runs, n_envs, n_slots, seed)
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            written = list(pool.map(write, range(n_runs), chunksize=max(1, n_runs // 16)))
        sizes = [path.stat().st_size for path in unfinished.glob("telemetry/*/events.jsonl")]
        known = {"n_events": sum(written), "n_bytes": sum(sizes)}
        (unfinished / "dataset.json").write_text(json.dumps(known))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    runs = tuple(_run_name(index) for index in range(n_runs))
    return Dataset(folder, run_dirs=runs, **json.loads(facts.read_text()))


@contextmanager
def linked_copy(dataset: Dataset) -> Iterator[Path]:
    """A telemetry folder of the same files under other names; sealing it leaves the data set as it is."""
    top = Path(mkdtemp(dir=dataset.folder.parent, prefix="copy-"))
    try:
        for run_dir, path in zip(dataset.run_dirs, dataset.files, strict=True):
            run = top / "telemetry" / run_dir
            run.mkdir(parents=True)
            os.link(path, run / path.name)
        yield top / "telemetry"
    finally:
        shutil.rmtree(top)


def _run_name(index: int) -> str:
    return f"run-{index:04d}"


def _write_run(folder: Path, quota: int, n_envs: int, n_slots: int, seed: int, index: int) -> int:
    """Write one run of about ``quota`` events, and return how many there are."""
    rng = random.Random(f"{seed}/{index}")
    with TelemetryCollector(folder, _run_name(index), envs_per_rank=n_envs, buffered=True) as collector:
        sink = CountingSink(collector)
        with InternalOpRecorder(sink, intervention_cost=0.005) as recorder:
            recorder.training_started(
                task="benchmark", policy="mixed", seed=seed, n_envs=n_envs, max_epochs=EPOCHS
            )
            envs = [SyntheticEnv(recorder, env, n_slots, rng) for env in range(n_envs)]
            while all(env.step(sink.room(quota)) for env in envs):
                pass
    return sink.count


class CountingSink:
    """A RankSink that passes everything on and counts it."""

    def __init__(self, sink: RankSink) -> None:
        self._sink = sink
        self.count = 0

    def room(self, quota: int) -> bool:
        return self.count < quota - 4

    def for_env(self, local: int) -> _CountingEnvSink:
        return _CountingEnvSink(self, self._sink.for_env(local))

    def emit(self, event_type: Any, payload: Any, **fields: Any) -> None:
        self.count += 1
        self._sink.emit(event_type, payload, **fields)


class _CountingEnvSink:
    def __init__(self, counter: CountingSink, sink: Any) -> None:
        self._counter = counter
        self._sink = sink

    def emit(self, event_type: Any, payload: Any, **fields: Any) -> None:
        self._counter.count += 1
        self._sink.emit(event_type, payload, **fields)


class SyntheticEnv:
    """One environment: one decision an epoch, on a slot that has a habit of its own."""

    def __init__(self, recorder: InternalOpRecorder, env: int, n_slots: int, rng: random.Random) -> None:
        self._recorder = recorder
        self._env = env
        self._rng = rng
        self._slots = [f"r{index // 3}c{index % 3}" for index in range(n_slots)]
        self._start()

    def _start(self) -> None:
        self._epoch = 0
        self._levels: dict[str, int] = {}
        self._fossils: set[str] = set()
        self._style = {slot: self._rng.choice(_STYLES) for slot in self._slots}
        self._goal = {slot: self._rng.randint(1, MAX_LEVEL) for slot in self._slots}

    def step(self, room: bool) -> bool:
        """One epoch, if there is room for its events; whether there was."""
        if not room:
            return False
        self._decide()
        rng = self._rng
        self._epoch += 1
        levels = sum(self._levels.values())
        loss = round(0.1 + 2.2 * math.exp(-self._epoch / 25) - 0.004 * levels + rng.gauss(0, 0.01), 6)
        self._recorder.epoch_end(
            self._env,
            self._epoch,
            loss,
            round(math.exp(-max(loss, 0.0)), 6),
            params=1578 + PARAMS_PER_LEVEL * levels,
            reward=rng.gauss(0, 0.01),
            train_loss=round(loss - 0.02, 6),
            train_accuracy=round(math.exp(-max(loss - 0.02, 0.0)), 6),
        )
        if self._epoch == EPOCHS:
            self._recorder.episode_end(self._env, outcome="timeout")
            self._start()
        return True

    def _decide(self) -> None:
        rng = self._rng
        slot = rng.choice(self._slots)
        if slot in self._fossils:
            self._report(None, _NOOP)
        elif slot not in self._levels:
            self._report(slot, LifecycleOp.GERMINATE, blueprint="conv_ladder")
            self._levels[slot] = 1
            self._recorder.seed_added(
                self._env, slot, 1, MAX_LEVEL, blueprint="conv_ladder", params=PARAMS_PER_LEVEL
            )
            self._recorder.stage_changed(self._env, slot, "GERMINATED", "TRAINING")
        elif (fate := rng.random()) < 0.02:
            op, reason = (
                (LifecycleOp.FOSSILIZE, FOSSILIZED) if fate < 0.005 else (LifecycleOp.PRUNE, "policy")
            )
            self._report(slot, op)
            del self._levels[slot]
            if op == LifecycleOp.FOSSILIZE:
                self._fossils.add(slot)
            self._recorder.seed_removed(self._env, slot, reason, improvement=rng.gauss(0, 0.05))
        else:
            self._move(slot)

    def _move(self, slot: str) -> None:
        level = self._levels[slot]
        change = self._change(slot, level)
        if change == 0 or not 0 <= level + change <= MAX_LEVEL:
            self._report(None, _NOOP)
            return
        self._report(slot, _GROW if change > 0 else _SHRINK)
        self._levels[slot] = level + change
        params = PARAMS_PER_LEVEL * (level + change)
        self._recorder.level_changed(self._env, slot, level, level + change, active_params=params)

    def _change(self, slot: str, level: int) -> int:
        style = self._style[slot]
        if style == "random":
            return self._rng.choice((1, -1, 0))
        if style == "oscillate":
            return 1 if level <= 1 else -1
        return (level < self._goal[slot]) - (level > self._goal[slot])

    def _report(self, slot: str | None, op: LifecycleOp, *, blueprint: str | None = None) -> None:
        share = self._rng.uniform(0.2, 0.9)
        self._recorder.decision(
            self._env,
            slot,
            op,
            probability=share / len(self._slots),
            entropy=-share * math.log(share) - (1 - share) * math.log((1 - share) / 3),
            legal_ops=4,
            op_probs={"NOOP": (1 - share) / 3, op.name: share},
            slot_probs={slot: 1 / len(self._slots) for slot in self._slots},
            value_estimate=self._rng.gauss(0, 1),
            blueprint=blueprint,
        )
