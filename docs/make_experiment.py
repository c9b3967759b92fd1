"""Trains policies and draws what they learned (``make experiment``): experiment.json, learning.png.

Every run is a real ``karn train`` with its telemetry in build/experiment, and every number is asked of that
telemetry. A run that is finished is not trained again: delete its folder for that.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib
import msgspec

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from esper.karn.jsonl.ends import EndsReader
from esper.karn.store.compare import compare_runs
from esper.karn.store.database import Store

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "build/experiment"
RESULTS, PICTURE = ROOT / "docs/experiment.json", ROOT / "docs/learning.png"

SEEDS = (0, 1, 2)
ENVS, LEARNING, FIXED = 12, 24, 6
"""Environments of each run, episodes of a policy that learns, and of one that does not."""
AT_ONCE = 2
COLORS = {"ppo": "#2471a3", "random": "#888888", "oscillate": "#c0392b"}
CONTROL, LADDER = "control", "ladder"

EPISODES = """
    SELECT episode_idx, avg(episode_reward) AS value
    FROM episode_outcomes
    WHERE run_dir = $1
    GROUP BY episode_idx
    ORDER BY episode_idx"""

REVERSALS = """
    WITH moves AS (
        SELECT
            change.env_id,
            change.episode_idx,
            sign(change.to_level - change.from_level) AS direction,
            lag(sign(change.to_level - change.from_level)) OVER (
                PARTITION BY change.rank, change.env_id, change.episode_idx, change.slot_id, event.seed_id
                ORDER BY event.seq
            ) AS before
        FROM seed_internal_levels AS change
        JOIN raw_events AS event USING (run_dir, event_id)
        WHERE run_dir = $1
    )

    SELECT
        episode_idx,
        count(*) FILTER (direction <> before) AS reversals,
        count(before) AS pairs
    FROM episode_outcomes
    LEFT JOIN moves USING (env_id, episode_idx)
    WHERE run_dir = $1
    GROUP BY episode_idx
    ORDER BY episode_idx"""
"""Of each episode, over the pairs of consecutive level changes of one seed."""


def commands() -> dict[str, list[str]]:
    """The arguments of ``karn train`` for each run, by its name."""
    runs = {}
    for policy in COLORS:
        episodes = LEARNING if policy == "ppo" else FIXED
        for seed in SEEDS:
            runs[f"{policy}-{seed}"] = _arguments(policy, episodes, seed)
    runs[CONTROL] = [*_arguments("ppo", LEARNING, 0), "--blueprints", "none"]
    runs[LADDER] = [*_arguments("ppo", LEARNING, 0), "--blueprints", "conv_ladder"]
    return runs


def _arguments(policy: str, episodes: int, seed: int) -> list[str]:
    return ["--policy", policy, "--episodes", str(episodes), "--envs", str(ENVS), "--seed", str(seed)]


def train(name: str, arguments: list[str]) -> None:
    """One run, or what is left of it."""
    ends = EndsReader().read(RUNS / name / "events.jsonl")
    if ends is not None and ends.finished:
        return
    folder = ["--telemetry-dir", str(RUNS), "--run-dir", name]
    resumes = ["--resume"] if (RUNS / name / "checkpoint.pt").exists() else []
    command = [sys.executable, "-m", "esper", "train", *arguments, *folder, *resumes]
    print(f"{name}: karn train {' '.join(arguments)}", flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured() -> dict[str, Any]:
    """All that is drawn or told, from the telemetry alone."""
    with Store(RUNS) as store:
        store.refresh()
        curves = {
            f"{policy}-{seed}": {
                "episode_return": _series(store, EPISODES, f"{policy}-{seed}"),
                "reversals": _series(store, REVERSALS, f"{policy}-{seed}"),
            }
            for policy in COLORS
            for seed in SEEDS
        }
        comparison = compare_runs(store, CONTROL, LADDER)
    return {
        "trained_with": {name: " ".join(arguments) for name, arguments in commands().items()},
        "curves": curves,
        "summary": {policy: _summary(curves, policy) for policy in COLORS},
        "gates": [msgspec.to_builtins(gate) for gate in comparison.gates],
    }


def _series(store: Store, sql: str, run: str) -> list[list[float]]:
    return [[round(float(value), 5) for value in row] for row in store.select(sql, [run]).rows]


def _summary(curves: dict[str, Any], policy: str) -> dict[str, Any]:
    """Of a policy's first and last quarter of episodes, and of all: mean over the seeds, standard deviation.

    ``reversals`` are those of one environment's episode; ``reversal_rate`` is theirs among the pairs.
    """
    summary: dict[str, Any] = {}
    for part in ("first quarter", "last quarter", "whole"):
        found: dict[str, list[float]] = {"episode_return": [], "reversals": [], "reversal_rate": []}
        for seed in SEEDS:
            curve = curves[f"{policy}-{seed}"]
            count = max(1, len(curve["episode_return"]) // 4)
            count = len(curve["episode_return"]) if part == "whole" else count
            taken = slice(count) if part == "first quarter" else slice(-count, None)
            found["episode_return"].append(fmean(value for _, value in curve["episode_return"][taken]))
            reversals = sum(value for _, value, _ in curve["reversals"][taken])
            found["reversals"].append(reversals / count / ENVS)
            found["reversal_rate"].append(reversals / max(1, sum(n for *_, n in curve["reversals"][taken])))
        for what, values in found.items():
            summary[f"{part}: {what}"] = [round(fmean(values), 4), round(stdev(values), 4)]
    return summary


def draw(curves: dict[str, Any]) -> None:
    """Return and reversals over the episodes, one line for each seed."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), constrained_layout=True)
    panels = (
        ("episode_return", "return of an episode", 1.0),
        ("reversals", "reversals in an episode", 1 / ENVS),
    )
    for axis, (what, label, scale) in zip(axes, panels, strict=True):
        for policy, color in COLORS.items():
            lines = [
                [(episode, scale * value) for episode, value, *_ in curves[f"{policy}-{seed}"][what]]
                for seed in SEEDS
            ]
            if policy == "ppo":
                for number, line in enumerate(lines):
                    name = "ppo, one line a seed" if number == 0 else None
                    axis.plot(*zip(*line, strict=True), color=color, linewidth=1.2, alpha=0.8, label=name)
            else:
                level = fmean(value for line in lines for _, value in line)
                axis.axhline(level, color=color, linewidth=1.2, linestyle="--", label=f"{policy}, mean")
        axis.set(xlabel="episode", ylabel=label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_ylim(bottom=0)
    axes[0].legend(frameon=False, loc=(0.02, 0.1))
    figure.savefig(PICTURE, dpi=150)


def main() -> None:
    """Train what is not trained yet, then measure and draw."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda run: train(*run), commands().items()))
    results = measured()
    RESULTS.write_text(msgspec.json.format(msgspec.json.encode(results), indent=1).decode() + "\n")
    draw(results["curves"])
    for policy, summary in results["summary"].items():
        print(policy, summary)
    for gate in results["gates"]:
        print(f"{gate['name']}: {gate['status']}: {gate['reason']}")


if __name__ == "__main__":
    main()
