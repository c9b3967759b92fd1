"""Why an answer has no rows: an assistant that reads only "0 rows" asks the wrong question next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from esper.karn.store.sqlfile import SqlFile

if TYPE_CHECKING:
    from esper.karn.store.database import Store

SHOWN_VALUES = 10
"""Values that are offered where a filter matched nothing."""


def no_run_yet(store: Store) -> str:
    """Said where there is no run at all."""
    folder = store.telemetry_dir.name
    if not store.telemetry_dir.is_dir():
        return f"the telemetry folder {folder}/ does not exist yet; its runs will show as soon as it does"
    return f"no run in {folder}/ yet: no <run>/events.jsonl"


def why_no_rows_of_view(store: Store, view: SqlFile, filters: Mapping[str, Any]) -> str:
    """Why a view has no rows that pass the filters.

    Args:
        store: the store.
        view: the view.
        filters: values by name; ``run_dir`` is an existing run.
    """
    if not store.run_names():
        return no_run_yet(store)
    run_dir = filters.get("run_dir")
    count = _count(store, view.name, run_dir)
    if count == 0:
        return f"{_runs(run_dir)} no rows in {view.name}: no such events yet"
    others = {name: value for name, value in filters.items() if name != "run_dir"}
    asked = ", ".join(f"{name} = {value!r}" for name, value in others.items())
    reason = f"the filter {asked} excludes all {count} rows of {_of(run_dir)}"
    for name, value in others.items():
        if name not in view.columns:  # a bound such as epoch_min
            continue
        known = _values(store, view.name, name, run_dir)
        if value not in known:
            listed = ", ".join(map(str, known[:SHOWN_VALUES]))
            reason += f"; {name} is one of {listed}{', ...' if len(known) > SHOWN_VALUES else ''}"
    return reason


def why_no_rows_of_query(store: Store, query: SqlFile, params: Mapping[str, Any]) -> str:
    """Why an example query found nothing: no events to look at, or none that met its conditions."""
    if not store.run_names():
        return no_run_yet(store)
    run_dir = params.get("run_dir")
    read = [name for name in store.views if re.search(rf"\b{name}\b", query.body)]
    absent = [name for name in read if _count(store, name, run_dir) == 0]
    if absent:
        return f"{_runs(run_dir)} no rows in {' and '.join(absent)}: no such events yet"
    others = [f"{name} = {value!r}" for name, value in params.items() if name != "run_dir"]
    met = f" with {', '.join(others)}" if others else ""
    return f"nothing in {_of(run_dir)} met the conditions of {query.name}{met}"


def _runs(run_dir: str | None) -> str:
    return "the runs have" if run_dir is None else f"run {run_dir} has"


def _of(run_dir: str | None) -> str:
    return "all runs" if run_dir is None else f"run {run_dir}"


def _count(store: Store, view: str, run_dir: str | None) -> int:
    found = store.select(
        f'SELECT count(*) FROM "{view}" WHERE coalesce(run_dir = $run_dir, true)', {"run_dir": run_dir}
    )
    count: int = found.rows[0][0]
    return count


def _values(store: Store, view: str, column: str, run_dir: str | None) -> list[Any]:
    found = store.select(
        f'SELECT DISTINCT "{column}" FROM "{view}" WHERE coalesce(run_dir = $run_dir, true) ORDER BY ALL',
        {"run_dir": run_dir},
    )
    return [row[0] for row in found.rows]
