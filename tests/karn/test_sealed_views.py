"""Views over sealed runs answer as over the event files, however they are filtered, ordered and cut."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from esper.karn.store.compact import compact
from esper.karn.store.database import Store
from esper.karn.store.views import shipped_views
from support import ROOT


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """The recorded runs, unsealed and sealed."""
    folder = tmp_path_factory.mktemp("sealed") / "telemetry"
    shutil.copytree(ROOT / "examples/telemetry", folder)
    with Store(ROOT / "examples/telemetry", seal=False) as plain, Store(folder) as sealed:
        compact(folder)
        plain.refresh()
        sealed.refresh()
        assert all(file.sealed_bytes for file in sealed.event_files())
        yield plain, sealed


@pytest.mark.parametrize("view", sorted(shipped_views()))
def test_the_first_rows_of_a_run_in_any_order_are_the_same(stores: tuple[Store, Store], view: str) -> None:
    for column in shipped_views()[view].columns:
        for direction in ("ASC", "DESC"):
            tail = f'FROM "{view}" WHERE run_dir = $1 ORDER BY "{column}" {direction}'
            plain, sealed = (
                [row[0] for row in store.select(f'SELECT "{column}" {tail} LIMIT 3', ["oscillate"]).rows]
                for store in stores
            )
            # A sum depends on the order in which it is taken.
            assert sealed == (
                pytest.approx(plain) if any(isinstance(value, float) for value in plain) else plain
            ), column
            for store in stores:
                assert len(store.select(f"SELECT * {tail} LIMIT 1", ["oscillate"]).rows) == bool(plain)
