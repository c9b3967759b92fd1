"""What the recorder takes: a number of any make is that number, the rest is refused by name."""

from __future__ import annotations

import json
import logging
import math
from decimal import Decimal

import numpy as np
import pytest
import torch

from esper.leyline import LifecycleOp, TelemetryEventType, TelemetryUsageError
from esper.simic.training.recorder import InternalOpRecorder

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


# Environments, slots, levels and epochs of any make are the plain ones.


def told(sink, env, slot, one, two):
    """One episode with every call, and what it wrote."""
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(env(), slot(), one(), two(), params=one())
    recorder.epoch_end(env(), one(), 1.0, 0.5)
    recorder.decision(env(), slot(), GROW, intended_op=GROW, intended_slot=slot())
    recorder.level_changed(env(), slot(), one(), two(), active_params=two())
    recorder.stage_changed(env(), slot(), "TRAINING", "BLENDING")
    recorder.epoch_end(env(), two(), 0.5, 0.5, reward=-1.0)
    recorder.seed_removed(env(), slot(), "policy")
    recorder.episode_end(env())
    events, sink.events = sink.events, []
    state = recorder.state_dict()
    assert [env for env, _ in state["envs"]] == [1]
    assert state["envs"][0][1]["episode"] == 1
    json.dumps(state)
    return events


MAKES = {
    "torch": torch.tensor,
    "one element": lambda value: torch.tensor([value]),
    "numpy": np.int64,
    "0-d array": np.array,
}


@pytest.mark.parametrize("make", MAKES)
def test_a_scalar_of_any_make_is_the_same_environment_level_and_epoch_each_time(sink, make):
    scalar = MAKES[make]
    expected = told(sink, lambda: 1, lambda: "r0c0", lambda: 1, lambda: 2)
    got = told(sink, lambda: scalar(1), lambda: np.str_("r0c0"), lambda: scalar(1), lambda: scalar(2))
    assert got == expected
    assert {type(event.slot_id) for event in got} == {str, type(None)}


NO_PLACE = {
    "env must be a whole number, not True": (True, "r0c0"),
    "env must be a whole number, not tensor(True)": (torch.tensor(True), "r0c0"),
    "env must be a whole number, not '0'": ("0", "r0c0"),
    "env must be a whole number, not 0.0": (0.0, "r0c0"),
    "env must be a whole number, not None": (None, "r0c0"),
    "env must be a whole number, not tensor([0, 1])": (torch.tensor([0, 1]), "r0c0"),
    "env must be a whole number, not array([0, 1])": (np.array([0, 1]), "r0c0"),
    "env 0: slot must be a text, not 3": (0, 3),
    "env 0: slot must be a text, not ['r0c0']": (0, ["r0c0"]),
}
OF_A_SLOT = {
    "seed_added": (1, 4),
    "level_changed": (1, 2),
    "stage_changed": ("TRAINING", "BLENDING"),
    "seed_removed": ("policy",),
    "decision": (NOOP,),
}


@pytest.mark.parametrize("text", NO_PLACE)
def test_no_environment_and_no_slot_is_refused_by_every_call(sink, recorder, text):
    env, slot = NO_PLACE[text]
    calls = {name: (env, slot, *rest) for name, rest in OF_A_SLOT.items()}
    if slot == "r0c0":
        calls |= {"epoch_end": (env, 2, 1.0, 0.5), "episode_end": (env,)}
    before = recorder.state_dict()
    for name, arguments in calls.items():
        with pytest.raises(TelemetryUsageError) as caught:
            getattr(recorder, name)(*arguments)
        assert str(caught.value) == text
    assert sink.events == []
    assert recorder.state_dict() == before


# Numbers.


REFUSED = {
    "env 0: loss must be a number, not '1.0'": ("epoch_end", (0, 2, "1.0", 0.5), {}),
    "env 0: accuracy must be a number, not '50 %'": ("epoch_end", (0, 2, 1.0, "50 %"), {}),
    "env 0: loss must be a number, not [1.0]": ("epoch_end", (0, 2, [1.0], 0.5), {}),
    "env 0: loss must be a number, not True": ("epoch_end", (0, 2, True, 0.5), {}),
    "env 0: loss must be a number, not tensor([1., 2.])": (
        "epoch_end",
        (0, 2, torch.tensor([1.0, 2.0]), 0.5),
        {},
    ),
    "env 0: epoch must be a whole number, not '2'": ("epoch_end", (0, "2", 1.0, 0.5), {}),
    "env 0: epoch must be a whole number, not nan": ("epoch_end", (0, math.nan, 1.0, 0.5), {}),
    "env 0: reward must be a number, not '1'": ("epoch_end", (0, 2, 1.0, 0.5), {"reward": "1"}),
    "env 9: train_loss must be a number, not '1'": ("epoch_end", (9, 2, 1.0, 0.5), {"train_loss": "1"}),
    "env 0: level must be a whole number, not '1'": ("seed_added", (0, "r0c1", "1", 4), {}),
    "env 0: max_level must be a whole number, not 4.5": ("seed_added", (0, "r0c1", 1, 4.5), {}),
    "env 0: from_level must be a whole number, not None": ("level_changed", (0, "r0c0", None, 2), {}),
    "env 0: to_level must be a whole number, not '2'": ("level_changed", (0, "r0c0", 1, "2"), {}),
    "env 0: probability must be a number, not '50'": ("decision", (0, "r0c0", GROW), {"probability": "50"}),
    "env 0: holdout_probability must be a number, not [0.1]": (
        "decision",
        (0, "r0c0", GROW),
        {"holdout_probability": [0.1]},
    ),
    "env 0: op_probs['NOOP'] must be a number, not '1'": (
        "decision",
        (0, "r0c0", GROW),
        {"op_probs": {"NOOP": "1"}},
    ),
    "env 9: reward must be a number, not 'high'": ("decision", (9, None, NOOP), {"reward": "high"}),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_number_is_refused_at_the_call_that_brings_it(sink, recorder, text):
    name, arguments, named = REFUSED[text]
    before = recorder.state_dict()
    with pytest.raises(TelemetryUsageError) as caught:
        getattr(recorder, name)(*arguments, **named)
    assert str(caught.value) == text
    assert sink.events == []
    assert recorder.state_dict() == before


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.25),
        np.array(0.25),
        torch.tensor(0.25),
        torch.tensor([0.25]),
        np.longdouble(0.25),
        Decimal("0.25"),
    ],
    ids=["float32", "0-d array", "tensor", "one element", "long double", "Decimal"],
)
def test_a_number_of_any_make_is_written_as_a_plain_one(sink, recorder, value):
    probs = {"op_probs": {"NOOP": value}, "slot_probs": {"r0c0": value}}
    recorder.decision(0, "r0c0", GROW, probability=value, entropy=value, **probs)
    recorder.epoch_end(0, 2, value, value, reward=value)
    decision, epoch = (event.payload for event in sink.events)
    values = [getattr(decision, name) for name in ("op_probability", "op_entropy", "reward")]
    values += [decision.op_probs["NOOP"], decision.slot_probs["r0c0"], epoch.loss, epoch.accuracy]
    assert values == [0.25] * 7
    assert {type(value) for value in values} == {float}


def test_one_number_too_many_is_shown_short_and_on_one_line(recorder):
    with pytest.raises(TelemetryUsageError) as caught:
        recorder.epoch_end(0, 2, torch.zeros(100, 100), 0.5)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


# What was not measured.


@pytest.mark.parametrize(("loss", "accuracy"), [(None, None), (None, 0.5), (1.0, None)])
def test_an_epoch_without_a_measurement_is_no_outcome_and_no_baseline(sink, recorder, loss, accuracy):
    recorder.decision(0, "r0c0", GROW, reward=0.0)
    recorder.level_changed(0, "r0c0", 1, 2)
    recorder.epoch_end(0, 2, loss, accuracy)  # the op's outcome is not known
    recorder.decision(0, "r0c0", GROW, reward=0.0)
    recorder.level_changed(0, "r0c0", 2, 3)
    recorder.epoch_end(0, 3, 0.5, 0.5)  # nor is the state before this op
    recorder.decision(0, "r0c0", NOOP, reward=0.0)
    recorder.epoch_end(0, 4, loss, accuracy)
    recorder.decision(0, "r0c0", NOOP, reward=0.0)
    recorder.epoch_end(0, 5, 0.25, 0.75)
    assert sink.of_type(T.COUNTERFACTUAL_DELTA) == []
    assert recorder.state_dict()["counterfactual"]["baseline_loss_delta"]["_count"] == 0
    recorder.level_changed(0, "r0c0", 3, 4)
    recorder.epoch_end(0, 6, 0.125, 0.75)
    (outcome,) = sink.of_type(T.COUNTERFACTUAL_DELTA)
    assert (outcome.payload.loss_delta, outcome.payload.epochs_elapsed) == (-0.125, 1)
    epochs = [(event.payload.loss, event.payload.accuracy) for event in sink.of_type(T.EPOCH_COMPLETED)]
    assert epochs == [(loss, accuracy), (0.5, 0.5), (loss, accuracy), (0.25, 0.75), (0.125, 0.75)]
    assert recorder.superseded_ops == 0


def test_the_first_epoch_and_a_whole_episode_may_go_unmeasured(sink):
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", 1, 4)
    for epoch in (1, 2):
        recorder.decision(0, "r0c0", GROW)
        recorder.level_changed(0, "r0c0", epoch, epoch + 1)
        recorder.epoch_end(0, epoch, None, None, reward=1.0)
    recorder.episode_end(0)
    (outcome,) = sink.of_type(T.EPISODE_OUTCOME)
    assert (outcome.payload.loss, outcome.payload.accuracy, outcome.payload.episode_reward) == (
        None,
        None,
        2.0,
    )


# Levels that do not follow from those before.


def test_a_level_that_does_not_follow_is_said_once_and_recorded_as_told(sink, recorder, caplog):
    with caplog.at_level(logging.WARNING, logger="karn"):
        for epoch in range(2, 60):
            recorder.level_changed(0, "r0c0", 2, 3)
            recorder.epoch_end(0, epoch, 1.0, 0.5)
    (record,) = caplog.records
    assert record.name == "karn"
    text = record.getMessage()
    assert "env 0 slot 'r0c0': level_changed was told from_level 2, but the level known is 1" in text
    assert "a level change or an episode_end was not reported" in text
    assert "\n" not in text
    changes = [
        (event.payload.from_level, event.payload.to_level)
        for event in sink.of_type(T.SEED_INTERNAL_LEVEL_CHANGED)
    ]
    assert changes == [(2, 3)] * 58


def test_a_log_handler_that_fails_never_stops_a_training(recorder):
    class Failing(logging.Handler):
        def emit(self, record):
            raise OSError("no space left")

    handler = Failing()
    logging.getLogger("karn").addHandler(handler)
    try:
        recorder.level_changed(0, "r0c0", 2, 3)
    finally:
        logging.getLogger("karn").removeHandler(handler)


def test_levels_that_follow_are_never_spoken_of(recorder, caplog):
    with caplog.at_level(logging.WARNING, logger="karn"):
        recorder.level_changed(0, "r0c0", 1, 2)
        recorder.level_changed(0, "r0c0", 2, 1)
        recorder.episode_end(0, keep_seeds=True)
        recorder.level_changed(0, "r0c0", 1, 2)
        recorder.seed_removed(0, "r0c0", "policy")
        recorder.seed_added(0, "r0c0", 3, 4)
        recorder.level_changed(0, "r0c0", 3, 2)
        resumed = InternalOpRecorder(recorder._sink)
        resumed.load_state_dict(json.loads(json.dumps(recorder.state_dict())))
        resumed.level_changed(0, "r0c0", 2, 1)
    assert caplog.records == []
