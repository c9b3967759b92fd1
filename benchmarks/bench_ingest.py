"""What it costs to take events in: a first load, sealing, and picking up what a live run has appended."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import duckdb_alone
from benchmarks.events import Dataset, linked_copy, make_events
from benchmarks.measure import MEDIUM, SMALL, Cost, cost_of, interleave, median, options, report, save, sizes
from benchmarks.sealing import COUNT, check_count, sealed_copy
from esper.karn.store.compact import compact
from esper.karn.store.database import Store

APPENDED = (1, 100, 1_000, 10_000)
"""Lines that a live run has written since the last look."""
LIVE_LINES = 10_000
"""Of the live run before that."""
KARN, STRICT = "karn", "strict read_json"


def main() -> None:
    parser = options(__doc__, events=[SMALL, MEDIUM], rounds=3)
    parser.add_argument("--runs", type=int, default=8, help="run folders that the events are spread over")
    arguments = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {}
    for n_events in sizes(arguments):
        dataset = make_events(arguments.work_dir, n_events, n_runs=arguments.runs)
        title = f"{dataset.n_events:,} events, {arguments.runs} runs"
        rows = [*measure_load(dataset, arguments.rounds), measure_seal(dataset, arguments.rounds)]
        report(f"taking in {title}, {dataset.n_bytes / 1e6:,.0f} MB", rows)
        appended = measure_appended(dataset, arguments.rounds)
        report(f"picking up lines beside {title} that are sealed: refresh and count", appended)
        tables |= {f"load, {title}": rows, f"appended, {title}": appended}
    save("ingest", arguments, tables)


def measure_load(dataset: Dataset, rounds: int) -> list[dict[str, Any]]:
    """A fresh Store over a folder where nothing is sealed, and a strict load of the same bytes."""
    costs = interleave(
        {
            KARN: partial(load_cost, dataset),
            STRICT: partial(cost_of, partial(_load_strictly, dataset)),
        },
        rounds,
        warm_up=False,
    )
    rows = [_rates(f"first load, {way}", dataset, cost) for way, cost in costs.items()]
    rows[0][f"cpu {KARN}/{STRICT}"] = costs[KARN].cpu_s / costs[STRICT].cpu_s
    return rows


def measure_seal(dataset: Dataset, rounds: int) -> dict[str, Any]:
    """Sealing a folder where nothing is sealed."""
    return _rates("seal", dataset, median([seal_cost(dataset) for _ in range(rounds)]))


def measure_appended(dataset: Dataset, rounds: int) -> list[dict[str, Any]]:
    """Lines of another training, appended to a run that a Store has open; and a strict load of them alone."""
    rows = []
    with sealed_copy(dataset) as telemetry_dir:
        for n_lines in APPENDED:
            with live_run(dataset, telemetry_dir, n_lines) as live:
                strict = partial(cost_of, live.load_strictly)
                costs = interleave({KARN: live.pick_up, STRICT: strict}, rounds * 3)
            row: dict[str, Any] = {"lines": n_lines}
            for way, cost in costs.items():
                row |= {f"{way} cpu ms": cost.cpu_s * 1e3, f"{way} wall ms": cost.wall_s * 1e3}
            rows.append(row | {"karn cpu us a line": costs[KARN].cpu_s / n_lines * 1e6})
    return rows


def load_cost(dataset: Dataset) -> Cost:
    """Of one first load.

    Raises:
        SystemExit: if it is not all there.
    """
    with linked_copy(dataset) as telemetry_dir:
        stores: list[Store] = []

        def load() -> None:
            stores.append(Store(telemetry_dir))
            stores[0].refresh()

        cost = cost_of(load)
        with stores[0] as store:
            check_count(store, dataset.n_events)
    return cost


def seal_cost(dataset: Dataset) -> Cost:
    """Of sealing everything once.

    Raises:
        SystemExit: if that has lost something.
    """
    with linked_copy(dataset) as telemetry_dir:
        cost = cost_of(partial(compact, telemetry_dir))
        with Store(telemetry_dir) as store:
            store.refresh()
            check_count(store, dataset.n_events)
    return cost


class LiveRun:
    """A Store over sealed events, and a run that goes on.

    Args:
        store: up to date.
        path: the event file that grows.
        lines: what is appended each time.
        alone: a file of just these lines.
    """

    def __init__(self, store: Store, path: Path, lines: list[bytes], alone: Path) -> None:
        self._store = store
        self._path = path
        self._lines = lines
        self._alone = alone
        alone.write_bytes(b"".join(lines))
        self._count = store.select(COUNT).rows[0][0]

    def pick_up(self) -> Cost:
        """Append the lines; the cost of seeing them."""
        with self._path.open("ab") as file:
            file.writelines(self._lines)

        def look() -> None:
            self._store.refresh()
            self._store.select(COUNT)

        cost = cost_of(look)
        self._count += len(self._lines)
        check_count(self._store, self._count)
        return cost

    def load_strictly(self) -> None:
        """Load the lines alone."""
        duckdb_alone.load_strictly([self._alone])


@contextmanager
def live_run(dataset: Dataset, telemetry_dir: Path, n_lines: int) -> Iterator[LiveRun]:
    """A run beside sealed ones that gets ``n_lines`` each time, a mix of all kinds of events.

    Args:
        dataset: gives the lines, as many times over as it takes.
        telemetry_dir: its sealed copy.
        n_lines: appended each time.
    """
    path = telemetry_dir / "live" / "events.jsonl"
    path.parent.mkdir()
    try:
        path.write_bytes(b"".join(islice(_lines(dataset), LIVE_LINES)))
        with tempfile.TemporaryDirectory() as alone, Store(telemetry_dir) as store:
            store.refresh()
            yield LiveRun(store, path, list(islice(_lines(dataset), n_lines)), Path(alone, "events.jsonl"))
    finally:
        shutil.rmtree(path.parent)


def _lines(dataset: Dataset) -> Iterator[bytes]:
    while True:
        for path in reversed(dataset.files):
            with path.open("rb") as file:
                # The first line would say that a new process writes from here on.
                yield from islice(file, 1, None)


def _load_strictly(dataset: Dataset) -> None:
    count = duckdb_alone.load_strictly(dataset.files)
    if count != dataset.n_events:
        raise SystemExit(f"{STRICT}: {count} events of {dataset.n_events}")


def _rates(step: str, dataset: Dataset, cost: Cost) -> dict[str, Any]:
    return {
        "step": step,
        "cpu s": cost.cpu_s,
        "wall s": cost.wall_s,
        "cpu us/event": cost.cpu_s / dataset.n_events * 1e6,
        "events/s": dataset.n_events / cost.wall_s,
        "MB/s": dataset.n_bytes / cost.wall_s / 1e6,
    }


if __name__ == "__main__":
    main()
