"""Every number of views, queries and verdict equals an independent reckoning from the JSONL (oracle.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from esper.karn.collector import TelemetryCollector
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.karn.store.views import shipped_queries
from store_support import DATA, SteppedTraining, event, level_change, open_store, write_lines
from support import ROOT, write_run

EXAMPLES = ROOT / "examples" / "telemetry"
RECORDED = sorted(path.parent for path in EXAMPLES.glob("*/events*.jsonl"))

COUNTED = [
    "max_level",
    "n_ops",
    "grow_count",
    "shrink_count",
    "net_change",
    "absolute_net_change",
    "n_pairs",
    "n_reversals",
    "n_undone",
]


def approx(value: Any) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def query(store: Store, name: str, **given: Any) -> list[dict[str, Any]]:
    defaults = {param.name: param.default for param in shipped_queries()[name].params}
    return store.select(shipped_queries()[name].body, defaults | given).dicts()


def assert_all_numbers_agree(store: Store, folder: Path) -> None:
    """Compare everything that is reckoned over one run."""
    events = oracle.read_run(folder)
    slots = oracle.slots_of(events)
    assert_slots_agree(store, folder.name, slots)
    assert_summaries_agree(store, folder.name, slots)
    assert_queries_agree(store, folder.name, events, slots)
    assert_verdict_agrees(store, folder.name, events, slots)


def assert_slots_agree(store: Store, run: str, slots: dict[oracle.Key, oracle.Slot]) -> None:
    rows = store.select("SELECT * FROM slot_thrash WHERE run_dir = $1", [run]).dicts()
    assert {(row["env_id"], row["slot_id"]) for row in rows} == slots.keys()
    for row in rows:
        slot = slots[row["env_id"], row["slot_id"]]
        for name in COUNTED:
            assert row[name] == getattr(slot, name), name
        reversals, pairs = slot.free_pairs
        interval = oracle.score_interval(reversals, pairs) or (None, None)
        assert (row["n_free_reversals"], row["n_free_pairs"]) == (reversals, pairs)
        assert row["reversal_rate"] == approx(oracle.share(slot.n_reversals, slot.n_pairs))
        assert row["free_reversal_rate"] == approx(oracle.share(reversals, pairs))
        assert (row["free_low"], row["free_high"]) == (approx(interval[0]), approx(interval[1]))
        assert row["undone_within_5"] == approx(slot.n_undone / slot.n_ops)
        assert row["churn"] == approx(1 - slot.absolute_net_change / slot.n_ops)


def assert_summaries_agree(store: Store, run: str, slots: dict[oracle.Key, oracle.Slot]) -> None:
    by_env = store.select("SELECT * FROM internal_op_summary_by_env WHERE run_dir = $1", [run]).dicts()
    assert {(row["env_id"], row["slot_id"]) for row in by_env} == slots.keys()
    for row in by_env:
        assert_summary_agrees(row, [slots[row["env_id"], row["slot_id"]]])
    rows = store.select("SELECT * FROM internal_op_summary WHERE run_dir = $1", [run]).dicts()
    assert {row["slot_id"] for row in rows} == {slot_id for _, slot_id in slots}
    for row in rows:
        parts = [slot for (_, slot_id), slot in slots.items() if slot_id == row["slot_id"]]
        assert row["env_count"] == len(parts)
        assert_summary_agrees(row, parts)


def assert_summary_agrees(row: dict[str, Any], parts: list[oracle.Slot]) -> None:
    assert row["total_ops"] == sum(part.n_ops for part in parts)
    assert row["grow_count"] == sum(part.grow_count for part in parts)
    assert row["shrink_count"] == sum(part.shrink_count for part in parts)
    assert row["net_level_change"] == sum(part.level_delta for part in parts)
    params = [number for part in parts for number in part.params]
    assert row["avg_active_params"] == approx(fmean(params) if params else None)
    levels = [level for part in parts for level in part.levels]
    assert (row["max_reached_level"], row["min_reached_level"]) == (max(levels), min(levels))


def assert_queries_agree(
    store: Store, run: str, events: list[dict[str, Any]], slots: dict[oracle.Key, oracle.Slot]
) -> None:
    ops, choices = oracle.usage(events)
    expected = [[run, ops, choices, round(100 * ops / choices, 1) if choices else None]]
    rows = [list(row.values()) for row in query(store, "internal_op_usage", run_dir=run)]
    assert [row[:3] for row in rows] == ([row[:3] for row in expected] if ops or rows else [])
    if rows and choices:
        assert rows[0][3] == pytest.approx(expected[0][3], abs=0.1)

    for threshold in (0.0, 0.5):
        found = {
            row["slot_id"]: row for row in query(store, "thrash_check", run_dir=run, threshold=threshold)
        }
        windows: dict[str, list[float]] = {}
        for metrics in oracle.metrics_written(events):
            windows.setdefault(metrics["slot_id"], []).append(metrics["reversal_rate"])
        assert found.keys() == {slot_id for slot_id, rates in windows.items() if fmean(rates) > threshold}
        for slot_id, row in found.items():
            parts = [slot for (_, name), slot in slots.items() if name == slot_id]
            assert row["avg_reversal_rate"] == approx(fmean(windows[slot_id]))
            assert row["max_reversal_rate"] == approx(max(windows[slot_id]))
            assert row["samples"] == len(windows[slot_id])
            pairs = sum(part.n_pairs for part in parts)
            assert row["n_pairs"] == pairs
            assert row["reversal_rate"] == approx(oracle.share(sum(p.n_reversals for p in parts), pairs))
            free = [part.free_pairs for part in parts]
            assert row["n_free_pairs"] == sum(n for _, n in free)

    for min_samples in (0, 10):
        rows = query(store, "counterfactual_by_op", run_dir=run, min_baseline_samples=min_samples)
        by_op = {row["op"]: row for row in rows}
        for op in (4, 5):
            losses, accuracies = oracle.advantages(events, op, min_samples)
            assert (op in by_op) == bool(losses)
            if losses:
                assert by_op[op]["n"] == len(losses)
                assert by_op[op]["avg_loss_advantage"] == approx(fmean(losses))
                assert by_op[op]["avg_accuracy_advantage"] == approx(fmean(accuracies))


def assert_verdict_agrees(
    store: Store, run: str, events: list[dict[str, Any]], slots: dict[oracle.Key, oracle.Slot]
) -> None:
    verdict = thrash_verdict(store, run)
    named = oracle.named(slots)
    looks = oracle.looks_of(slots)
    judged = [key for key, slot in slots.items() if slot.free_pairs[1] >= 10]
    assert {(slot.env_id, slot.slot_id) for slot in verdict.slots if slot.thrashing} == named
    assert verdict.label == ("thrashing" if named else "not_thrashing" if judged else "insufficient_data")
    assert (verdict.n_slots, verdict.n_judged, verdict.n_thrashing) == (len(slots), len(judged), len(named))
    for report in verdict.slots:
        slot = slots[report.env_id, report.slot_id]
        interval = oracle.score_interval(*slot.free_pairs, looks) or (None, None)
        assert report.corrected_low == approx(interval[0])
        assert (report.since is not None) == report.thrashing

    pairs = sum(slot.n_pairs for slot in slots.values())
    free = [slot.free_pairs for slot in slots.values()]
    n_ops = sum(slot.n_ops for slot in slots.values())
    assert verdict.n_pairs == pairs
    assert verdict.reversal_rate == approx(oracle.share(sum(s.n_reversals for s in slots.values()), pairs))
    assert verdict.n_free_pairs == sum(n for _, n in free)
    assert verdict.free_reversal_rate == approx(
        oracle.share(sum(k for k, _ in free), sum(n for _, n in free))
    )
    assert verdict.undone_within_5 == approx(oracle.share(sum(s.n_undone for s in slots.values()), n_ops))
    if n_ops:
        net = sum(slot.absolute_net_change for slot in slots.values())
        assert verdict.churn == approx(1 - net / n_ops)

    rates = oracle.op_rates(events)
    for env in verdict.environments:
        own = [key for key in slots if key[0] == env.env_id]
        assert env.slots == len(own)
        assert env.judged == len([key for key in own if key in judged])
        assert env.thrashing == len([key for key in own if key in named])
        assert env.thrashing_share == approx(oracle.share(env.thrashing, env.judged))
        assert env.internal_op_rate == approx(rates.get(env.env_id))
    assert sum(rank.thrashing for rank in verdict.ranks) == len(named)

    ops, choices = oracle.usage(events)
    assert (verdict.usage.internal_ops, verdict.usage.decisions) == (ops, choices)
    assert verdict.usage.share == approx(oracle.share(ops, choices))
    assert verdict.usage.passed == (ops / choices >= 0.1 if choices else None)

    effects = {effect.op_name: effect for effect in verdict.effects}
    for op, name in ((4, "GROW_INTERNAL"), (5, "SHRINK_INTERNAL")):
        everything, _ = oracle.advantages(events, op, 0)
        assert (name in effects) == bool(everything)
        if everything:
            losses, accuracies = oracle.advantages(events, op, 100)
            effect = effects[name]
            assert (effect.n, effect.n_all) == (len(losses), len(everything))
            assert effect.loss_advantage == approx(fmean(losses) if losses else None)
            assert effect.accuracy_advantage == approx(fmean(accuracies) if accuracies else None)
            low, high = oracle.mean_interval(losses)
            assert (effect.loss_low, effect.loss_high) == (approx(low), approx(high))


# Runs of the recorder.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "training",
    [
        {"policy": "random", "n_envs": 3, "episodes": 3, "epochs": 60, "prune_at": 25},
        {"policy": "oscillate", "epochs": 30, "max_level": 2, "fossilize_at": 20},
        {"policy": "settle", "epochs": 30, "n_envs": 1},
        {"policy": "random", "max_level": 1, "epochs": 40},
        {"policy": "noop", "epochs": 5},
    ],
    ids=lambda training: "-".join(map(str, training.values())),
)
def test_a_generated_run_is_reckoned_alike(telemetry, training, seed):
    path = write_run(telemetry, "run", seed=seed, **training)
    with open_store(telemetry) as store:
        assert_all_numbers_agree(store, path.parent)
    events = oracle.read_run(path.parent)
    assert oracle.metrics_written(events) == oracle.windowed_metrics(events)


def test_so_is_a_long_run_of_two_ranks_whose_windows_roll_over(telemetry):
    for rank in range(2):
        with TelemetryCollector(telemetry, "run", rank=rank, world_size=2, envs_per_rank=2) as collector:
            SteppedTraining(collector, episodes=2, epochs=250, seed=rank).start(rank=rank).run_to()
    with open_store(telemetry) as store:
        assert_all_numbers_agree(store, telemetry / "run")
    events = oracle.read_run(telemetry / "run")
    written = oracle.metrics_written(events)
    assert written == oracle.windowed_metrics(events)
    assert {metrics["env_id"] for metrics in written} == {0, 1, 2, 3}


def test_two_environments_that_only_grow_and_two_that_only_shrink_never_reverse(telemetry):
    lines = []
    for step in range(20):
        for env in range(4):
            before, after = (step, step + 1) if env < 2 else (20 - step, 19 - step)
            lines.append(level_change(len(lines), before, after, env_id=env, epoch=step, max_level=20))
    write_lines(telemetry / "run" / "events.jsonl", *lines)
    with open_store(telemetry) as store:
        assert store.select("SELECT DISTINCT reversal_rate FROM slot_thrash").rows == [[0.0]]
        assert thrash_verdict(store).reversal_rate == 0.0
        assert_all_numbers_agree(store, telemetry / "run")


# Runs that the reference trainer recorded.


def test_two_runs_are_recorded_one_of_each_policy():
    if not EXAMPLES.is_dir():
        pytest.skip("examples/telemetry is not recorded yet")
    names = [folder.name for folder in RECORDED]
    assert any("oscillate" in name for name in names)
    assert any("heuristic" in name for name in names)


@pytest.fixture(scope="module")
def recorded() -> Iterator[Store]:
    with open_store(EXAMPLES) as store:
        yield store


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_a_recorded_run_is_reckoned_alike(recorded, folder):
    assert_all_numbers_agree(recorded, folder)
    events = oracle.read_run(folder)
    assert oracle.metrics_written(events) == oracle.windowed_metrics(events)


@pytest.mark.parametrize("folder", [f for f in RECORDED if "oscillate" in f.name], ids=lambda f: f.name)
def test_the_oscillating_run_is_named_thrashing_with_its_slots_and_since_when(recorded, folder):
    verdict = thrash_verdict(recorded, folder.name)
    assert verdict.label == "thrashing"
    named = [slot for slot in verdict.slots if slot.thrashing]
    assert named
    assert all(slot.since is not None and slot.since.timestamp for slot in named)


@pytest.mark.parametrize("folder", [f for f in RECORDED if "heuristic" in f.name], ids=lambda f: f.name)
def test_the_heuristic_run_can_be_judged_and_no_slot_is_over_caution(recorded, folder):
    verdict = thrash_verdict(recorded, folder.name)
    assert verdict.label == "not_thrashing"
    judged = [slot for slot in verdict.slots if slot.n_pairs >= 10]
    assert len(judged) >= 3
    assert all(slot.band in ("healthy", "watch") for slot in judged)


# The predecessor's telemetry: no internal op, many decisions.


@pytest.mark.skipif(DATA is None, reason="shared/data is not beside this checkout")
def test_the_predecessors_runs_are_reckoned_alike():
    assert DATA is not None
    with open_store(DATA / "esper_lite") as store:
        for folder in sorted((DATA / "esper_lite").iterdir()):
            assert_all_numbers_agree(store, folder)
            assert thrash_verdict(store, folder.name).usage.decisions > 0


# Any stream of events.

SLOTS = st.sampled_from(["r0c0", "r0c1", "r1c0"])
PLACES = {"env_id": st.integers(0, 2), "slot_id": SLOTS, "episode_idx": st.integers(0, 1)}


@st.composite
def level_changes(draw: st.DrawFn) -> dict[str, Any]:
    before, after = draw(st.lists(st.integers(0, 4), min_size=2, max_size=2, unique=True))
    line = level_change(
        0, before, after, max_level=draw(st.sampled_from([4, 4, 4, 1, 2])), epoch=draw(st.integers(0, 60))
    )
    line["data"] |= {name: draw(values) for name, values in PLACES.items()}
    line["slot_id"] = line["data"].pop("slot_id")
    return line | {"seed_id": draw(st.sampled_from(["a", "a", "b", None]))}


FLOATS = st.floats(-10, 10)
OUTCOMES = st.builds(
    lambda slot_id, **data: event("COUNTERFACTUAL_DELTA", slot_id=slot_id, epoch=1, **data),
    slot_id=SLOTS,
    op=st.sampled_from([4, 5]),
    loss_delta=FLOATS,
    accuracy_delta=FLOATS,
    baseline_loss_delta=FLOATS,
    baseline_accuracy_delta=FLOATS,
    baseline_sample_count=st.sampled_from([0, 9, 10, 99, 100, 1000]),
)
DECISIONS = st.builds(
    lambda slot_id, **data: event("ANALYTICS_SNAPSHOT", slot_id=slot_id, kind="last_action", **data),
    slot_id=SLOTS,
    action_name=st.sampled_from(["NOOP", "WAIT", "GROW_INTERNAL", "SHRINK_INTERNAL", "PRUNE"]),
    ladder_present=st.sampled_from([True, False, None]),
    env_id=st.integers(0, 2),
)
METRICS = st.builds(
    lambda slot_id, rate: event(
        "INTERNAL_OP_METRICS",
        slot_id=slot_id,
        internal_op_density=0.1,
        net_level_change=0,
        reversal_rate=rate,
    ),
    slot_id=SLOTS,
    rate=st.floats(0, 1),
)
STREAMS = st.lists(st.one_of(level_changes(), level_changes(), OUTCOMES, DECISIONS, METRICS), max_size=150)


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path, Iterator[int]]]:
    folder = tmp_path_factory.mktemp("telemetry")
    with Store(folder) as store:
        yield store, folder, count()


@given(stream=STREAMS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_stream_is_reckoned_alike(growing, stream):
    store, folder, numbers = growing
    run = folder / f"run{next(numbers)}"
    lines = [line | {"seq": seq, "rank": 0, "event_id": f"e{seq}"} for seq, line in enumerate(stream)]
    write_lines(run / "events.jsonl", *lines)
    store.refresh()
    assert store.select("SELECT count(*) FROM ingest_errors").rows == [[0]]
    if lines:
        assert_all_numbers_agree(store, run)


@given(
    directions=st.lists(st.booleans(), min_size=1, max_size=120),
    max_level=st.integers(1, 5),
    gaps=st.lists(st.integers(1, 9), min_size=120, max_size=120),
)
@settings(max_examples=25, deadline=None)
def test_any_walk_up_and_down_a_ladder_is_reckoned_alike(growing, directions, max_level, gaps):
    store, folder, numbers = growing
    run = folder / f"run{next(numbers)}"
    lines, level, epoch = [], 0, 0
    for up, gap in zip(directions, gaps, strict=False):
        target = level + (1 if up else -1)
        epoch += gap
        if 0 <= target <= max_level:
            lines.append(level_change(len(lines), level, target, epoch=epoch, max_level=max_level))
            level = target
    write_lines(run / "events.jsonl", *lines)
    store.refresh()
    if lines:
        assert_all_numbers_agree(store, run)


def test_the_oracle_reads_json_alone():
    """It can only be a judge if it shares nothing with what it judges."""
    source = Path(oracle.__file__).read_text()
    assert "esper" not in source
    assert "duckdb" not in source
    assert json.__name__ in source
