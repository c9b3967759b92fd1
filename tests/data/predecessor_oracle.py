"""What the predecessor's files say, view by view: plain Python, no SQL, and nothing of Karn's reads them."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

COLUMNS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "esper_lite/columns.json").read_text()
)
"""Name and type of each column of the predecessor's views."""

ANOMALIES = {
    "VALUE_COLLAPSE_DETECTED",
    "RATIO_EXPLOSION_DETECTED",
    "RATIO_COLLAPSE_DETECTED",
    "GRADIENT_ANOMALY",
    "GRADIENT_PATHOLOGY_DETECTED",
    "NUMERICAL_INSTABILITY_DETECTED",
    "GOVERNOR_ROLLBACK",
}
SNAPSHOTS = {
    "decisions": "last_action",
    "rewards": "last_action",
    "action_distribution": "action_distribution",
    "batch_stats": "batch_stats",
    "shapley_computed": "shapley_computed",
}
TYPES = {
    "runs": {"TRAINING_STARTED"},
    "epochs": {"EPOCH_COMPLETED"},
    "ppo_updates": {"PPO_UPDATE_COMPLETED"},
    "batch_epochs": {"BATCH_EPOCH_COMPLETED"},
    "trends": {"PLATEAU_DETECTED", "DEGRADATION_DETECTED", "IMPROVEMENT_DETECTED"},
    "seed_lifecycle": {"SEED_GERMINATED", "SEED_STAGE_CHANGED", "SEED_FOSSILIZED", "SEED_PRUNED"},
    "morphology_causal_log": {"MORPHOLOGY_CAUSAL_LOG"},
    "topology_manifests": {"TOPOLOGY_MANIFEST_RECORDED"},
    "phase_occupancy": {"PHASE_PROFILE_COMPLETED"},
    "anomalies": {*ANOMALIES, "PLATEAU_DETECTED"},
    "run_confounders": {*ANOMALIES, "REWARD_HACKING_SUSPECTED", "PERFORMANCE_DEGRADATION"},
    "episode_outcomes": {"EPISODE_OUTCOME"},
    **{view: {"ANALYTICS_SNAPSHOT"} for view in SNAPSHOTS},
}
"""Which events each view shows."""


def events_of(folder: Path) -> list[dict[str, Any]]:
    """Every event of every run, with its place."""
    found = []
    for path in sorted(folder.glob("*/events.jsonl")):
        for line in path.read_bytes().splitlines():
            found.append({**json.loads(line), "run_dir": path.parent.name})
            found[-1]["filename"] = f"{path.parent.name}/{path.name}"
    return found


def expected_rows(view: str, events: list[dict[str, Any]]) -> list[list[Any]]:
    """The rows of a view in the order of COLUMNS."""
    if view == "reward_calibration":
        return _calibration(events)
    rows = []
    for e in events:
        if view != "raw_events" and e["event_type"] not in TYPES[view]:
            continue
        if e["data"].get("kind") == SNAPSHOTS.get(view, e["data"].get("kind")):
            rows += [
                [_cell(view, name, kind, {**e, **entry}) for name, kind in COLUMNS[view].items()]
                for entry in _entries(view, e, events)
            ]
    return rows


def _entries(view: str, e: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the rows of one event have of their own."""
    if view == "phase_occupancy":
        return [{**times, "phase_name": name} for name, times in e["data"]["phases"].items()]
    if view != "action_distribution":
        return [{}]
    (batch,) = {
        other["data"]["batch_idx"]
        for other in events
        if (other["event_type"], other["run_dir"]) == ("BATCH_EPOCH_COMPLETED", e["run_dir"])
        and other["data"]["episodes_completed"] == e["epoch"]
    }
    counts = e["data"]["action_counts"]
    return [
        {"action_name": name, "count": n, "pct": n / sum(counts.values()), "batch_idx": batch}
        for name, n in counts.items()
    ]


def _cell(view: str, name: str, kind: str, e: dict[str, Any]) -> Any:
    data = e["data"]
    if view == "rewards" and name not in COLUMNS["decisions"]:
        data = data["reward_components"]
    if view == "decisions" and name.startswith("head_"):
        name, data = name.removeprefix("head_").replace("alpha_curve", "curve"), data["head_telemetry"]
    value = e.get(name, data.get(name))
    if name == "episodes_completed":
        value = e["epoch"] if data.get(name) is None else data[name]
    elif name == "started_at":
        value = e["timestamp"]
    elif name == "epoch" and "action_id" in data:
        value = int(data["action_id"].split("-e")[1].split("-")[0])
    elif name == "proof_blocking":
        value = True
    elif name == "slot_id" and view != "raw_events":
        value = e["slot_id"] or data["slot_id"]
    return float(value) if kind == "DOUBLE" and value is not None else value


def _calibration(events: list[dict[str, Any]]) -> list[list[Any]]:
    groups: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for e in events:
        if e["event_type"] == "EPISODE_OUTCOME":
            key = (e["run_dir"], e["group_id"], e["data"]["reward_mode"])
            groups.setdefault(key, []).append((e["data"]["final_accuracy"], e["data"]["episode_reward"]))
    rows = []
    for key, pairs in groups.items():
        both = tuple(zip(*pairs, strict=True))
        numbers = [f(side) for f in (statistics.fmean, statistics.stdev) for side in both]
        r = statistics.correlation(*both)
        words = {0.7: "well_calibrated", 0.3: "moderate", 0.0: "weak", -2.0: "inverted"}
        word = next(word for least, word in words.items() if r >= least)
        rows.append([*key, len(pairs), *numbers, *(f(side) for side in both for f in (min, max)), r, word])
    return rows
