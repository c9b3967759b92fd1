"""A run that is being written by the real recorder and collector, so many events a second, until it is ended.

    python -m benchmarks.live TELEMETRY_DIR RANKS ENVS_PER_RANK SLOTS_PER_ENV EVENTS_PER_S

It begins with a history that fills every slot, says "ready", and goes on at its pace.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

from benchmarks.events import EPOCHS, CountingSink, SyntheticEnv
from esper.karn.collector import TelemetryCollector
from esper.simic.training.recorder import InternalOpRecorder

RUN = "live"
HISTORY_EPOCHS = 2 * EPOCHS - 15
"""Late enough in an episode that nearly every slot holds a seed, and goes on to the next episode's."""
PAUSE_S = 0.01


@contextmanager
def live_run(telemetry_dir: Path, ranks: int, envs: int, slots: int, events_per_s: float) -> Iterator[None]:
    """A process that writes the run ``live``, its history already there."""
    numbers = map(str, (ranks, envs, slots, events_per_s))
    writer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.live", str(telemetry_dir), *numbers],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert writer.stdout is not None
    try:
        if writer.stdout.readline() != b"ready\n":
            raise SystemExit("the writer of the live run failed")
        yield
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def write(telemetry_dir: Path, ranks: int, envs_per_rank: int, slots: int, events_per_s: float) -> None:
    """Write for ever."""
    with ExitStack() as stack:
        sinks: list[CountingSink] = []
        envs: list[SyntheticEnv] = []
        for rank in range(ranks):
            collector = stack.enter_context(
                TelemetryCollector(
                    telemetry_dir, RUN, rank=rank, world_size=ranks, envs_per_rank=envs_per_rank
                )
            )
            sink = CountingSink(collector)
            recorder = stack.enter_context(InternalOpRecorder(sink, intervention_cost=0.005))
            recorder.training_started(task="benchmark", n_envs=envs_per_rank, max_epochs=EPOCHS)
            rng = random.Random(rank)
            envs += [SyntheticEnv(recorder, env, slots, rng) for env in range(envs_per_rank)]
            sinks.append(sink)
        for _ in range(HISTORY_EPOCHS):
            for env in envs:
                env.step(True)
        print("ready", flush=True)
        before = sum(sink.count for sink in sinks)
        begun = time.perf_counter()
        for env in cycle(envs):
            while sum(sink.count for sink in sinks) - before > events_per_s * (time.perf_counter() - begun):
                time.sleep(PAUSE_S)
            env.step(True)


if __name__ == "__main__":
    folder, *counts, rate = sys.argv[1:]
    write(Path(folder), *map(int, counts), events_per_s=float(rate))
