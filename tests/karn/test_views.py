"""The views: their columns, what their headers promise, and the answers that the predecessor gave."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from esper.karn.store.database import Store
from esper.karn.store.tables import TABLE_OF, TABLES
from esper.karn.store.views import shipped_queries, shipped_views
from esper.leyline.events import PAYLOADS
from store_support import DATA, event, level_change, open_store, write_lines
from support import write_run

SEED_COLUMNS = {
    "seed_internal_levels": (
        "run_dir timestamp env_id slot_id blueprint_id internal_kind from_level to_level max_level "
        "active_params level_delta"
    ),
    "internal_op_summary": (
        "run_dir slot_id total_ops grow_count shrink_count net_level_change avg_active_params "
        "max_reached_level min_reached_level"
    ),
    "internal_op_metrics": (
        "run_dir timestamp env_id slot_id internal_op_density net_level_change reversal_rate"
    ),
    "counterfactual_deltas": (
        "run_dir timestamp env_id slot_id epoch op from_level to_level loss_delta accuracy_delta "
        "baseline_loss_delta baseline_accuracy_delta baseline_sample_count loss_advantage accuracy_advantage"
    ),
}
"""What the seed's SELECTs name, in its order."""

LATER_COLUMNS = {
    "seed_internal_levels": "event_id rank epoch episode_idx",
    "internal_op_summary": "env_count",
    "internal_op_metrics": "internal_op_rate n_ops window_size epoch episode_idx band indicator",
    "counterfactual_deltas": (
        "op_name epochs_elapsed op_probability episode_idx loss_before accuracy_before params_before "
        "loss_after accuracy_after params_after"
    ),
}
"""What the design adds after them."""

RAW_EVENTS = (
    "event_id event_type timestamp seed_id slot_id epoch group_id message data severity filename run_dir "
    "rank seq schema"
)
DECISION_COLUMNS = (
    "op op_probability op_probs slot_probs op_entropy legal_ops reward intervention_cost ladder_present "
    "loss_before accuracy_before params_before level_before epoch rank intended_op intended_slot_id "
    "holdout_probability"
)
TYPES = {
    "env_id": "INTEGER",
    "episode_idx": "INTEGER",
    "timestamp": "TIMESTAMP",
    "epoch": "BIGINT",
    "seq": "BIGINT",
    "rank": "INTEGER",
    "run_dir": "VARCHAR",
    "slot_id": "VARCHAR",
    "total_ops": "BIGINT",
    "grow_count": "BIGINT",
    "reversal_rate": "DOUBLE",
    "band": "VARCHAR",
    "sweeping": "BOOLEAN",
    "data": "JSON",
    "non_finite": "JSON",
}
FLOAT_VIEWS = (
    "runs",
    "epochs",
    "decisions",
    "seed_lifecycle",
    "internal_op_metrics",
    "counterfactual_deltas",
    "ppo_updates",
    "batch_epochs",
    "trends",
    "morphology_causal_log",
    "rewards",
    "batch_stats",
    "phase_occupancy",
    "shapley_computed",
    "run_confounders",
    "episode_outcomes",
    "reward_calibration",
)


# The seed's two tests, word for word.


class MappingConnection:
    """A database connection whose rows are mappings, as the seed's tests expect."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def execute(self, sql: str) -> MappingConnection:
        self._rows = iter(self._store.select(sql).dicts())
        return self

    def fetchone(self) -> dict[str, Any] | None:
        return next(self._rows, None)


def create_test_db_with_events() -> MappingConnection:
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder), "run", policy="random")
        return MappingConnection(open_store(Path(folder)))


def test_seed_internal_levels_view():
    """Verify seed_internal_levels view returns expected columns."""
    conn = create_test_db_with_events()
    result = conn.execute("SELECT * FROM seed_internal_levels LIMIT 1").fetchone()

    assert "slot_id" in result.keys()  # noqa: SIM118
    assert "from_level" in result.keys()  # noqa: SIM118
    assert "to_level" in result.keys()  # noqa: SIM118
    assert "level_delta" in result.keys()  # noqa: SIM118


def test_internal_op_summary_aggregation():
    """Verify internal_op_summary aggregates correctly."""
    conn = create_test_db_with_events()

    # Insert some test events
    # ...

    result = conn.execute("""
        SELECT * FROM internal_op_summary
        WHERE slot_id = 'r0c0'
    """).fetchone()

    assert result["total_ops"] > 0
    assert result["grow_count"] >= 0
    assert result["shrink_count"] >= 0


# Columns.


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("telemetry")
    write_run(folder, "run", policy="random", prune_at=10, fossilize_at=15)
    with open_store(folder) as store:
        yield store


def described(store: Store, view: str) -> list[tuple[str, str]]:
    return [(row["column_name"], row["column_type"]) for row in store.select(f"DESCRIBE {view}").dicts()]


@pytest.mark.parametrize("view", sorted(shipped_views()))
def test_a_view_has_the_columns_that_its_header_lists_in_that_order(store, view):
    assert [name for name, _ in described(store, view)] == list(shipped_views()[view].columns)


@pytest.mark.parametrize("view", sorted(shipped_views()))
def test_a_header_says_what_a_row_is_and_what_makes_it_unique(view):
    file = shipped_views()[view]
    assert file.grain
    assert file.key
    assert file.params == []
    for name in file.key.split(" (")[0].split(", "):
        assert name in file.columns


@pytest.mark.parametrize("query", sorted(shipped_queries()))
def test_an_example_query_has_the_columns_that_its_header_lists(store, query):
    file = shipped_queries()[query]
    given = {param.name: "run" if param.name == "run_dir" else param.default for param in file.params}
    assert store.select(file.body, given).columns == list(file.columns)


@pytest.mark.parametrize("view", SEED_COLUMNS)
def test_the_seeds_columns_come_first_exactly_as_it_has_them_then_the_designs(store, view):
    names = [name for name, _ in described(store, view)]
    expected = SEED_COLUMNS[view].split() + LATER_COLUMNS[view].split()
    assert names[: len(expected)] == expected


def test_raw_events_has_exactly_the_designs_columns(store):
    assert [name for name, _ in described(store, "raw_events")] == RAW_EVENTS.split()


def test_decisions_has_the_designs_columns_after_the_predecessors(store):
    names = [name for name, _ in described(store, "decisions")]
    assert names[49 : 49 + len(DECISION_COLUMNS.split())] == DECISION_COLUMNS.split()


def test_the_summary_by_environment_adds_the_environment_and_nothing_else(store):
    names = [name for name, _ in described(store, "internal_op_summary_by_env")]
    expected = SEED_COLUMNS["internal_op_summary"].split()
    assert names == [expected[0], "env_id", *expected[1:]]


@pytest.mark.parametrize("view", sorted(shipped_views()))
def test_a_column_has_the_same_type_wherever_it_appears(store, view):
    for name, found in described(store, view):
        predecessors = (view, name) == ("phase_occupancy", "epoch")
        assert found == ("INTEGER" if predecessors else TYPES.get(name, found)), name


def test_an_op_is_a_number_in_counterfactual_deltas_as_in_the_seed_and_a_name_in_decisions(store):
    assert dict(described(store, "counterfactual_deltas"))["op"] == "INTEGER"
    assert dict(described(store, "decisions"))["op"] == "VARCHAR"


@pytest.mark.parametrize("view", FLOAT_VIEWS)
def test_a_view_of_floats_ends_with_those_that_were_not_finite(store, view):
    assert described(store, view)[-1] == ("non_finite", "JSON")


@pytest.mark.parametrize("view", sorted(shipped_views()))
def test_no_view_sorts(view):
    """The optimizer would keep the sort even under an aggregate; callers order."""
    outside_windows = (
        shipped_views()[view]
        .body.replace("ORDER BY rank NULLS FIRST", "")
        .replace("ORDER BY seq, file_offset", "")
    )
    assert "ORDER BY" not in outside_windows


def test_every_field_of_every_payload_has_a_column():
    for event_type, payload in PAYLOADS.items():
        columns = {field.path[0] for field in TABLE_OF[str(event_type)].fields}
        assert set(payload.__struct_fields__) <= columns, event_type


def test_no_field_called_op_is_a_number_in_one_event_type_and_a_text_in_another():
    """Spark refuses to read such files."""
    kinds = {field.sql_type for table in TABLES for field in table.fields if field.path[-1] == "op"}
    assert kinds == {"INTEGER"}


def test_every_view_is_unique_by_its_key(store):
    for name, view in shipped_views().items():
        key = view.key.split(" (")[0]
        rows, distinct = store.select(f"SELECT count(*), count(DISTINCT row({key})) FROM {name}").rows[0]
        assert rows == distinct, name


# What the columns hold.


def test_an_event_that_names_its_slot_only_in_its_data_has_it(tmp_path):
    line = level_change(0, 1, 2)
    line["data"]["slot_id"] = line.pop("slot_id")
    write_lines(tmp_path / "r" / "events.jsonl", line)
    with open_store(tmp_path) as store:
        assert store.select("SELECT slot_id, level_delta FROM seed_internal_levels").rows == [["r0c0", 1]]


def test_floats_that_were_not_finite_are_null_and_named_everywhere(tmp_path):
    write_run(tmp_path, "r", n_envs=1, episodes=1, epochs=3, policy="noop")
    diverged = event(
        "COUNTERFACTUAL_DELTA", slot_id="a", op=4, loss_after=None, non_finite={"loss_after": "NaN"}
    )
    write_lines(tmp_path / "r" / "events.jsonl", diverged)
    with open_store(tmp_path) as store:
        (row,) = store.select("SELECT loss_after, non_finite, op_name FROM counterfactual_deltas").rows
        assert row == [None, {"loss_after": "NaN"}, "GROW_INTERNAL"]


def test_timestamps_of_any_offset_are_utc(tmp_path):
    texts = [
        "2026-01-01T12:00:00+00:00",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T07:30:00-04:30",
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:00:00",
        "2026-01-01 12:00:00.000000",
        "20260101T120000Z",
        "2026-01-01T12:00:00.000000000+00:00",
    ]
    write_lines(tmp_path / "r" / "events.jsonl", *(event("X", timestamp=text) for text in texts))
    with open_store(tmp_path) as store:
        assert store.select("SELECT DISTINCT timestamp FROM raw_events").rows == [
            ["2026-01-01T12:00:00.000000+00:00"]
        ]
        assert store.select("SELECT * FROM ingest_errors").rows == []


@pytest.mark.parametrize("text", ["yesterday", "infinity", "epoch", "99999-01-01T00:00:00Z", "", "12:00"])
def test_a_timestamp_that_is_none_is_null_and_counted(tmp_path, text):
    write_lines(tmp_path / "r" / "events.jsonl", event("X", timestamp=text, a=1))
    with open_store(tmp_path) as store:
        assert store.select("SELECT timestamp, data FROM raw_events").rows == [[None, {"a": 1}]]
        assert store.select("SELECT kind, reason FROM ingest_errors").rows == [
            ["field", "timestamp reads as null"]
        ]


@pytest.mark.parametrize("seed", [42, -1, 2**31, 2**63, 2**64 - 1])
def test_a_random_seed_of_64_bits_is_kept_whole(tmp_path, seed):
    write_lines(tmp_path / "r" / "events.jsonl", event("TRAINING_STARTED", seed=seed))
    with open_store(tmp_path) as store:
        (row,) = store.select("SELECT seed, whole_seed FROM runs").rows
        assert row == [seed if seed < 2**31 else None, seed]
        assert store.select("SELECT * FROM ingest_errors").rows == []


def test_a_level_that_is_no_op_is_no_op_in_thrash_but_a_row_in_levels(tmp_path):
    lines = [level_change(0, 1, 2), level_change(1, 2, 2), level_change(2, 2, 1)]
    write_lines(tmp_path / "r" / "events.jsonl", *lines)
    with open_store(tmp_path) as store:
        assert store.select("SELECT n_ops, n_pairs, n_reversals FROM slot_thrash").rows == [[2, 1, 1]]
        assert store.select("SELECT count(*) FROM seed_internal_levels").rows == [[3]]


# Gaps.


def gaps(folder: Path) -> list[list[Any]]:
    with open_store(folder) as store:
        return store.select(
            "SELECT filename, kind, first_seq, last_seq, event_count, reason FROM event_gaps ORDER BY ALL"
        ).rows


def test_sequence_numbers_without_a_gap_are_none(tmp_path):
    write_run(tmp_path, "r")
    assert gaps(tmp_path) == []


def test_missing_and_repeated_numbers_are_told_per_file(tmp_path):
    for rank, numbers in ((0, [0, 1, 5, 6, 6, 6, 9]), (1, [2, 1, 0, 4])):
        path = tmp_path / "r" / f"events.rank{rank:05d}.jsonl"
        write_lines(path, *(event("X", seq, rank=rank) for seq in numbers))
    assert gaps(tmp_path) == [
        ["r/events.rank00000.jsonl", "gap", 2, 4, 3, None],
        ["r/events.rank00000.jsonl", "gap", 7, 8, 2, None],
        ["r/events.rank00000.jsonl", "repeat", 6, 6, 2, None],
        ["r/events.rank00001.jsonl", "gap", 3, 3, 1, None],
    ]


def test_a_gap_that_the_writer_recorded_has_its_reason(tmp_path):
    dropped = event("EVENTS_DROPPED", 4, count=3, first_seq=1, last_seq=3, reason="No space left on device")
    write_lines(tmp_path / "r" / "events.jsonl", event("X", 0), dropped, event("X", 5))
    assert gaps(tmp_path) == [["r/events.jsonl", "gap", 1, 3, 3, "No space left on device"]]


def test_files_without_numbers_have_no_gaps(tmp_path):
    write_lines(tmp_path / "r" / "events.jsonl", event("X"), event("X"))
    assert gaps(tmp_path) == []


# The predecessor's real telemetry; test_predecessor_views compares its answers.

needs_data = pytest.mark.skipif(DATA is None, reason="shared/data is not beside this checkout")


@pytest.fixture(scope="module")
def predecessor():
    assert DATA is not None
    with open_store(DATA / "esper_lite") as store:
        yield store


@needs_data
def test_no_line_of_the_predecessor_is_lost(predecessor):
    lines = sum(path.read_bytes().count(b"\n") for path in (DATA / "esper_lite").glob("*/events.jsonl"))
    assert predecessor.select("SELECT count(*) FROM raw_events").rows == [[lines]]
    assert predecessor.select("SELECT * FROM ingest_errors").rows == []
    assert predecessor.select("SELECT * FROM event_gaps").rows == []
    assert predecessor.as_of().bad_lines == 0


@needs_data
def test_the_predecessors_wait_reads_as_noop(predecessor):
    rows = predecessor.select("SELECT action_name, op, count(*) FROM decisions GROUP BY ALL").rows
    assert {op for action, op, _ in rows if action == "WAIT"} == {"NOOP"}
    assert all(action == op for action, op, _ in rows if action != "WAIT")


@needs_data
def test_its_runs_are_listed_though_nobody_can_say_how_they_ended(predecessor):
    runs = predecessor.runs()
    assert {run.run_dir for run in runs} == {path.name for path in (DATA / "esper_lite").iterdir()}
    assert all(run.status == "silent" and run.events > 1000 for run in runs)
