"""Questions on what ops do, and on what changed between two runs."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

from predecessor_tools import flat
from questioning import (
    Call,
    Old,
    Question,
    Rows,
    data_rows,
    events,
    found,
    numbers,
    old_pairs,
    text_rows,
)

from oracle import advantages, mean_interval, named, score_interval, slots_of, usage

GROW, SHRINK = 4, 5

# Do GROW ops help?


def old_effect(run: str, op: int, *aggregates: str) -> str:
    return f"""SELECT {", ".join(aggregates)} FROM (SELECT (data->>'loss_delta')::DOUBLE -
    (data->>'baseline_loss_delta')::DOUBLE AS a FROM raw_events WHERE run_dir = '{run}'
    AND event_type = 'COUNTERFACTUAL_DELTA' AND (data->>'op')::INT = {op}
    AND (data->>'baseline_sample_count')::INT >= 100)"""


INTERVAL = ("count(*) AS n", "avg(a) AS mean", "1.96 * stddev_samp(a) / sqrt(count(*)) AS half")


def direction(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "unclear"
    return "higher" if low > 0 else "lower" if high < 0 else "unclear"


def effect(run: str, name: str, op: int, truth: Any, asks: str) -> Question:
    """Which way the loss went beyond NOOPs, and after how many ops that is known."""

    def text(texts: list[str]) -> Any:
        if "effect: not measurable" in texts[0]:
            return None
        (line,) = [line for line in texts[0].split("\n") if line.startswith(f"effect: {name}")]
        if "too few" in line:
            return "unclear", int(found(r"over only (\d+) ops", line)[0])
        low, high = numbers(r"\[(\S+), (\S+)\]", line)
        assert f"went with {direction(low, high)} loss" in line
        return direction(low, high), int(found(r"n = (\d+)", line)[0])

    def data(contents: list[dict[str, Any]]) -> Any:
        mine = [row for row in contents[0]["effects"] if row["op_name"].startswith(name)]
        return (direction(mine[0]["loss_low"], mine[0]["loss_high"]), mine[0]["n"]) if mine else None

    def by_events(folder: Path) -> Any:
        losses, _ = advantages(events(folder, run), op, 100)
        return (direction(*mean_interval(losses)), len(losses)) if losses else None

    def old(answers: list[Rows]) -> Any:
        n, mean, half = answers[0][0].values()
        if n < 10:
            return ("unclear", n) if n else None
        return direction(mean - half, mean + half), n

    return Question(
        kind="help",
        asks=asks,
        run=run,
        calls=[Call("thrash_verdict", {"run_dir": run})],
        text=text,
        data=data,
        truth=lambda folder: by_events(folder) if truth is None else truth or None,
        old=Old([old_effect(run, op, *INTERVAL)], old),
    )


def size_of_effect() -> Question:
    """The mean advantages of both ops where the baseline is warm."""

    def by_events(folder: Path) -> Any:
        found_by_op = [advantages(events(folder, "oscillate"), op, 100)[0] for op in (GROW, SHRINK)]
        return [(len(losses), round(fmean(losses), 6)) for losses in found_by_op]

    def read(rows: Rows) -> Any:
        return [(int(row["n"]), round(float(row["avg_loss_advantage"]), 6)) for row in rows]

    sql = [
        old_effect("oscillate", op, "count(*) AS n", "avg(a) AS avg_loss_advantage") for op in (GROW, SHRINK)
    ]
    return Question(
        kind="help",
        asks="How large are the effects of GROW and SHRINK on the loss in `oscillate`?",
        run="oscillate",
        calls=[Call("counterfactual_by_op", {"run_dir": "oscillate", "min_baseline_samples": 100})],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=by_events,
        old=Old(sql, lambda answers: read([rows[0] for rows in answers])),
        shown=True,
    )


def worst_ops() -> Question:
    """The ops after which the loss rose most, beyond NOOPs, by SQL of one's own."""

    def by_events(folder: Path) -> list[tuple[int, str, float]]:
        deltas = [e for e in events(folder, "oscillate") if e["event_type"] == "COUNTERFACTUAL_DELTA"]
        worst = [
            (e["data"]["env_id"], e["slot_id"], e["data"]["loss_delta"] - e["data"]["baseline_loss_delta"])
            for e in deltas
        ]
        worst.sort(key=lambda op: -op[2])
        return [(env, slot, round(loss, 3)) for env, slot, loss in worst[:3]]

    def read(rows: Rows) -> list[tuple[int, str, float]]:
        return [(int(row["env_id"]), row["slot_id"], float(row["worse_by"])) for row in rows]

    sql = """SELECT env_id, slot_id, episode_idx, epoch, op_name, round(loss_advantage, 3) AS worse_by
    FROM counterfactual_deltas WHERE run_dir = 'oscillate' ORDER BY loss_advantage DESC LIMIT 3"""
    old = """SELECT (data->>'env_id')::INT AS env_id, slot_id, epoch, round((data->>'loss_delta')::DOUBLE -
    (data->>'baseline_loss_delta')::DOUBLE, 3) AS worse_by FROM raw_events WHERE run_dir = 'oscillate'
    AND event_type = 'COUNTERFACTUAL_DELTA' ORDER BY worse_by DESC LIMIT 3"""
    return Question(
        kind="help",
        asks="After which ops of `oscillate` did the loss rise most?",
        run="oscillate",
        calls=[Call("query_sql", {"sql": flat(sql)})],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=by_events,
        old=Old([old], lambda answers: read(answers[0])),
        shown=True,
    )


# What changed between two runs?


def compare(control: str, treatment: str) -> list[Call]:
    return [Call("compare_runs", {"control": control, "treatment": treatment})]


def figure_in_data(contents: list[dict[str, Any]], name: str, *columns: str) -> list[float]:
    (row,) = [row for row in data_rows(contents[0]) if row["figure"] == name]
    return [float(f"{row[column]:.3g}") for column in columns]


def free_rates(control: str, treatment: str, asks: str, shown: bool = False) -> Question:
    """Both free reversal rates, and the interval of their difference."""

    def by_events(folder: Path) -> list[float]:
        ends = []
        for run in (control, treatment):
            slots = slots_of(events(folder, run)).values()
            reversals, pairs = (sum(slot.free_pairs[i] for slot in slots) for i in (0, 1))
            ends.append((reversals / pairs, *(score_interval(reversals, pairs) or ())))
        (one, one_low, one_high), (two, two_low, two_high) = ends
        # R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.
        low = two - one - math.hypot(two - two_low, one_high - one)
        high = two - one + math.hypot(two_high - two, one - one_low)
        return [float(f"{value:.3g}") for value in (one, two, low, high)]

    sql = old_pairs(control, treatment) + (
        "SELECT run_dir, count(p) AS pairs, count(*) FILTER (p = -d) / count(p) AS rate FROM pairs "
        "GROUP BY ALL ORDER BY run_dir"
    )
    pattern = r"^free reversal rate: (\S+) \| (\S+) \| \S+ \[(\S+), (\S+)\]"
    return Question(
        kind="changed",
        asks=asks,
        run=control,
        calls=compare(control, treatment),
        text=lambda texts: numbers(pattern, texts[0]),
        data=lambda contents: figure_in_data(
            contents, "free reversal rate", "control", "treatment", "difference_low", "difference_high"
        ),
        truth=by_events,
        old=Old([sql], None, "can't: two rates, no interval of their difference"),
        shown=shown,
    )


def gates(control: str, treatment: str, asks: str) -> Question:
    """Whether the treatment uses its ops, and whether it settles."""
    wanted = ("usage", "settling")

    def by_events(folder: Path) -> list[str]:
        ops, choices = usage(events(folder, treatment))
        thrashes = bool(named(slots_of(events(folder, treatment))))
        assert thrashes, "else more would have to be worked out"
        return ["passed" if ops / choices >= 0.1 else "failed", "failed"]

    return Question(
        kind="changed",
        asks=asks,
        run=control,
        calls=compare(control, treatment),
        text=lambda texts: [found(rf"^gate {name}: (\w+)", texts[0])[0].lower() for name in wanted],
        data=lambda contents: [
            gate["status"] for name in wanted for gate in contents[0]["gates"] if gate["name"] == name
        ],
        truth=by_events,
        old=Old([old_pairs(treatment) + "SELECT count(*) FROM pairs"], None, "can't: there are no gates"),
    )


def returns() -> Question:
    """The mean reward of an episode in both runs."""
    runs = ("heuristic", "oscillate")

    def by_events(folder: Path) -> list[float]:
        means = []
        for run in runs:
            ends = [e["data"] for e in events(folder, run) if e["event_type"] == "EPISODE_OUTCOME"]
            means.append(float(f"{fmean(end['episode_reward'] for end in ends):.3g}"))
        return means

    sql = """SELECT run_dir, avg((data->>'episode_reward')::DOUBLE) AS mean FROM raw_events WHERE
    event_type = 'EPISODE_OUTCOME' AND run_dir IN ('heuristic', 'oscillate') GROUP BY ALL ORDER BY run_dir"""
    return Question(
        kind="changed",
        asks="What is the return of `heuristic` and of `oscillate`?",
        run=runs[0],
        calls=compare(*runs),
        text=lambda texts: numbers(r"^return: (\S+) \| (\S+) \|", texts[0]),
        data=lambda contents: figure_in_data(contents, "return", "control", "treatment"),
        truth=by_events,
        old=Old([sql], lambda answers: [float(f"{row['mean']:.3g}") for row in answers[0]]),
    )


def use_of_ops() -> Question:
    """Internal ops and choices of both runs."""

    def read(rows: Rows) -> dict[str, tuple[int, int]]:
        return {row["run_dir"]: (int(row["internal_ops"]), int(row["total_decisions"])) for row in rows}

    sql = """SELECT run_dir, count(*) FILTER (event_type = 'SEED_INTERNAL_LEVEL_CHANGED') AS internal_ops,
    count(*) FILTER (data->>'kind' = 'last_action' AND data->>'action_name' != 'NOOP'
    AND data->>'ladder_present' != 'false') AS total_decisions FROM raw_events GROUP BY ALL"""
    return Question(
        kind="changed",
        asks="How often does each recorded run use its internal ops?",
        run="heuristic",
        calls=[Call("internal_op_usage", {})],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=lambda folder: {run: usage(events(folder, run)) for run in ("heuristic", "oscillate")},
        old=Old([sql], lambda answers: read(answers[0])),
        shown=True,
    )


QUESTIONS = [
    effect("oscillate", "GROW", GROW, None, "Do GROW ops help in `oscillate`?"),
    effect("heuristic", "GROW", GROW, None, "Do GROW ops help in `heuristic`?"),
    effect("heuristic", "SHRINK", SHRINK, None, "Do SHRINK ops help in `heuristic`?"),
    effect(
        "helps", "GROW", GROW, ("lower", 20), "Do GROW ops help that lower the loss by 0.04 more than a NOOP?"
    ),
    effect("idle", "GROW", GROW, (), "Do GROW ops help where there is none?"),
    size_of_effect(),
    worst_ops(),
    free_rates("heuristic", "oscillate", "What changed from `heuristic` to `oscillate`?", shown=True),
    free_rates("calm", "flip", "What changed from a policy that settles to one that reverses every op?"),
    gates("heuristic", "oscillate", "Does `oscillate` pass the gates on usage and settling?"),
    returns(),
    use_of_ops(),
]
