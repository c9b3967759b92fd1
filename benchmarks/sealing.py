"""A telemetry folder of sealed events, which most benchmarks begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.events import Dataset, linked_copy
from esper.karn.store.compact import compact
from esper.karn.store.database import Store

COUNT = "SELECT count(*) FROM raw_events"


@contextmanager
def sealed_copy(dataset: Dataset) -> Iterator[Path]:
    """A telemetry folder of the data set's events, all of them sealed.

    Raises:
        SystemExit: if that has lost some.
    """
    with linked_copy(dataset) as telemetry_dir:
        compact(telemetry_dir)
        with Store(telemetry_dir) as store:
            store.refresh()
            check_count(store, dataset.n_events)
        yield telemetry_dir


def check_count(store: Store, n_events: int) -> None:
    """A cost counts only if everything was there to be asked for.

    Raises:
        SystemExit: if it was not.
    """
    [[count]] = store.select(COUNT).rows
    if count != n_events:
        raise SystemExit(f"karn: {count:,} events of {n_events:,}")
