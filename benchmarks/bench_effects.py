"""How often the 95 % intervals of op_effect cover a known effect, and how often those of other ways do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.confounded import (
    LOSS_FOR_ACCURACY,
    World,
    method_of,
    naive,
    simulate,
    sums_of,
    true_effect,
)
from benchmarks.measure import Cost, cost_of, median, options, report, save
from esper.karn.diagnosis.intervals import Interval
from esper.karn.diagnosis.op_effect import EpisodeSums
from esper.karn.effects import op_effect
from esper.leyline.thresholds import z_score

REPETITIONS = 1_000
RESAMPLES = 399


class Scenario(NamedTuple):
    """A kind of training, and how many episodes it has."""

    name: str
    world: World
    episodes: int


SCENARIOS = [
    *(Scenario("holdout 5 %", World(holdout=0.05), episodes) for episodes in (40, 60, 200)),
    *(Scenario("holdout 10 %", World(holdout=0.1), episodes) for episodes in (12, 20, 40)),
    Scenario("holdout 5 %, rare op", World(holdout=0.05, eager=0.15), 100),
    *(Scenario("weighted", World(), episodes) for episodes in (20, 40, 80)),
    Scenario("weighted, much exploration", World(explore=0.8), 8),
    *(Scenario("weighted, more exploration", World(explore=0.3), episodes) for episodes in (10, 16)),
    *(Scenario("weighted, little exploration", World(explore=0.03), episodes) for episodes in (80, 125)),
    *(Scenario("weighted, rare op", World(explore=0.05, eager=0.15), episodes) for episodes in (40, 62, 80)),
    Scenario("weighted, sudden preference", World(sharp=3), 48),
    Scenario("weighted, no exploration", World(explore=0.0), 60),
]


def main() -> None:
    parser = options(__doc__, events=[0], rounds=REPETITIONS)
    parser.epilog = "A round is a repetition of each scenario; --events means nothing here."
    arguments = parser.parse_args()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    rows = [_row(scenario, arguments.rounds) for scenario in SCENARIOS]
    report("share of 95 % intervals that cover the truth, where the effect is told", rows)
    save("effects", arguments, {"coverage": rows})


def _row(scenario: Scenario, repetitions: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    truth = true_effect(scenario.world)
    covered: dict[str, list[bool]] = {name: [] for name in ("accuracy", "loss", "percentile", "BCa", "naive")}
    values, halves, ess = [], [], []
    cost = None
    for _ in range(repetitions):
        run = simulate(rng, scenario.world, scenario.episodes)
        sums = sums_of(run, scenario.world)
        found = op_effect("GROW_INTERNAL", method_of(scenario.world), sums)
        if found.support is not None:
            ess.append(min(found.support.ess_op, found.support.ess_noop))
        if found.refused is not None:
            continue
        if cost is None:
            cost = median([_cost(scenario, sums) for _ in range(5)]).cpu_s
        covered["accuracy"].append(_covers(found.accuracy, truth))
        covered["loss"].append(_covers(found.loss, LOSS_FOR_ACCURACY * truth))
        for name, interval in _bootstrapped(sums, rng).items():
            covered[name].append(_covers(interval, truth))
        value, error = naive(run)
        covered["naive"].append(abs(value - truth) <= z_score() * error)
        assert found.accuracy.value is not None
        assert found.accuracy.high is not None
        values.append(found.accuracy.value)
        halves.append(found.accuracy.high - found.accuracy.value)
    return {
        "scenario": scenario.name,
        "episodes": scenario.episodes,
        "ESS": fmean(ess) if ess else None,
        "told": len(values) / repetitions,
        **{name: fmean(flags) if flags else None for name, flags in covered.items()},
        "truth": truth,
        "bias": fmean(values) - truth if values else None,
        "half width": fmean(halves) if halves else None,
        "cpu ms": None if cost is None else cost * 1e3,
    }


def _cost(scenario: Scenario, sums: list[EpisodeSums]) -> Cost:
    """Of one effect, its sums given."""
    return cost_of(lambda: op_effect("GROW_INTERNAL", method_of(scenario.world), sums))


def _covers(interval: Interval, truth: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


def _bootstrapped(sums: list[EpisodeSums], rng: np.random.Generator) -> Mapping[str, Interval]:
    """scipy's bootstrap over episodes: each is drawn with its four sums."""
    names = ("accuracy_op", "w_op", "accuracy_noop", "w_noop")
    columns = [np.array([getattr(episode, name) for episode in sums]) for name in names]

    def statistic(*drawn: Any, axis: int = -1) -> Any:
        y_op, w_op, y_noop, w_noop = (column.sum(axis) for column in drawn)
        return y_op / w_op - y_noop / w_noop

    found = {}
    for name in ("percentile", "BCa"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # draws without a decision of one arm
            ends = stats.bootstrap(
                columns, statistic, paired=True, n_resamples=RESAMPLES, method=name, rng=rng
            ).confidence_interval
        found[name] = Interval(None, float(ends.low), float(ends.high))
    return found


if __name__ == "__main__":
    main()
