"""The predecessor's 19 views: its columns, its answers, and what happens where its telemetry is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.predecessor_oracle import COLUMNS, SNAPSHOTS, TYPES, events_of, expected_rows
from esper.karn.store.database import Store
from esper.karn.store.tables import TABLE_OF
from esper.karn.store.views import shipped_views
from store_support import DATA, event, open_store, write_lines
from support import ROOT, write_run

FIXTURE = ROOT / "tests/data/esper_lite"

needs_data = pytest.mark.skipif(DATA is None, reason="shared/data is not beside this checkout")
ALL_VIEWS = pytest.mark.parametrize("view", COLUMNS)


@pytest.fixture(scope="module")
def trimmed() -> Iterator[Store]:
    with open_store(FIXTURE) as store:
        yield store


@pytest.fixture(scope="module")
def full() -> Iterator[Store]:
    assert DATA is not None
    with open_store(DATA / "esper_lite") as store:
        yield store


def described(store: Store, view: str) -> dict[str, str]:
    return {row["column_name"]: row["column_type"] for row in store.select(f"DESCRIBE {view}").dicts()}


def assert_rows_are_those_of_the_files(store: Store, view: str, folder: Path) -> None:
    names = ", ".join(f'"{name}"' for name in COLUMNS[view])
    found = store.select(f"SELECT {names} FROM {view} WHERE run_dir LIKE 'telemetry_%'").rows
    expected = expected_rows(view, events_of(folder))
    assert len(found) == len(expected)
    for row, other in zip(sorted(found, key=repr), sorted(expected, key=repr), strict=True):
        for name, ours, theirs in zip(COLUMNS[view], row, other, strict=True):
            close = view == "reward_calibration" and isinstance(theirs, float)
            assert ours == (pytest.approx(theirs, rel=1e-9) if close else theirs), name


# The same columns and rows.


@ALL_VIEWS
def test_the_predecessors_columns_come_first_in_its_order_with_its_types(trimmed, view):
    names = list(COLUMNS[view].items())
    assert list(described(trimmed, view).items())[: len(names)] == names


@needs_data
def test_those_columns_are_the_predecessors_own():
    theirs = json.loads((DATA / "predecessor_view_columns.json").read_text())
    assert {view: [list(column) for column in columns.items()] for view, columns in COLUMNS.items()} == theirs


@needs_data
def test_the_trimmed_telemetry_has_rows_wherever_the_whole_has(trimmed, full):
    def filled(store: Store) -> set[str]:
        return {view for view in COLUMNS if store.select(f"SELECT 1 FROM {view} LIMIT 1").rows}

    assert filled(trimmed) == filled(full) == COLUMNS.keys() - {"topology_manifests", "shapley_computed"}


@ALL_VIEWS
def test_a_row_is_told_by_its_key(trimmed, view):
    key = shipped_views()[view].key.split(" (")[0].replace("filename, seq", "event_id")
    assert trimmed.select(f"SELECT {key} FROM {view} GROUP BY {key} HAVING count(*) > 1").rows == []


@ALL_VIEWS
def test_the_trimmed_telemetry_gives_the_rows_that_its_files_hold(trimmed, view):
    assert_rows_are_those_of_the_files(trimmed, view, FIXTURE)


@needs_data
@ALL_VIEWS
def test_the_whole_telemetry_gives_the_rows_that_its_files_hold(full, view):
    assert_rows_are_those_of_the_files(full, view, DATA / "esper_lite")


@needs_data
@ALL_VIEWS
def test_the_predecessors_answers_are_ours(full, view):
    answers = json.loads((DATA / "predecessor_answers.json").read_text())[view]
    assert full.select(f"SELECT count(*) FROM {view}").rows == [[answers["rows"]]]
    for column in answers["columns"]:
        name = f'"{column["name"]}"'
        asked = {
            "non_null": f"count({name})",
            "sum": f"sum({name})::DOUBLE",
            "distinct": f"count(DISTINCT {name})",
            "true": f"count(*) FILTER ({name})",
        }
        for what in column.keys() - {"name", "type"}:
            ((found,),) = full.select(f"SELECT {asked[what]} FROM {view}").rows
            assert found == pytest.approx(column[what], rel=1e-9, abs=1e-9), (column["name"], what)


# Broken telemetry.

WRONG = [[1], "text", True, -1.5, 10**30, "", {"a": "b"}, {"a": {"wall_ms": "c"}}, {"a": None}, None, [{}]]


def broken(wrong: Any) -> Iterator[dict[str, Any]]:
    """Events of each type and kind in which every field, or every field within a field, is wrong."""
    for event_type in sorted(set().union(*TYPES.values())):
        paths = [field.path for field in TABLE_OF[event_type].fields if field.path != ("kind",)]
        flat = {path[0]: wrong for path in paths}
        nested: dict[str, Any] = {}
        for first, second in [path for path in paths if len(path) > 1]:
            nested.setdefault(first, {})[second] = wrong
        for kind in sorted(SNAPSHOTS.values()) if event_type == "ANALYTICS_SNAPSHOT" else [None]:
            for data in (flat, flat | nested, {}):
                yield {"event_type": event_type, "epoch": 1, "data": data | ({"kind": kind} if kind else {})}
        for whole in (None, 3, "x", [], {"kind": 3}):
            yield {"event_type": event_type, "data": whole}


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_shapes_fail_no_view_and_harm_no_other_run(tmp_path, wrong):
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    lines = list(broken(wrong))
    write_lines(tmp_path / "broken/events.jsonl", *lines)
    with open_store(tmp_path) as store:
        for view in COLUMNS:
            assert_rows_are_those_of_the_files(store, view, FIXTURE)
            found = store.query(f"SELECT * FROM {view} WHERE run_dir = 'broken'", limit=1000).rows
            if view in TYPES.keys() - SNAPSHOTS.keys() - {"phase_occupancy"}:
                assert len(found) == sum(line["event_type"] in TYPES[view] for line in lines), view
        assert store.select("SELECT * FROM ingest_errors WHERE kind != 'field'").rows == []


def test_every_field_of_a_wrong_type_is_null_and_accounted_for(tmp_path):
    lines = [line for line in broken([1]) if isinstance(line["data"], dict) and len(line["data"]) > 1]
    write_lines(tmp_path / "broken/events.jsonl", *lines)
    with open_store(tmp_path) as store:
        found = store.select("SELECT line_number, reason FROM ingest_errors").rows
        for number, line in enumerate(lines, 1):
            deep = isinstance(line["data"].get("head_telemetry"), dict)
            fields = TABLE_OF[line["event_type"]].fields
            typed = {field.path if deep else field.path[:1] for field in fields if field.sql_type != "JSON"}
            expected = {f"data.{'.'.join(path)} reads as null" for path in typed - {("kind",)}}
            assert {reason for at, reason in found if at == number} == expected
        for view in COLUMNS:
            names = [name for name, kind in described(store, view).items() if kind == "DOUBLE"]
            if names:
                shown = store.select(f"SELECT {', '.join(names)} FROM {view}").rows
                assert {value for row in shown for value in row} <= {None}, view


@pytest.mark.parametrize("counts", [{"WAIT": 1, "PRUNE": "many"}, {"WAIT": 2.5}, [1], 3, "x"])
def test_counts_that_cant_be_read_make_no_rows_but_a_problem(tmp_path, counts):
    line = event("ANALYTICS_SNAPSHOT", kind="action_distribution", action_counts=counts)
    assert rows(tmp_path, "*", "action_distribution", line) == []
    assert rows(tmp_path, "reason", "ingest_errors") == [["data.action_counts reads as null"]]


# Where the predecessor's answer would be wrong, or its telemetry has no example.


def rows(folder: Path, columns: str, view: str, *lines: dict[str, Any]) -> list[list[Any]]:
    write_lines(folder / "r/events.jsonl", *lines)
    with open_store(folder) as store:
        return store.select(f"SELECT {columns} FROM {view} ORDER BY ALL").rows


def counted(**counts: int) -> dict[str, Any]:
    return event("ANALYTICS_SNAPSHOT", epoch=4, kind="action_distribution", action_counts=counts)


def test_two_batches_that_fit_double_no_action(tmp_path):
    batches = [event("BATCH_EPOCH_COMPLETED", episodes_completed=4, batch_idx=n) for n in (2, 3)]
    found = rows(tmp_path, "batch_idx, action_name, pct", "action_distribution", *batches, counted(A=1, B=3))
    assert found == [[None, "A", 0.25], [None, "B", 0.75]]


def test_no_action_at_all_has_no_share(tmp_path):
    assert rows(tmp_path, "count, pct", "action_distribution", counted(A=0)) == [[0, None]]


def test_what_a_skipped_update_did_not_measure_is_null(tmp_path):
    stats = {"kind": "batch_stats", "entropy": 0.0, "kl_divergence": 0.0}
    lines = [event("ANALYTICS_SNAPSHOT", skipped_update=skipped, **stats) for skipped in (True, False)]
    found = rows(tmp_path, "skipped_update, entropy, kl_divergence", "batch_stats", *lines)
    assert found == [[False, 0.0, 0.0], [True, None, None]]


def test_an_environment_that_was_not_known_is_null(tmp_path):
    values = {"r0c0": {"mean": 1.5}}
    shapley = event("ANALYTICS_SNAPSHOT", kind="shapley_computed", env_id=-1, shapley_values=values)
    assert rows(tmp_path, "env_id, shapley_values", "shapley_computed", shapley) == [[None, values]]
    assert rows(tmp_path, "env_id", "episode_outcomes", event("EPISODE_OUTCOME", env_id=-1)) == [[None]]


def test_a_confounder_tells_what_is_known_of_it(tmp_path):
    lines = [
        event("GOVERNOR_ROLLBACK", env_id=1, episode_idx=2, reason="governor_nan"),
        event("GOVERNOR_ROLLBACK", env_id=1),
        event("REWARD_HACKING_SUSPECTED", pattern="p", slot_id="r0c0", seed_id="s"),
        event("PERFORMANCE_DEGRADATION", drop_percent=12.5, threshold_percent=10.0),
        event("PERFORMANCE_DEGRADATION"),
        event("NUMERICAL_INSTABILITY_DETECTED", episode=7, detail="NaN in a layer"),
        event("DEGRADATION_DETECTED"),
    ]
    assert rows(tmp_path, "detail, episode", "run_confounders", *lines) == [
        ["NaN in a layer", 7],
        ["governor rollback", None],
        ["governor rollback: governor_nan", 2],
        ["performance degradation", None],
        ["performance degradation: drop 12.5% (threshold 10.0%)", None],
        ["reward hacking suspected (p) slot=r0c0 seed=s", None],
    ]


def test_a_manifest_is_shown(tmp_path):
    line = event(
        "TOPOLOGY_MANIFEST_RECORDED", manifest_role="source_final", slot_count=3, manifest_match=True
    )
    found = rows(tmp_path, "manifest_role, slot_count, manifest_match", "topology_manifests", line)
    assert found == [["source_final", 3, True]]


def outcomes(*pairs: tuple[float | None, float | None], **more: Any) -> list[dict[str, Any]]:
    return [event("EPISODE_OUTCOME", final_accuracy=a, episode_reward=reward, **more) for a, reward in pairs]


def test_two_episodes_are_no_evidence_of_calibration(tmp_path):
    found = rows(tmp_path, "calibration_status", "reward_calibration", *outcomes((1, 1), (2, 2)))
    assert found == [["insufficient_data"]]


@pytest.mark.parametrize("reward", [1e300, None])
def test_rewards_that_diverged_do_not_fail_the_calibration(tmp_path, reward):
    lines = outcomes((1, reward), (2, reward and -reward), (3, reward), non_finite={"loss": "NaN"})
    columns = "n_episodes, std_reward, reward_accuracy_correlation, calibration_status, non_finite"
    (row,) = rows(tmp_path, columns, "reward_calibration", *lines)
    assert row == [3 if reward else 0, None, None, "insufficient_data", [{"loss": "NaN"}] * 3]


def test_karns_own_runs_have_rows_too(tmp_path):
    write_run(tmp_path, "r", n_envs=1, episodes=3, epochs=4)
    update = event("PPO_UPDATE_COMPLETED", 999, epoch=7, entropy=1.0) | {"schema": 1}
    write_lines(tmp_path / "r/events.jsonl", update)
    with open_store(tmp_path) as store:
        found = store.select("SELECT final_accuracy, accuracy, reward_mode FROM episode_outcomes").rows
        assert [(percent, mode) for percent, _, mode in found] == [(100 * part, None) for _, part, _ in found]
        assert store.select("SELECT n_episodes FROM reward_calibration").rows == [[3]]
        assert store.select("SELECT episodes_completed, entropy FROM ppo_updates").rows == [[None, 1.0]]
        rewards = store.select("SELECT total_reward FROM rewards ORDER BY ALL").rows
        assert rewards == store.select("SELECT total_reward FROM decisions ORDER BY ALL").rows != []
