"""Slots: what is allowed when, what is reported, and that a refusal changes and reports nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.kasmina import Seed, SeedSlot, Stage
from esper.leyline import LifecycleOp

GERMINATE, PRUNE, FOSSILIZE = LifecycleOp.GERMINATE, LifecycleOp.PRUNE, LifecycleOp.FOSSILIZE
GROW, SHRINK = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL


class Heard:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []

    def germinated(self, slot_id: str, blueprint: str, seed: Seed) -> None:
        self.all.append(("germinated", slot_id, blueprint, seed.level, seed.max_level))

    def level_changed(self, slot_id: str, from_level: int, to_level: int, active_params: int) -> None:
        self.all.append(("level", slot_id, from_level, to_level, active_params))

    def stage_changed(self, slot_id: str, from_stage: str, to_stage: str) -> None:
        self.all.append(("stage", slot_id, from_stage, to_stage))

    def pruned(self, slot_id: str) -> None:
        self.all.append(("pruned", slot_id))

    def fossilized(self, slot_id: str) -> None:
        self.all.append(("fossilized", slot_id))


def new_slot(max_level: int = 4) -> tuple[SeedSlot, Heard]:
    heard = Heard()
    return SeedSlot("r0c0", 2, max_level, heard), heard


def allowed(slot: SeedSlot) -> set[LifecycleOp]:
    return {op for op in LifecycleOp if slot.allows(op)}


def carry_out(slot: SeedSlot, op: LifecycleOp) -> bool:
    return {
        GERMINATE: lambda: slot.germinate("conv_ladder"),
        PRUNE: slot.prune,
        FOSSILIZE: slot.fossilize,
        GROW: slot.grow,
        SHRINK: slot.shrink,
    }[op]()


class TestWhatIsAllowed:
    def test_an_empty_slot_only_germinates_and_is_the_identity(self) -> None:
        slot, _ = new_slot()
        x = torch.randn(1, 2, 4, 4)
        assert allowed(slot) == {LifecycleOp.NOOP, GERMINATE}
        assert slot(x) is x

    def test_a_new_ladder_grows_shrinks_and_can_be_pruned(self) -> None:
        slot, _ = new_slot()
        slot.germinate("conv_ladder")
        assert allowed(slot) == {LifecycleOp.NOOP, PRUNE, GROW, SHRINK}

    def test_a_seed_that_trained_can_be_fossilized(self) -> None:
        slot, _ = new_slot()
        slot.germinate("conv_light")
        slot.begin_training()
        assert allowed(slot) == {LifecycleOp.NOOP, PRUNE, FOSSILIZE}

    def test_nothing_touches_a_fossil(self) -> None:
        slot, heard = new_slot()
        slot.germinate("conv_ladder")
        slot.begin_training()
        slot.fossilize()
        told = len(heard.all)
        assert allowed(slot) == {LifecycleOp.NOOP}
        assert not any(carry_out(slot, op) for op in (GERMINATE, PRUNE, FOSSILIZE, GROW, SHRINK))
        assert len(heard.all) == told

    def test_a_pruned_slot_is_free_again(self) -> None:
        slot, _ = new_slot()
        slot.germinate("conv_ladder")
        slot.prune()
        assert allowed(slot) == {LifecycleOp.NOOP, GERMINATE}
        assert (slot.seed, slot.stage, slot.blueprint) == (None, None, None)


class TestBounds:
    def test_a_refused_op_changes_and_reports_nothing(self) -> None:
        slot, heard = new_slot(max_level=2)
        slot.germinate("conv_ladder")
        assert [slot.grow(), slot.grow()] == [True, False]
        assert [slot.shrink(), slot.shrink(), slot.shrink()] == [True, True, False]
        moves = [told[2:4] for told in heard.all if told[0] == "level"]
        assert moves == [(1, 2), (2, 1), (1, 0)]

    def test_a_seed_without_levels_neither_grows_nor_shrinks(self) -> None:
        slot, heard = new_slot()
        slot.germinate("conv_light")
        assert not slot.grow()
        assert not slot.shrink()
        assert len(heard.all) == 1

    @given(st.lists(st.sampled_from([GERMINATE, PRUNE, FOSSILIZE, GROW, SHRINK]), max_size=30))
    @settings(max_examples=50, deadline=None)
    def test_the_mask_and_the_ops_agree_on_every_path(self, ops: list[LifecycleOp]) -> None:
        slot, heard = new_slot(max_level=2)
        for op in ops:
            expected, told = slot.allows(op), len(heard.all)
            assert carry_out(slot, op) is expected
            assert (len(heard.all) > told) is expected
            slot.begin_training()

    @given(st.integers(1, 6), st.lists(st.booleans(), max_size=30))
    @settings(max_examples=50, deadline=None)
    def test_grow_and_shrink_undo_each_other(self, max_level: int, path: list[bool]) -> None:
        slot, _ = new_slot(max_level)
        slot.germinate("conv_ladder")
        assert slot.seed is not None
        for up in path:
            level, params = slot.seed.level, slot.seed.active_param_count()
            forth, back = (slot.grow, slot.shrink) if up else (slot.shrink, slot.grow)
            if forth():
                assert back()
                assert (slot.seed.level, slot.seed.active_param_count()) == (level, params)
                forth()


class TestWhatIsReported:
    def test_a_whole_life(self) -> None:
        slot, heard = new_slot()
        slot.germinate("conv_ladder")
        slot.begin_training()
        slot.begin_training()
        slot.grow()
        slot.fossilize()
        params_at_2 = 2 * (2 * 2 * 9 + 2) + (2 * 2 + 2)
        assert heard.all == [
            ("germinated", "r0c0", "conv_ladder", 1, 4),
            ("stage", "r0c0", Stage.GERMINATED, Stage.TRAINING),
            ("level", "r0c0", 1, 2, params_at_2),
            ("stage", "r0c0", Stage.TRAINING, Stage.FOSSILIZED),
            ("fossilized", "r0c0"),
        ]

    def test_restoring_is_silent(self) -> None:
        slot, heard = new_slot()
        slot.restore("conv_ladder", "TRAINING", 3)
        assert slot.seed is not None
        assert (slot.seed.level, slot.stage, slot.blueprint) == (3, Stage.TRAINING, "conv_ladder")
        slot.restore(None, None, None)
        assert slot.seed is None
        assert heard.all == []


@pytest.mark.parametrize("op", [PRUNE, FOSSILIZE, GROW, SHRINK])
def test_an_empty_slot_refuses(op: LifecycleOp) -> None:
    slot, heard = new_slot()
    assert carry_out(slot, op) is False
    assert heard.all == []
