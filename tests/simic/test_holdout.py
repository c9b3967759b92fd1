"""The holdout: ops that the policy chose are held back by a coin, and all probabilities stay true."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from event_list import Killed, ListSink, tiny
from hypothesis import given
from hypothesis import strategies as st

from esper.leyline import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.decisions import Decision
from esper.simic.holdout import Holdout
from esper.simic.trainer import Progress, train

GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP
HELD = tiny(policy="random", n_slots=2, holdout=0.3, max_epochs=20)


def grow(p: float = 0.5) -> Decision:
    rest = (1 - p) / 2
    return Decision(
        op=GROW,
        slot="r0c0",
        probability=p * 0.25,
        op_probs={"NOOP": rest, "PRUNE": rest, "GROW_INTERNAL": p},
        slot_probs={"r0c0": 0.25, "r0c1": 0.75},
        legal_ops=3,
    )


def decisions(sink: ListSink) -> list[dict]:
    return [event.data for event in sink.of("ANALYTICS_SNAPSHOT")]


class TestCoin:
    def test_at_zero_nothing_changes(self) -> None:
        decision = grow()
        assert Holdout(0.0, seed=1).apply(decision) is decision

    @pytest.mark.parametrize("probability", [-0.1, 1.0, 1.5, math.nan])
    def test_a_probability_that_cant_be_is_refused(self, probability: float) -> None:
        with pytest.raises(TelemetryUsageError, match="holdout must be 0 to under 1"):
            Holdout(probability, seed=0)
        with pytest.raises(TelemetryUsageError, match="holdout must be 0 to under 1"):
            tiny(holdout=probability)

    def test_as_many_are_held_back_as_it_says(self) -> None:
        holdout = Holdout(0.2, seed=3)
        held = sum(holdout.apply(grow()).op == NOOP for _ in range(5_000))
        assert abs(held - 1_000) < 4 * math.sqrt(5_000 * 0.2 * 0.8)

    def test_one_that_is_held_back_is_a_noop_that_names_what_was_meant(self) -> None:
        holdout = Holdout(0.5, seed=0)
        both = {decision.op: decision for decision in (holdout.apply(grow()) for _ in range(30))}
        held, done = both[NOOP], both[GROW]
        assert (held.slot, held.slot_probs, held.blueprint) == (None, None, None)
        assert (done.slot, done.slot_probs) == ("r0c0", {"r0c0": 0.25, "r0c1": 0.75})
        for decision in (held, done):
            assert (decision.intended_op, decision.intended_slot) == (GROW, "r0c0")
            assert decision.holdout_probability == 0.5
            assert decision.op_probs == {"NOOP": 0.5, "PRUNE": 0.25, "GROW_INTERNAL": 0.25}
        assert held.probability == 0.5
        assert done.probability == pytest.approx(0.25 * 0.25)

    @pytest.mark.parametrize("op", [NOOP, LifecycleOp.PRUNE])
    def test_other_ops_are_left_alone_but_for_their_probabilities(self, op: LifecycleOp) -> None:
        meant = grow()
        decision = Decision(
            op=op,
            slot=None if op == NOOP else "r0c0",
            probability=meant.op_probs[op.name],
            op_probs=meant.op_probs,
        )
        holdout = Holdout(0.5, seed=0)
        after = holdout.apply(decision)
        assert (after.op, after.slot, after.intended_op) == (op, decision.slot, None)
        assert after.holdout_probability is None
        assert after.probability == after.op_probs[op.name]
        assert holdout.state_dict() == Holdout(0.5, seed=0).state_dict(), "no coin was thrown"

    @given(
        weights=st.lists(st.floats(0.001, 1), min_size=6, max_size=6),
        holdout=st.floats(0.001, 0.999),
        op=st.sampled_from(list(LifecycleOp)),
    )
    def test_probabilities_stay_probabilities_of_what_is_done(
        self, weights: list[float], holdout: float, op: LifecycleOp
    ) -> None:
        probs = {each.name: weight / sum(weights) for each, weight in zip(LifecycleOp, weights, strict=True)}
        before = Decision(op=op, slot=None, probability=probs[op.name], op_probs=probs, legal_ops=6)
        after = Holdout(holdout, seed=0).apply(before)
        assert sum(after.op_probs.values()) == pytest.approx(1)
        assert after.op_probs["PRUNE"] == probs["PRUNE"]
        internal = probs["GROW_INTERNAL"] + probs["SHRINK_INTERNAL"]
        assert after.op_probs["NOOP"] == pytest.approx(probs["NOOP"] + holdout * internal)
        assert after.probability == pytest.approx(after.op_probs[after.op.name])
        assert after.entropy == pytest.approx(-sum(p * math.log(p) for p in after.op_probs.values() if p))
        assert before.op_probs == probs, "the policy's own are not changed"


class TestTraining:
    def test_what_is_held_back_changes_no_level(self) -> None:
        sink = ListSink()
        train(HELD, sink)
        meant = [data for data in decisions(sink) if "intended_op" in data]
        done = [data for data in meant if data["action_name"] != "NOOP"]
        held = [data for data in meant if data["action_name"] == "NOOP"]
        assert len(done) > 5
        assert len(held) > 2
        assert len(sink.of("SEED_INTERNAL_LEVEL_CHANGED")) == len(done)
        assert all(data["intended_op"] == data["action_name"] for data in done)
        assert all(data["intended_slot_id"] == data["slot_id"] for data in done)
        assert not [data for data in held if "slot_id" in data or data["intervention_cost"]]
        assert {data["holdout_probability"] for data in meant} == {0.3}
        for data in decisions(sink):
            assert ("intended_op" in data) == (data["action_name"].endswith("_INTERNAL") or data in held)
            assert sum(data["op_probs"].values()) == pytest.approx(1)

    def test_without_one_nothing_is_said_of_it(self) -> None:
        sink = ListSink()
        train(tiny(policy="random"), sink)
        assert not [name for data in decisions(sink) for name in data if "intended" in name or "hold" in name]

    def test_a_killed_training_with_a_holdout_goes_on_as_if_it_had_not_been(self, tmp_path: Path) -> None:
        def stop(progress: Progress) -> None:
            if progress.done == 13:
                raise Killed

        whole, killed, resumed = ListSink(), ListSink(), ListSink()
        train(HELD, whole)
        config = msgspec.structs.replace(HELD, checkpoint_every=13)
        with pytest.raises(Killed):
            train(config, killed, on_epoch=stop, checkpoint_path=tmp_path / "checkpoint.pt")
        train(config, resumed, checkpoint_path=tmp_path / "checkpoint.pt", resume=True)
        pieces = Counter(map(msgspec.json.encode, [*decisions(killed), *decisions(resumed)]))
        assert pieces == Counter(map(msgspec.json.encode, decisions(whole)))
