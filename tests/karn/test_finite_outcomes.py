"""What followed an op or an episode may be no number: what is said of the others says so."""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import fmean, stdev

import pytest
from test_sanctum_agrees_with_sql import read

from esper.karn.collector import TelemetryCollector
from esper.karn.diagnosis.comparison_words import comparison_text
from esper.karn.sanctum.feed import utc_now
from esper.karn.store.compare import compare_runs
from esper.karn.store.effects import op_answer
from esper.karn.store.evidence import thrash_verdict
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from store_support import open_store
from support import read_events

GROW, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.NOOP


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a NOOP before each GROW, and every third loss after a GROW no number."""
    folder = tmp_path_factory.mktemp("finite") / "telemetry"
    rng = random.Random(0)
    with TelemetryCollector(folder, "run") as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        recorder.seed_added(0, "a", level=0, max_level=1000)
        for epoch in range(1, 601):
            op = NOOP if epoch % 2 else GROW
            recorder.decision(0, None if op == NOOP else "a", op, legal_ops=3)
            if op == GROW:
                recorder.level_changed(0, "a", epoch // 2 - 1, epoch // 2)
            recorder.epoch_end(0, epoch, math.nan if epoch % 6 == 0 else rng.gauss(1, 0.1), 0.5)
    return folder


def test_n_is_of_the_values_that_the_mean_is_of(folder: Path) -> None:
    deltas = [
        event["data"]
        for event in read_events(folder / "run/events.jsonl")
        if event["event_type"] == "COUNTERFACTUAL_DELTA"
    ]
    warm = [row for row in deltas if row["baseline_sample_count"] >= 100]
    known = [row["loss_delta"] - row["baseline_loss_delta"] for row in warm if row["loss_delta"] is not None]
    assert 10 < len(known) < len(warm)
    half = 1.96 * stdev(known) / math.sqrt(len(known))
    with open_store(folder) as store:
        (effect,) = thrash_verdict(store).effects
        naive = op_answer(store, "run", "GROW_INTERNAL").naive
    assert effect.n == naive.n == len(known)
    assert effect.loss_advantage == pytest.approx(fmean(known))
    assert effect.loss_high == pytest.approx(fmean(known) + half, rel=1e-3)
    assert "and a loss that is a number" in effect.text
    (shown,) = read(folder / "run").snapshot(utc_now()).effects
    assert shown.text == effect.text


def episodes(folder: Path, name: str, rewards: list[float], blueprint: str) -> None:
    """Episodes of one germination and one decision, which earns the whole reward."""
    with TelemetryCollector(folder, name) as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        for reward in rewards:
            recorder.seed_added(0, "a", level=1, max_level=4, blueprint=blueprint)
            recorder.decision(0, None, NOOP, legal_ops=3, reward=reward)
            recorder.epoch_end(0, 1, 1.0, 0.5)
            recorder.episode_end(0)


def test_a_return_that_is_no_number_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """Otherwise a treatment whose episodes diverge would be judged by those that did not."""
    episodes(tmp_path, "control", [1.0] * 12, "conv")
    episodes(tmp_path, "treatment", [1.0, math.nan] * 6, "norm")
    with open_store(tmp_path) as store:
        found = compare_runs(store, "control", "treatment")
    (gate,) = [gate for gate in found.gates if gate.name == "dominance"]
    assert gate.status == "not measurable"
    assert gate.reason.startswith(
        "treatment has 6 episodes whose return is no finite number, beside 6 others"
    )
    assert "note: the treatment: reward was not finite in 6 of 12 episodes" in comparison_text(found)


def test_a_run_without_an_event_is_not_called_unchanged(tmp_path: Path) -> None:
    episodes(tmp_path, "control", [1.0] * 12, "conv")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/events.jsonl").touch()
    with open_store(tmp_path) as store:
        found = compare_runs(store, "control", "none")
    assert found.answer.startswith("Nothing can be compared: one side has too few values")


def test_per_cent_is_noticed(tmp_path: Path) -> None:
    with TelemetryCollector(tmp_path, "run") as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        recorder.epoch_end(0, 1, 1.0, 95.0)
    with open_store(tmp_path) as store:
        notes = thrash_verdict(store).notes
    assert "accuracy reaches 95, and is read as a fraction everywhere: divide per cent by 100" in notes


def test_ops_without_their_level_changes_are_noticed(tmp_path: Path) -> None:
    with TelemetryCollector(tmp_path, "run") as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        recorder.seed_added(0, "a", level=1, max_level=4)
        for epoch in range(1, 4):
            recorder.decision(0, "a", GROW, legal_ops=3)
            recorder.epoch_end(0, epoch, 1.0, 0.5)
    with open_store(tmp_path) as store:
        notes = thrash_verdict(store).notes
    assert any(note.startswith("3 decisions for GROW or SHRINK, and no SEED_INTERNAL") for note in notes)
