"""How the cost of everything grows with the number of events and with the number of runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bench_cold import ANSWER, process_cost
from benchmarks.bench_ingest import live_run, load_cost, seal_cost
from benchmarks.bench_store import FLOOR, KARN, Ask, asking
from benchmarks.events import Dataset, make_events
from benchmarks.measure import (
    MEDIUM,
    SMALL,
    Cost,
    cost_of,
    exponent,
    interleave,
    options,
    report,
    save,
    sizes,
)
from benchmarks.questions import THRASH_CHECK
from benchmarks.sealing import sealed_copy

LINES = 1_000
"""Appended to a live run."""


def main() -> None:
    parser = options(__doc__, events=[SMALL, MEDIUM], rounds=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 100, 1_000], help="numbers of run folders")
    arguments = parser.parse_args()
    costs: dict[str, dict[tuple[int, int], Cost]] = {}
    for n_runs in arguments.runs:
        for n_events in sizes(arguments):
            dataset = make_events(arguments.work_dir, n_events, n_runs=n_runs)
            for step, found in measure(dataset, arguments.rounds).items():
                costs.setdefault(step, {})[n_events, n_runs] = found
    rows = [
        {
            "step": step,
            "events": events,
            "runs": runs,
            "cpu ms": cost.cpu_s * 1e3,
            "wall ms": cost.wall_s * 1e3,
        }
        for step, found in costs.items()
        for (events, runs), cost in found.items()
    ]
    report("cost by events and runs", rows)
    slopes = [_slopes(step, found) for step, found in costs.items()]
    report("exponents of CPU: 0 does not grow, 1 doubles where the size doubles", slopes)
    save("growth", arguments, {"costs": rows, "exponents": slopes})


def measure(dataset: Dataset, rounds: int) -> dict[str, Cost]:
    """The cost of each step at one size."""
    costs = interleave({"first load": partial(load_cost, dataset)}, rounds, warm_up=False)
    costs |= interleave({"seal": partial(seal_cost, dataset)}, rounds, warm_up=False)
    with sealed_copy(dataset) as telemetry_dir:
        answer = partial(process_cost, ANSWER, str(telemetry_dir), THRASH_CHECK, dataset.one_run, says=b"4\n")
        costs |= interleave({"fresh process to first answer": answer}, rounds)
        with asking(dataset, telemetry_dir) as ways:
            asked = {way: partial(cost_of, partial(_ask_all, ways[way])) for way in (KARN, FLOOR)}
            costs |= {f"six questions, {way}": cost for way, cost in interleave(asked, rounds).items()}
        with live_run(dataset, telemetry_dir, LINES) as live:
            costs |= interleave({f"pick up {LINES:,} lines": live.pick_up}, rounds)
    return costs


def _ask_all(asks: dict[str, Ask]) -> None:
    for ask in asks.values():
        ask()


def _slopes(step: str, costs: dict[tuple[int, int], Cost]) -> dict[str, Any]:
    row: dict[str, Any] = {"step": step}
    all_events, all_runs = (sorted(set(numbers)) for numbers in zip(*costs, strict=True))
    for runs in all_runs:
        found = [costs[events, runs].cpu_s for events in all_events]
        row[f"by events, {runs:,} runs"] = exponent(all_events, found)
    for events in all_events:
        found = [costs[events, runs].cpu_s for runs in all_runs]
        row[f"by runs, {events:,} events"] = exponent(all_runs, found)
    return row


if __name__ == "__main__":
    main()
