"""The six questions asked of Karn, of views that parse JSONL at each query, of polars and of bare Parquet."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import duckdb_alone, polars_alone
from benchmarks.events import Dataset, make_events
from benchmarks.measure import MEDIUM, SMALL, Cost, cost_of, interleave, options, report, save, sizes
from benchmarks.questions import QUESTIONS, comparable, parameters
from benchmarks.sealing import sealed_copy
from esper.karn.store.database import Store

KARN, REPARSE, POLARS, FLOOR = "karn", "reparse", "polars", "floor"
Ask = Callable[[], Any]


def main() -> None:
    parser = options(__doc__, events=[SMALL, MEDIUM], rounds=7)
    parser.add_argument("--runs", type=int, default=8, help="run folders that the events are spread over")
    arguments = parser.parse_args()
    tables = {}
    for n_events in sizes(arguments):
        dataset = make_events(arguments.work_dir, n_events, n_runs=arguments.runs)
        rows = measure(dataset, arguments.rounds)
        title = f"{dataset.n_events:,} events, {arguments.runs} runs"
        tables[title] = rows
        report(f"six questions, {title}: CPU ms, then wall ms", rows)
    save("store", arguments, tables)


def measure(dataset: Dataset, rounds: int) -> list[dict[str, Any]]:
    """One row per question, and one for their sum.

    Raises:
        SystemExit: if the four do not answer alike.
    """
    with sealed_copy(dataset) as telemetry_dir, asking(dataset, telemetry_dir) as ways:
        counts = check(ways)
        costs = {
            name: interleave({way: partial(cost_of, asks[name]) for way, asks in ways.items()}, rounds)
            for name in QUESTIONS
        }
    costs["sum"] = {
        way: Cost(*(sum(column) for column in zip(*(costs[name][way] for name in QUESTIONS), strict=True)))
        for way in ways
    }
    return [
        {**_row(name, found), "rows": counts.get(name, sum(counts.values()))} for name, found in costs.items()
    ]


def check(ways: dict[str, dict[str, Ask]]) -> dict[str, int]:
    """Ask everything once of everyone; how many rows each question has.

    Raises:
        SystemExit: if they do not answer alike.
    """
    counts = {}
    for name in QUESTIONS:
        answers = {way: comparable(asks[name]()) for way, asks in ways.items()}
        for way, rows in answers.items():
            if rows != answers[FLOOR]:
                raise SystemExit(f"{name}: {way} answers {rows[:3]}..., the floor {answers[FLOOR][:3]}...")
        counts[name] = len(answers[FLOOR])
    return counts


@contextmanager
def asking(dataset: Dataset, telemetry_dir: Path) -> Iterator[dict[str, dict[str, Ask]]]:
    """For each way of keeping telemetry, a function for each question.

    Args:
        dataset: the events.
        telemetry_dir: its sealed copy, which Karn is asked about.
    """
    run_dir = dataset.one_run
    with ExitStack() as stack:
        store = stack.enter_context(Store(telemetry_dir))
        store.refresh()
        parquet = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=dataset.folder.parent)), "typed")
        duckdb_alone.write_parquet(dataset, parquet)
        reparse = stack.enter_context(duckdb_alone.reparsing(dataset.telemetry))
        floor = stack.enter_context(duckdb_alone.over_parquet(parquet))
        yield {
            KARN: {name: _of_store(store, sql, run_dir) for name, sql in QUESTIONS.items()},
            REPARSE: {name: _of_duckdb(reparse, sql, run_dir) for name, sql in QUESTIONS.items()},
            POLARS: polars_alone.answers(parquet, run_dir),
            FLOOR: {name: _of_duckdb(floor, sql, run_dir) for name, sql in QUESTIONS.items()},
        }


def _of_store(store: Store, sql: str, run_dir: str) -> Ask:
    return lambda: store.select(sql, parameters(sql, run_dir)).rows


def _of_duckdb(connection: duckdb.DuckDBPyConnection, sql: str, run_dir: str) -> Ask:
    return lambda: connection.execute(sql, parameters(sql, run_dir)).fetchall()


def _row(name: str, costs: dict[str, Cost]) -> dict[str, Any]:
    cpu = {way: cost.cpu_s * 1e3 for way, cost in costs.items()}
    return {
        "question": name,
        **{f"{way} cpu": value for way, value in cpu.items()},
        **{f"{KARN}/{way}": cpu[KARN] / cpu[way] for way in cpu if way != KARN},
        **{f"{way} wall": cost.wall_s * 1e3 for way, cost in costs.items()},
    }


if __name__ == "__main__":
    main()
