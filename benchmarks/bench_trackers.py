"""The anti-thrash tracker against the seed's own, op by op, and trackers of many environments at once."""

from __future__ import annotations

import importlib.util
import random
import statistics
import time
from collections import deque
from typing import Any

from benchmarks.measure import options, report, save, sizes
from esper.leyline.actions import LifecycleOp
from esper.simic.training.internal_op_tracker import InternalOpTracker

WINDOWS = (10, 50, 500)
SLOTS = 5
Op = tuple[str, LifecycleOp, int, int]


class SeedTracker:
    """The formula as the user's document first gave it: the whole window is looked over after each op."""

    def __init__(self, window_size: int) -> None:
        self._window_size = window_size
        self._ops: dict[str, deque[int]] = {}

    def record_internal_op(
        self, slot_id: str, op: LifecycleOp, from_level: int, to_level: int
    ) -> dict[str, float]:
        """Metrics of the slot after one more op."""
        if slot_id not in self._ops:
            self._ops[slot_id] = deque(maxlen=self._window_size)
        self._ops[slot_id].append(1 if op == LifecycleOp.GROW_INTERNAL else -1)
        ops = self._ops[slot_id]
        pairs = len(ops) - 1
        reversals = sum(1 for index in range(1, len(ops)) if ops[index] != ops[index - 1])
        return {
            "internal_op_density": len(ops) / self._window_size,
            "net_level_change": float(sum(ops)),
            "reversal_rate": reversals / pairs if pairs else 0.0,
        }


def main() -> None:
    parser = options(__doc__, events=[20_000], rounds=9)
    arguments = parser.parse_args()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)  # as every benchmark does
    tables = {"scalar": [row for n_ops in sizes(arguments) for row in scalar(n_ops, arguments.rounds)]}
    report("one op of the tracker of one environment [us of CPU]", tables["scalar"])
    if importlib.util.find_spec("benchmarks.trackers_vectorised") is not None:
        vectorised = importlib.import_module("benchmarks.trackers_vectorised")
        tables["vectorised"] = vectorised.measure(arguments.rounds)
        report("trackers of many environments at once", tables["vectorised"])
    save("trackers", arguments, tables)


def scalar(n_ops: int, rounds: int) -> list[dict[str, Any]]:
    """Both trackers at each window, in turn.

    Raises:
        SystemExit: if they do not agree.
    """
    ops = _ops(n_ops)
    costs: dict[tuple[int, str], list[float]] = {}
    for _ in range(rounds):
        for window in WINDOWS:
            seed, ours, with_epochs = (
                SeedTracker(window),
                InternalOpTracker(window),
                InternalOpTracker(window),
            )
            for name, tracker in (("seed", seed), ("tracker", ours)):
                costs.setdefault((window, name), []).append(_time(tracker, ops))
            costs.setdefault((window, "tracker, epochs"), []).append(_time_with_epochs(with_epochs, ops))
            for op in ops[:SLOTS]:
                theirs, found = seed.record_internal_op(*op), ours.record_internal_op(*op)
                if theirs != {name: found[name] for name in theirs}:
                    raise SystemExit(f"window {window}: {found}, and by the seed's formula {theirs}")
    medians = {case: statistics.median(found) / n_ops * 1e6 for case, found in costs.items()}
    return [
        {
            "window": window,
            "ops": n_ops,
            "seed": medians[window, "seed"],
            "tracker": medians[window, "tracker"],
            "tracker, epochs": medians[window, "tracker, epochs"],
            "times faster": medians[window, "seed"] / medians[window, "tracker"],
            f"of window {WINDOWS[0]}": medians[window, "tracker"] / medians[WINDOWS[0], "tracker"],
        }
        for window in WINDOWS
    ]


def _ops(count: int) -> list[Op]:
    rng = random.Random(0)
    moves = ((LifecycleOp.GROW_INTERNAL, 1, 2), (LifecycleOp.SHRINK_INTERNAL, 2, 1))
    return [(f"r0c{index % SLOTS}", *rng.choice(moves)) for index in range(count)]


def _time(tracker: SeedTracker | InternalOpTracker, ops: list[Op]) -> float:
    record = tracker.record_internal_op
    begun = time.thread_time()
    for slot_id, op, from_level, to_level in ops:
        record(slot_id, op, from_level, to_level)
    return time.thread_time() - begun


def _time_with_epochs(tracker: InternalOpTracker, ops: list[Op]) -> float:
    record = tracker.record_internal_op
    begun = time.thread_time()
    for epoch, (slot_id, op, from_level, to_level) in enumerate(ops):
        record(slot_id, op, from_level, to_level, epoch=epoch)
    return time.thread_time() - begun


if __name__ == "__main__":
    main()
