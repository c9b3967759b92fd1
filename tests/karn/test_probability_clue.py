"""The joint probability of op and slot is not held against the number of ops alone."""

from __future__ import annotations

import pytest

from esper.karn.collector import TelemetryCollector
from esper.karn.store.evidence import thrash_verdict
from esper.leyline import LifecycleOp
from esper.simic.training.recorder import InternalOpRecorder
from store_support import open_store


def flip(folder, slots, **said):
    """A policy that always reverses, visiting its slots in turn, one op an epoch."""
    with TelemetryCollector(folder, "run") as sink, InternalOpRecorder(sink) as recorder:
        recorder.training_started()
        for slot in slots:
            recorder.seed_added(0, slot, 1, 4)
        for epoch in range(1, 1 + 20 * len(slots)):
            turn = (epoch - 1) // len(slots)
            op = LifecycleOp.SHRINK_INTERNAL if turn % 2 else LifecycleOp.GROW_INTERNAL
            slot = slots[(epoch - 1) % len(slots)]
            recorder.decision(0, slot, op, legal_ops=3, **said)
            recorder.level_changed(0, slot, 1 + turn % 2, 2 - turn % 2)
            recorder.epoch_end(0, epoch, 1.0, 0.5)
    with open_store(folder) as store:
        return thrash_verdict(store).why.probability


def test_with_one_slot_the_joint_probability_is_the_ops_own(tmp_path):
    clue = flip(tmp_path, ["a"], probability=1.0)
    assert clue.numbers["times_uniform"] == pytest.approx(3.0)
    assert clue.numbers["n"] == 19


def test_a_holdouts_coin_is_no_part_of_it(tmp_path):
    held = {"intended_op": LifecycleOp.GROW_INTERNAL, "intended_slot": "a", "holdout_probability": 0.7}
    clue = flip(tmp_path, ["a"], probability=0.3 * 0.9, **held)
    assert clue.numbers["probability"] == pytest.approx(0.9)
    assert "reverses deliberately" in clue.text


def test_with_several_slots_it_is_divided_by_the_slots_own(tmp_path):
    slots = ["a", "b", "c", "d"]
    clue = flip(tmp_path, slots, probability=0.25, slot_probs=dict.fromkeys(slots, 0.25))
    assert clue.numbers["times_uniform"] == pytest.approx(3.0)


def test_with_several_slots_and_nothing_more_it_is_not_measurable(tmp_path):
    assert not flip(tmp_path, ["a", "b", "c", "d"], probability=0.25).measurable
