"""The four exit gates on counts that are easy to check by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from esper.karn.diagnosis.figures import (
    BlueprintUse,
    EntropyTrack,
    RunFigures,
    Settling,
    Thrash,
    track_entropy,
)
from esper.karn.diagnosis.gates import exit_gates
from esper.karn.diagnosis.intervals import Part, Sample

CALM = Thrash(
    label="not_thrashing",
    vs_random="less",
    reversals=Part(8, 50),
    free_reversals=Part(5, 40),
    undone=Part(2, 60),
    named=Part(0, 4),
    churn=0.4,
)


def use(blueprint: str, germinated: int) -> BlueprintUse:
    return BlueprintUse(blueprint=blueprint, germinated=germinated, fossilized=0, seed_epochs=0)


RUN = RunFigures(
    run_dir="run",
    status="finished",
    has_decisions=True,
    has_ladder=True,
    usage=Part(30, 100),
    thrash=CALM,
    settling=Settling(settled=Part(6, 8), early_net=2.0, late_net=0.5),
    lost_returns=0,
    episode_return=Sample(10, 1.0, 0.1),
    accuracy=Sample(0, None, None),
    loss=Sample(0, None, None),
    params=Sample(0, None, None),
    environments=[],
    blueprints=[use("conv", 90), use("ladder", 10)],
    entropy=EntropyTrack(source="updates", n=20, lowest=0.4, longest_collapse=0),
    rollbacks=0,
    settings={},
)
SPREAD = [use("conv", 50), use("ladder", 50)]


def gate(name: str, control: RunFigures | None = None, **changes: Any) -> Any:
    """The outcome of one gate: status, reason, value and threshold."""
    treatment = msgspec.structs.replace(RUN, **changes)
    return next(g for g in exit_gates(control or RUN, treatment) if g.name == name)


class TestUsage:
    @pytest.mark.parametrize(("ops", "status"), [(10, "passed"), (9, "failed"), (0, "failed")])
    def test_passes_from_a_tenth_of_the_decisions_on(self, ops, status):
        outcome = gate("usage", usage=Part(ops, 100))
        assert (outcome.status, outcome.value, outcome.threshold) == (status, ops / 100, 0.1)
        assert f"{ops} internal ops among 100 non-NOOP decisions" in outcome.reason

    def test_says_when_the_decisions_are_too_few_to_be_sure(self):
        assert "too few to be sure" in gate("usage", usage=Part(2, 10)).reason
        assert "too few" not in gate("usage", usage=Part(60, 100)).reason

    def test_a_policy_that_only_waits_fails(self):
        outcome = gate("usage", usage=Part(0, 0))
        assert (outcome.status, outcome.value) == ("failed", 0.0)
        assert "was NOOP" in outcome.reason

    def test_without_a_decision_it_is_not_measurable(self):
        outcome = gate("usage", has_decisions=False, usage=Part(5, 0))
        assert outcome.status == "not measurable"
        assert "ANALYTICS_SNAPSHOT" in outcome.reason

    def test_without_a_seed_with_levels_it_is_not_measurable(self):
        outcome = gate("usage", has_ladder=False, usage=Part(0, 100))
        assert outcome.status == "not measurable"
        assert "SEED_GERMINATED with max_level" in outcome.reason


class TestDominance:
    def test_passes_where_the_share_fell_and_the_return_did_not(self):
        outcome = gate("dominance", blueprints=SPREAD)
        assert outcome.status == "passed"
        assert outcome.value == pytest.approx(-0.4)
        assert "fell from 90 % to 50 %" in outcome.reason
        assert "did not fall beyond noise" in outcome.reason

    def test_fails_where_the_return_was_lost(self):
        # Standard error 0.1 * sqrt(2 / 10) = 0.045: 0.5 lower is 11 of them.
        outcome = gate("dominance", blueprints=SPREAD, episode_return=Sample(10, 0.5, 0.1))
        assert outcome.status == "failed"
        assert "the return fell, -0.5" in outcome.reason

    def test_a_return_lower_by_less_than_noise_is_not_lost(self):
        assert gate("dominance", blueprints=SPREAD, episode_return=Sample(10, 0.95, 0.1)).status == "passed"

    def test_a_higher_return_is_called_so(self):
        outcome = gate("dominance", blueprints=SPREAD, episode_return=Sample(10, 1.5, 0.1))
        assert "the return rose" in outcome.reason

    def test_a_small_fall_of_the_share_may_be_chance(self):
        outcome = gate("dominance", blueprints=[use("conv", 88), use("ladder", 12)])
        assert outcome.status == "failed"
        assert "may be chance" in outcome.reason

    def test_a_share_that_rose_fails(self):
        outcome = gate("dominance", blueprints=[use("conv", 95), use("ladder", 5)])
        assert outcome.status == "failed"
        assert "did not fall (90 % to 95 %)" in outcome.reason

    def test_the_top_blueprint_may_be_another_one_in_each_run(self):
        assert gate("dominance", blueprints=[use("ladder", 90), use("conv", 10)]).value == 0.0

    def test_too_few_germinations_or_episodes_are_not_measurable(self):
        outcome = gate("dominance", blueprints=[use("conv", 9)], episode_return=Sample(2, 1.0, 0.1))
        assert outcome.status == "not measurable"
        assert "treatment has 9 SEED_GERMINATED, 10 are needed" in outcome.reason
        assert "treatment has 2 EPISODE_OUTCOME with episode_reward" in outcome.reason
        blind = msgspec.structs.replace(RUN, blueprints=[])
        assert "control has 0 SEED_GERMINATED" in gate("dominance", control=blind).reason


class TestStability:
    def test_passes_where_entropy_stayed_up(self):
        outcome = gate("stability")
        assert (outcome.status, outcome.value, outcome.threshold) == ("passed", 0.4, 0.1)
        assert "lowest 40 %" in outcome.reason

    def test_fails_on_three_collapsed_updates_in_a_row(self):
        track = track_entropy("updates", [[(2.0, False), (0.19, False), (0.1, False), (0.05, False)]])
        outcome = gate("stability", entropy=track)
        assert outcome.status == "failed"
        assert "3 updates in a row" in outcome.reason

    def test_two_in_a_row_are_not_sustained(self):
        values = [2.0, 0.1, 0.1, 1.0, 0.1, 0.1]
        track = track_entropy("updates", [[(value, False) for value in values]])
        assert track is not None
        assert track.longest_collapse == 2
        assert gate("stability", entropy=track).status == "passed"

    def test_updates_of_two_processes_do_not_make_one_row(self):
        track = track_entropy("updates", [[(2.0, False), (0.1, False), (0.1, False)], [(0.1, False)] * 3])
        assert track is not None
        assert track.longest_collapse == 2

    def test_what_the_training_itself_flagged_counts(self):
        track = track_entropy("updates", [[(2.0, True)] * 3])
        assert gate("stability", entropy=track).status == "failed"

    def test_entropy_of_decisions_is_held_against_a_uniform_choice(self):
        track = track_entropy("decisions", [[(0.05, False)] * 3])
        outcome = gate("stability", entropy=track)
        assert outcome.status == "failed"
        assert "a uniform choice's" in outcome.reason
        assert "3 episodes in a row" in outcome.reason

    def test_a_policy_that_never_had_any_entropy_has_collapsed(self):
        assert gate("stability", entropy=track_entropy("updates", [[(0.0, False)] * 3])).status == "failed"

    def test_a_rollback_fails_whatever_entropy_says(self):
        assert gate("stability", rollbacks=1).status == "failed"
        outcome = gate("stability", rollbacks=2, entropy=None)
        assert (outcome.status, outcome.value) == ("failed", 2.0)
        assert outcome.reason.startswith("2 rollbacks")

    def test_without_entropy_it_is_not_measurable(self):
        outcome = gate("stability", entropy=track_entropy("updates", []))
        assert outcome.status == "not measurable"
        assert "no PPO_UPDATE_COMPLETED with entropy" in outcome.reason
        short = gate("stability", entropy=track_entropy("updates", [[(1.0, False)]]))
        assert short.status == "not measurable"
        assert "only 1 update, 3 are needed" in short.reason


class TestSettling:
    def test_passes_where_reversals_are_few_and_levels_come_to_rest(self):
        outcome = gate("settling")
        assert (outcome.status, outcome.value, outcome.threshold) == ("passed", 0.75, 0.5)
        assert "6 of 8 slot episodes" in outcome.reason
        assert "2.00 in an episode's first half, 0.50 in its second" in outcome.reason

    def test_fails_where_a_slot_thrashes(self):
        thrash = msgspec.structs.replace(
            CALM, label="thrashing", named=Part(1, 4), free_reversals=Part(36, 40)
        )
        outcome = gate("settling", thrash=thrash)
        assert (outcome.status, outcome.value, outcome.threshold) == ("failed", 0.9, 0.5)
        assert "1 of 4 judged slots thrash" in outcome.reason

    def test_fails_where_all_slots_together_reverse_beyond_chance(self):
        thrash = msgspec.structs.replace(CALM, vs_random="more", free_reversals=Part(30, 40))
        assert gate("settling", thrash=thrash).status == "failed"

    @pytest.mark.parametrize(
        ("settled", "early", "late", "status"),
        [
            (Part(4, 8), 2.0, 0.5, "passed"),
            (Part(3, 8), 2.0, 0.5, "failed"),
            (Part(8, 8), 0.5, 0.5, "failed"),
            (Part(8, 8), 0.0, 0.0, "passed"),
            (Part(8, 8), 0.5, 1.0, "failed"),
        ],
    )
    def test_rest_is_half_of_the_slot_episodes_and_a_falling_net_change(self, settled, early, late, status):
        outcome = gate("settling", settling=Settling(settled=settled, early_net=early, late_net=late))
        assert outcome.status == status

    def test_a_coin_flip_is_bounded_but_does_not_rest(self):
        thrash = msgspec.structs.replace(CALM, vs_random="indistinguishable", free_reversals=Part(20, 40))
        moving = Settling(settled=Part(1, 8), early_net=1.0, late_net=1.0)
        outcome = gate("settling", thrash=thrash, settling=moving)
        assert outcome.status == "failed"
        assert "do not come to rest" in outcome.reason

    def test_without_events_it_is_not_measurable(self):
        none = msgspec.structs.replace(
            CALM,
            label="insufficient_data",
            vs_random=None,
            reversals=Part(0, 0),
            free_reversals=Part(0, 0),
            undone=Part(0, 0),
            named=Part(0, 0),
        )
        assert gate("settling", thrash=none).reason == "no SEED_INTERNAL_LEVEL_CHANGED"
        blind = Settling(settled=Part(0, 0), early_net=None, late_net=None)
        outcome = gate("settling", settling=blind)
        assert outcome.status == "not measurable"
        assert "no EPOCH_COMPLETED" in outcome.reason

    def test_too_few_choices_are_not_measurable(self):
        few = msgspec.structs.replace(CALM, label="insufficient_data", free_reversals=Part(1, 4))
        outcome = gate("settling", thrash=few)
        assert outcome.status == "not measurable"
        assert "0.25 of 4 pairs: 10" in outcome.reason
