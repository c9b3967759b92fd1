"""An independent reckoning of a run, straight from its JSONL: no tracker, view or verdict is asked.

Plain loops over ``json.loads``, with formulas written another way than Karn's, so that the two can only
agree if both are right. It knows nothing of resumed runs.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

Key = tuple[int, str]
"""Environment and slot."""


def read_run(folder: Path) -> list[dict[str, Any]]:
    """Every event of a run folder, rank after rank, each in the order it was written."""
    events = []
    for path in sorted(folder.glob("events*.jsonl")):
        for line in path.read_bytes().splitlines():
            event = json.loads(line)
            event["data"] = event["data"] or {}
            events.append(event)
    return events


@dataclass
class Slot:
    """What one slot of one environment did."""

    n_ops: int = 0
    grow_count: int = 0
    shrink_count: int = 0
    n_pairs: int = 0
    n_reversals: int = 0
    n_free_pairs: int = 0
    n_free_reversals: int = 0
    n_undone: int = 0
    net_change: int = 0
    absolute_net_change: int = 0
    max_level: int = 0
    levels: list[int] = field(default_factory=list)
    """Every level that an op ended at."""
    level_delta: int = 0
    params: list[int] = field(default_factory=list)

    @property
    def free_pairs(self) -> tuple[int, int]:
        """Reversals and pairs that could have gone either way; none on a ladder of two levels."""
        return (self.n_free_reversals, self.n_free_pairs) if self.max_level > 1 else (0, 0)


def slots_of(events: Iterable[dict[str, Any]]) -> dict[Key, Slot]:
    """Each slot's counts, from level changes alone."""
    by_seed: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED":
            data = event["data"]
            slot_id = event.get("slot_id") or data["slot_id"]
            by_seed[data["env_id"], slot_id, event.get("seed_id"), data["episode_idx"]].append(event)
    slots: dict[Key, Slot] = defaultdict(Slot)
    for (env, slot_id, _, _), ops in by_seed.items():
        slot = slots[env, slot_id]
        net, previous = 0, None
        for op in ops:
            data, epoch = op["data"], op["epoch"]
            step = data["to_level"] - data["from_level"]
            up = step > 0
            slot.n_ops += 1
            slot.grow_count += up
            slot.shrink_count += not up
            slot.level_delta += step
            slot.levels.append(data["to_level"])
            slot.max_level = max(slot.max_level, data["max_level"])
            if data.get("active_params") is not None:
                slot.params.append(data["active_params"])
            net += 1 if up else -1
            if previous is not None:
                was_up, middle, ladder, at = previous
                free = middle not in (0, ladder) and 0 < middle < ladder
                turned = was_up is not up
                slot.n_pairs += 1
                slot.n_reversals += turned
                slot.n_free_pairs += free
                slot.n_free_reversals += free and turned
                slot.n_undone += turned and epoch - at <= 5
            previous = (up, data["to_level"], data["max_level"], epoch)
        slot.net_change += net
        slot.absolute_net_change += abs(net)
    return dict(slots)


def score_interval(successes: int, n: int, looks: int = 1) -> tuple[float, float] | None:
    """Where a share p could lie: |successes / n - p| <= z sqrt(p (1 - p) / n), as a quadratic in p."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf(1 - 0.05 / looks / 2)
    a = n + z * z
    b = -(2 * successes + z * z)
    c = successes * successes / n
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return max(0.0, (-b - root) / (2 * a)), min(1.0, (-b + root) / (2 * a))


def looks_of(slots: dict[Key, Slot]) -> int:
    """Slots that have enough free pairs to be looked at."""
    return max(1, sum(1 for slot in slots.values() if slot.free_pairs[1] >= 10))


def named(slots: dict[Key, Slot]) -> set[Key]:
    """Slots that reverse more often than a coin flip, beyond chance, corrected for every look."""
    looks = looks_of(slots)
    found = set()
    for key, slot in slots.items():
        interval = score_interval(*slot.free_pairs, looks)
        if slot.free_pairs[1] >= 10 and interval is not None and interval[0] > 0.5:
            found.add(key)
    return found


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def windowed_metrics(events: Iterable[dict[str, Any]], window_size: int = 50) -> list[dict[str, Any]]:
    """What each level change's metrics must be: the seed's formulas over a list that is rescanned."""
    windows: dict[Key, list[tuple[int, int]]] = {}
    episodes: dict[int, int] = {}
    found = []
    for event in events:
        kind, data = event["event_type"], event["data"]
        key = (data.get("env_id"), event.get("slot_id"))
        if kind in ("SEED_PRUNED", "SEED_FOSSILIZED"):
            windows.pop(key, None)
        elif kind == "EPISODE_OUTCOME":
            windows = {other: ops for other, ops in windows.items() if other[0] != data["env_id"]}
        elif kind == "SEED_INTERNAL_LEVEL_CHANGED":
            if episodes.setdefault(key[0], data["episode_idx"]) != data["episode_idx"]:
                episodes[key[0]] = data["episode_idx"]
                windows = {other: ops for other, ops in windows.items() if other[0] != key[0]}
            window = windows.setdefault(key, [])
            window.append((1 if data["to_level"] > data["from_level"] else -1, event["epoch"]))
            del window[:-window_size]
            ops = [direction for direction, _ in window]
            turns = sum(1 for i in range(1, len(ops)) if ops[i] != ops[i - 1])
            found.append(
                {
                    "env_id": key[0],
                    "slot_id": key[1],
                    "internal_op_density": len(ops) / window_size,
                    "net_level_change": float(sum(ops)),
                    "reversal_rate": turns / (len(ops) - 1) if len(ops) > 1 else 0.0,
                    "n_ops": len(ops),
                    "window_size": window_size,
                    "internal_op_rate": (
                        len(ops) / (window[-1][1] - window[0][1] + 1) if len(ops) > 1 else None
                    ),
                }
            )
    return found


METRICS = [
    "env_id",
    "internal_op_density",
    "net_level_change",
    "reversal_rate",
    "n_ops",
    "window_size",
    "internal_op_rate",
]


def metrics_written(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The metrics as the file has them, in order."""
    return [
        {name: event["data"].get(name) for name in METRICS} | {"slot_id": event["slot_id"]}
        for event in events
        if event["event_type"] == "INTERNAL_OP_METRICS"
    ]


def usage(events: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Level changes, and decisions other than NOOP while a seed with levels was there."""
    ops = choices = 0
    for event in events:
        data = event["data"]
        ops += event["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED"
        if event["event_type"] == "ANALYTICS_SNAPSHOT" and data.get("kind") == "last_action":
            action = data.get("action_name")
            choices += action not in (None, "NOOP", "WAIT") and data.get("ladder_present") is not False
    return ops, choices


def advantages(
    events: Iterable[dict[str, Any]], op: int, min_samples: int
) -> tuple[list[float], list[float]]:
    """Loss and accuracy of each outcome of an op beyond its baseline, where the baseline is warm."""
    losses, accuracies = [], []
    for event in events:
        data = event["data"]
        if event["event_type"] != "COUNTERFACTUAL_DELTA" or data["op"] != op:
            continue
        if data["baseline_sample_count"] >= min_samples:
            losses.append(data["loss_delta"] - data["baseline_loss_delta"])
            accuracies.append(data["accuracy_delta"] - data["baseline_accuracy_delta"])
    return losses, accuracies


def mean_interval(values: list[float]) -> tuple[float | None, float | None]:
    """95 % interval of a mean by normal approximation, from 10 values on."""
    if len(values) < 10:
        return None, None
    half = NormalDist().inv_cdf(0.975) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def op_rates(events: Iterable[dict[str, Any]]) -> dict[int, float]:
    """Each environment's ops over all epochs of its episodes."""
    ops: Counter[int] = Counter()
    lengths: dict[tuple[int, int], int] = defaultdict(int)
    for event in events:
        data = event["data"]
        if event["event_type"] in ("SEED_INTERNAL_LEVEL_CHANGED", "EPOCH_COMPLETED"):
            place = data["env_id"], data["episode_idx"]
            lengths[place] = max(lengths[place], event["epoch"])
        ops[data.get("env_id")] += event["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED"
    epochs: Counter[int] = Counter()
    for (env, _), length in lengths.items():
        epochs[env] += length
    return {env: ops[env] / length for env, length in epochs.items() if length}
