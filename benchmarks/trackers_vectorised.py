"""The vectorised tracker beside the scalar ones: the same ops in 4,096 environments of 5 slots, on one core.

Where there is a GPU, a step's time on it as well, and that it never waits for it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measure import report
from esper.leyline import LifecycleOp
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.vectorised.internal_ops import VectorInternalOpTracker

N_ENVS, N_SLOTS, WINDOW = 4096, 5, 50
SLOTS = [f"r0c{index}" for index in range(N_SLOTS)]
GROW, SHRINK = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL
INPUTS = 64
"""Different steps, taken in turn."""
STEPS_A_ROUND = 20
SLICE = 64
"""Environments of the scalar trackers between two looks at the clock."""
LIMIT = 1 / 100
"""Of the scalar cost of an op, for a slot."""
GPU_LIMIT_US = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="medians are over these")
    report("cost of a slot", measure(parser.parse_args().rounds))


def measure(rounds: int) -> list[dict[str, Any]]:
    """CPU time of a slot in a step of the vectorised tracker, and of one op of the scalar one.

    The scalar trackers are paid for ops alone: a slot without one costs them nothing, but costs the
    vectorised tracker what every slot does. In each round both take the same steps, in turn.

    Args:
        rounds: medians are over these.

    Raises:
        SystemExit: if the trackers' metrics differ.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [
            _on_cpu(rounds, "every slot acts", 1.0, torch.float32, per_env=False),
            _on_cpu(rounds, "every slot acts", 1.0, torch.float32, per_env=True),
            _on_cpu(rounds, "every slot acts", 1.0, torch.float64, per_env=False),
            _on_cpu(rounds, "one slot in five acts", 0.2, torch.float32, per_env=False),
        ]
    finally:
        torch.set_num_threads(threads)
    return rows + ([_on_gpu(rounds)] if torch.cuda.is_available() else [])


def _on_cpu(rounds: int, name: str, busy: float, dtype: torch.dtype, *, per_env: bool) -> dict[str, Any]:
    vector = VectorInternalOpTracker(N_ENVS, SLOTS, WINDOW, dtype=dtype)
    scalar = [InternalOpTracker(WINDOW) for _ in range(N_ENVS)]
    steps = _steps(busy)
    ops = [_ops_of(step) for step in steps]
    n_ops = sum(len(of_env) for of_step in ops for of_env in of_step) / INPUTS
    of_slot: list[float] = []
    of_op: list[float] = []
    # Full windows first: from then on, an op drops another.
    warm_up = round(WINDOW / busy * 1.2 / STEPS_A_ROUND) + 1
    gc.collect()
    gc.disable()
    try:
        for number in range(warm_up + rounds):
            epochs = range(number * STEPS_A_ROUND, (number + 1) * STEPS_A_ROUND)
            given = [torch.full((N_ENVS,), epoch) if per_env else epoch for epoch in epochs]
            vector_s = [
                _cpu_s(lambda: vector.record(steps[epoch % INPUTS], at))  # noqa: B023 - called at once
                for epoch, at in zip(epochs, given, strict=True)
            ]
            scalar_s = [
                second for epoch in epochs for second in _scalar_s(scalar, ops[epoch % INPUTS], epoch)
            ]
            if number >= warm_up:
                of_slot.append(statistics.median(vector_s) / (N_ENVS * N_SLOTS))
                of_op.append(statistics.median(scalar_s) * (N_ENVS / SLICE) / n_ops)
    finally:
        gc.enable()
    _compare(vector, scalar)
    ratio = statistics.median(slot / op for slot, op in zip(of_slot, of_op, strict=True))
    return {
        "what": name,
        "metrics": str(dtype).removeprefix("torch."),
        "epochs": "per env" if per_env else "one for all",
        "vectorised ns a slot": statistics.median(of_slot) * 1e9,
        "scalar ns an op": statistics.median(of_op) * 1e9,
        "times cheaper": 1 / ratio,
        "limit": LIMIT,
        "within": ratio <= LIMIT,
    }


def _on_gpu(rounds: int) -> dict[str, Any]:
    """Time of a step on the GPU, steps following each other; torch raises if one waits."""
    vector = VectorInternalOpTracker(N_ENVS, SLOTS, WINDOW, device="cuda")
    steps = [step.cuda() for step in _steps(1.0)]
    n_steps = 1000
    found: list[float] = []
    for number in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for epoch in range(number * n_steps, (number + 1) * n_steps):
                vector.record(steps[epoch % INPUTS], epoch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        found.append((time.perf_counter() - start) / n_steps * 1e6)
    step_us = statistics.median(found[1:])
    return {"what": "a step on the GPU", "us a step": step_us, "within": step_us < GPU_LIMIT_US}


def _steps(busy: float) -> list[torch.Tensor]:
    """Directions of ``INPUTS`` steps; ``busy`` is the share of slots with an op."""
    generator = torch.Generator().manual_seed(0)
    shape = (N_ENVS, N_SLOTS)
    signs = [torch.randint(0, 2, shape, generator=generator, dtype=torch.int8) * 2 - 1 for _ in range(INPUTS)]
    return [sign * (torch.rand(shape, generator=generator) < busy) for sign in signs]


Ops = list[tuple[str, LifecycleOp, int, int]]
"""Slot, op, level before and after."""


def _ops_of(step: torch.Tensor) -> list[Ops]:
    """A step as the scalar trackers are told of it, by environment."""
    of_sign = {1: [(slot, GROW, 1, 2) for slot in SLOTS], -1: [(slot, SHRINK, 2, 1) for slot in SLOTS]}
    return [[of_sign[sign][slot] for slot, sign in enumerate(row) if sign] for row in step.tolist()]


def _scalar_s(trackers: list[InternalOpTracker], ops: list[Ops], epoch: int) -> list[float]:
    """CPU seconds of each slice of environments."""

    def record(start: int) -> None:
        for tracker, of_env in zip(trackers[start : start + SLICE], ops[start : start + SLICE], strict=True):
            record_internal_op = tracker.record_internal_op
            for slot, op, from_level, to_level in of_env:
                record_internal_op(slot, op, from_level, to_level, epoch=epoch)

    return [_cpu_s(lambda: record(start)) for start in range(0, N_ENVS, SLICE)]  # noqa: B023


def _cpu_s(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _compare(vector: VectorInternalOpTracker, scalar: list[InternalOpTracker]) -> None:
    for name, tensor in vector.metrics.items():
        expected = [[tracker._compute_metrics(slot)[name] for slot in SLOTS] for tracker in scalar]
        if not torch.equal(tensor, torch.tensor(expected, dtype=torch.float64).to(tensor.dtype)):
            raise SystemExit(f"{name} differs between the vectorised tracker and the scalar ones")


if __name__ == "__main__":
    main()
