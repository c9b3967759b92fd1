"""Decisions of which no effect can be made: each is counted, and a refusal names what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_op_effect import EPISODES, FREE, HELD, by_method

from effect_support import write_confounded
from esper.karn.diagnosis import verdict_text
from esper.karn.diagnosis.comparison_words import comparison_text
from esper.karn.diagnosis.effect_words import answer_lines, effect_lines
from esper.karn.diagnosis.op_effect import RANDOMISED, WEIGHTED, EpisodeSums, OpAnswer
from esper.karn.effects import op_effect
from esper.karn.store.compare import compare_runs
from esper.karn.store.effects import op_answer
from esper.karn.store.evidence import thrash_verdict
from store_support import open_store
from support import read_events

Event = dict[str, Any]
N_DECISIONS = EPISODES * 30
IMPROBABLE = "their op_probs or holdout_probability can't be"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refusals") / "telemetry"
    write_confounded(folder, "held", HELD, episodes=EPISODES)
    write_confounded(folder, "free", FREE, episodes=EPISODES, seed=1)
    return folder


def changed(folder: Path, run: str, into: Path, change: Callable[[int, Event], None], kind: str) -> Path:
    """The run again, each event of a kind changed; returns the new telemetry folder."""
    events = read_events(folder / run / "events.jsonl")
    for number, event in enumerate(event for event in events if event["event_type"] == kind):
        change(number, event["data"])
    (into / run).mkdir()
    (into / run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return into


def answer(folder: Path, run: str, **asked: Any) -> OpAnswer:
    with open_store(folder) as store:
        return op_answer(store, run, "GROW_INTERNAL", **asked)


def percent(data: Event) -> None:
    data["op_probs"] = {name: 100 * p for name, p in data["op_probs"].items()}


def negative(data: Event) -> None:
    data["op_probs"] |= {"NOOP": -0.2, "PRUNE": data["op_probs"]["PRUNE"] + data["op_probs"]["NOOP"] + 0.2}


def not_a_number(data: Event) -> None:
    data["op_probs"]["PRUNE"] = None


def short_sum(data: Event) -> None:
    data["op_probs"] = {name: p / 2 for name, p in data["op_probs"].items()}


WRONG = [percent, negative, not_a_number, short_sum]


@pytest.mark.parametrize("spoil", WRONG)
def test_an_effect_from_probabilities_that_cannot_be_is_refused(folder, tmp_path, spoil):
    changed(folder, "free", tmp_path, lambda _, data: spoil(data), "ANALYTICS_SNAPSHOT")
    (found,) = answer(tmp_path, "free").effects
    assert found.refused is not None
    assert f"{N_DECISIONS} states are left out: {IMPROBABLE}" in found.refused


@pytest.mark.parametrize("spoil", WRONG)
def test_a_few_such_states_are_left_out_and_said(folder, tmp_path, spoil):
    changed(
        folder, "free", tmp_path, lambda i, data: spoil(data) if i % 90 == 5 else None, "ANALYTICS_SNAPSHOT"
    )
    (found,) = answer(tmp_path, "free").effects
    assert found.refused is None
    assert found.support is not None
    assert (found.support.impossible, found.support.states) == (8, N_DECISIONS - 8)
    assert any(f"8 states are left out: {IMPROBABLE}" in line for line in effect_lines([found]))


def test_above_a_twentieth_of_them_the_others_are_not_believed(folder, tmp_path):
    changed(
        folder, "free", tmp_path, lambda i, data: percent(data) if i % 10 == 5 else None, "ANALYTICS_SNAPSHOT"
    )
    (found,) = answer(tmp_path, "free").effects
    assert found.refused is not None
    assert f"72 states are left out: {IMPROBABLE}" in found.refused


def test_rounding_is_no_reason(folder, tmp_path):
    def dust(_: int, data: Event) -> None:
        data["op_probs"] = {name: 1.003 * p for name, p in data["op_probs"].items()} | {"GERMINATE": -1e-7}

    changed(folder, "free", tmp_path, dust, "ANALYTICS_SNAPSHOT")
    (found,) = answer(tmp_path, "free").effects
    assert found.refused is None
    assert found.support is not None
    assert found.support.impossible == 0


def test_a_holdout_in_per_cent_is_refused(folder, tmp_path):
    def in_percent(_: int, data: Event) -> None:
        if data.get("holdout_probability"):
            data["holdout_probability"] *= 100

    changed(folder, "held", tmp_path, in_percent, "ANALYTICS_SNAPSHOT")
    found = by_method(answer(tmp_path, "held"))[RANDOMISED]
    assert found.refused is not None
    assert IMPROBABLE in found.refused


def lost_loss(_: int, data: Event) -> None:
    data |= {"loss": None, "non_finite": {"loss": "NaN"}}


def no_loss(folder: Path, run: str, into: Path) -> Path:
    """The run with no finite loss, in the decisions neither."""
    changed(folder, run, into, lost_loss, "EPOCH_COMPLETED")
    (into / "half").mkdir()
    changed(into, run, into / "half", lambda _, data: data.update(loss_before=None), "ANALYTICS_SNAPSHOT")
    return into / "half"


def test_without_a_finite_loss_the_refusal_says_so(folder, tmp_path):
    (found,) = answer(no_loss(folder, "free", tmp_path), "free").effects
    assert found.refused == f"{N_DECISIONS} states are left out: no finite loss and accuracy before and after"


def test_a_horizon_beyond_every_episode_is_said(folder):
    (found,) = answer(folder, "free", horizon=100).effects
    assert found.refused == "no episode goes on for 100 epochs after such a decision"


class TestBeforeTheFirstEpoch:
    """Decisions at epoch 0, of which no epoch tells the state before."""

    def first_epochs_gone(self, folder: Path, into: Path, *, known: bool) -> Path:
        events = read_events(folder / "free/events.jsonl")
        kept = [e for e in events if (e["event_type"], e.get("epoch")) != ("EPOCH_COMPLETED", 1)]
        for event in kept:
            if event["event_type"] == "ANALYTICS_SNAPSHOT" and event["epoch"] == 1:
                event["epoch"] = event["data"]["inner_epoch"] = 0
                if not known:
                    del event["data"]["loss_before"]
        (into / "free").mkdir()
        (into / "free/events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in kept))
        return into

    def test_they_are_left_out_and_counted(self, folder, tmp_path):
        (found,) = answer(self.first_epochs_gone(folder, tmp_path, known=False), "free").effects
        assert found.support is not None
        assert (found.support.left_out, found.support.states) == (EPISODES, N_DECISIONS - EPISODES)

    def test_unless_they_say_themselves_what_was_before(self, folder, tmp_path):
        (found,) = answer(self.first_epochs_gone(folder, tmp_path, known=True), "free").effects
        (whole,) = answer(folder, "free").effects
        assert (found.support, found.loss) == (whole.support, whole.loss)


class TestVerdict:
    def test_a_holdout_that_tells_nothing_is_named_with_the_reason(self, tmp_path):
        write_confounded(tmp_path, "short", HELD, episodes=6)
        with open_store(tmp_path) as store:
            verdict = thrash_verdict(store, "short")
            found = by_method(op_answer(store, "short", "GROW_INTERNAL"))[RANDOMISED]
        text = verdict_text(verdict)
        assert f"A holdout was on, but its effect is refused: GROW: {found.refused}." in text
        assert "only randomised ops would tell" not in text

    def test_a_loss_that_was_not_finite_is_said_once_and_beside_another_run(self, folder, tmp_path):
        without = no_loss(folder, "free", tmp_path)
        epochs = EPISODES * 31
        note = f"loss was not finite in {epochs} of {epochs} epochs"
        write_confounded(without, "whole", FREE, episodes=8)
        with open_store(without) as store:
            verdict = thrash_verdict(store, "free")
            compared = compare_runs(store, "whole", "free")
            assert not any("finite" in text for text in thrash_verdict(store, "whole").notes)
        assert verdict_text(verdict).count(note) == 1
        assert f"note: the treatment: {note}" in comparison_text(compared)


def test_weighted_effects_of_a_run_with_a_holdout_are_not_spoiled_by_the_check(folder):
    found = by_method(answer(folder, "held"))[WEIGHTED]
    assert found.support is not None
    assert found.support.impossible == 0


def test_a_run_that_records_every_fifth_epoch_says_so(folder: Path, tmp_path: Path) -> None:
    events = read_events(folder / "held/events.jsonl")
    strided = [e for e in events if e["event_type"] != "EPOCH_COMPLETED" or e["epoch"] % 5 == 1]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in strided))
    found = answer(tmp_path, "run", horizon=2).effects[0]
    assert found.horizon == 10
    assert found.support is not None
    assert found.support.states > 0


def test_epochs_whose_lines_were_lost_are_not_taken_for_the_next_one(folder: Path, tmp_path: Path) -> None:
    events = read_events(folder / "held/events.jsonl")
    lost = [e for e in events if e["event_type"] != "EPOCH_COMPLETED" or e["epoch"] % 7 != 3]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in lost))
    whole, found = answer(folder, "held").effects[0], answer(tmp_path, "run").effects[0]
    assert whole.support is not None
    assert found.support is not None
    assert found.horizon == 1
    assert found.support.left_out > 0
    assert found.support.states + found.support.left_out <= whole.support.states


def test_beyond_chance_is_said_of_what_survives_four_looks() -> None:
    """Without an effect one 95 % interval in twenty leaves 0 out, and a run's answer has four of them."""
    claimed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sums = []
        for _ in range(20):
            op, noop = rng.normal(size=(2, 2, 10))
            sums.append(sums_of_means(op, noop))
        effect = op_effect("GROW_INTERNAL", RANDOMISED, sums)
        claimed += effect.accuracy_beyond != 0 or effect.loss_beyond != 0
    assert claimed <= 15


def sums_of_means(op: Any, noop: Any) -> EpisodeSums:
    """An episode of ten decisions of each kind, all of one weight; rows are accuracy and loss."""
    n = op.shape[1]
    arms = {f"{what}_{arm}": float(n) for what in ("w", "ww", "pw", "pww") for arm in ("op", "noop")}
    return EpisodeSums(
        states=2 * n, n_op=n, n_noop=n, **arms,
        accuracy_op=float(op[0].sum()), loss_op=float(op[1].sum()),
        accuracy_noop=float(noop[0].sum()), loss_noop=float(noop[1].sum()),
        in_overlap=2 * n, under_floor=0, min_op=0.5, min_noop=0.5, left_out=0,
    )  # fmt: skip


def test_advice_begins_with_what_costs_nothing(folder: Path) -> None:
    far = answer(folder, "free", horizon=900, env_id=1)
    advice = answer_lines(far)[-2]
    assert advice.startswith(
        "To have it told, ask of the whole run, or ask for a shorter horizon, or train again"
    )
