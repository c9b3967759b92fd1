"""Policies: they keep to the mask, and what they say about their probabilities is what they do."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from event_list import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.kasmina import SeedSlot
from esper.leyline import LifecycleOp
from esper.leyline.errors import NotFoundError
from esper.simic.decisions import Observation, SlotView
from esper.simic.policies import POLICIES, Policy, make_policy
from esper.simic.rules import plateaued, prefer_settling, prefer_thrash

MAX_LEVEL = 3
GROW, SHRINK = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL


class Deaf:
    """An observer for slots that nobody watches."""

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: None


def view_of(slot_id: str, blueprint: str | None, stage: str | None, level: int, **memory: object) -> SlotView:
    """A view whose mask is that of a real slot in the given state."""
    slot = SeedSlot(slot_id, 1, MAX_LEVEL, Deaf())  # type: ignore[arg-type]
    slot.restore(blueprint, stage, level)
    seed = slot.seed
    return SlotView(
        slot_id=slot_id,
        legal=frozenset(op for op in LifecycleOp if op and slot.allows(op)),
        blueprint=blueprint,
        fossilized=stage == "FOSSILIZED",
        level=None if seed is None else seed.level,
        max_level=None if seed is None else seed.max_level,
        **memory,  # type: ignore[arg-type]
    )


losses = st.floats(0, 3) | st.sampled_from([math.nan, math.inf])


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    views = []
    for index in range(draw(st.integers(1, 4))):
        blueprint = draw(st.sampled_from([None, "conv_ladder", "conv_light"]))
        stage = None if blueprint is None else draw(st.sampled_from(["GERMINATED", "TRAINING", "FOSSILIZED"]))
        view = view_of(
            f"r0c{index}",
            blueprint,
            stage,
            draw(st.integers(0, MAX_LEVEL)),
            age=draw(st.integers(0, 30)),
            last_direction=draw(st.integers(-1, 1)),
            regrown=draw(st.booleans()),
            epochs_since_op=draw(st.integers(0, 30)),
            loss_at_op=draw(st.none() | losses),
            loss_at_birth=draw(st.none() | losses),
        )
        views.append(view)
    history = tuple(draw(st.lists(losses, min_size=1, max_size=8)))
    return Observation(
        env=0, epoch=len(history) - 1, max_epochs=10, losses=history, accuracy=0.5, slots=tuple(views)
    )


def policy_named(name: str, seed: int = 0, n_slots: int = 3) -> Policy:
    return make_policy(tiny(policy=name, n_slots=n_slots), seed)


@pytest.mark.parametrize("name", POLICIES)
class TestEveryPolicy:
    @given(observation=observations(), seed=st.integers(0, 1000))
    @settings(max_examples=100, deadline=None)
    def test_keeps_to_the_mask(self, name: str, observation: Observation, seed: int) -> None:
        decision = policy_named(name, seed, len(observation.slots)).decide(observation)
        legal = observation.legal()
        assert decision.op in legal
        assert decision.slot in (legal[decision.op] or [None])
        assert (decision.blueprint is not None) == (decision.op == LifecycleOp.GERMINATE)

    @given(observation=observations(), seed=st.integers(0, 1000))
    @settings(max_examples=100, deadline=None)
    def test_its_probabilities_add_up(self, name: str, observation: Observation, seed: int) -> None:
        decision = policy_named(name, seed, len(observation.slots)).decide(observation)
        legal = observation.legal()
        assert list(decision.op_probs) == [op.name for op in legal]
        assert sum(decision.op_probs.values()) == pytest.approx(1)
        assert decision.legal_ops == len(legal)
        assert decision.entropy == pytest.approx(
            -sum(p * math.log(p) for p in decision.op_probs.values() if p)
        )
        if decision.slot is None:
            assert decision.slot_probs is None
            assert decision.probability == decision.op_probs["NOOP"]
        else:
            assert decision.slot_probs is not None
            assert list(decision.slot_probs) == legal[decision.op]
            assert sum(decision.slot_probs.values()) == pytest.approx(1)
            joint = decision.op_probs[decision.op.name] * decision.slot_probs[decision.slot]
            assert decision.probability == joint

    def test_acts_as_often_as_it_says(self, name: str) -> None:
        trained = {"age": 20, "epochs_since_op": 5, "loss_at_op": 1.0, "loss_at_birth": 1.0}
        views = (
            view_of("r0c0", "conv_ladder", "TRAINING", 2, last_direction=1, **trained),
            view_of("r0c1", "conv_ladder", "TRAINING", 1, **trained),
            view_of("r0c2", "conv_light", "TRAINING", 0, **trained),
        )
        observation = Observation(0, 6, 10, (1.0,) * 7, 0.5, views)
        policy, draws = policy_named(name), 4000
        seen: Counter[tuple[LifecycleOp, str | None]] = Counter()
        said: dict[tuple[LifecycleOp, str | None], float] = {}
        for _ in range(draws):
            decision = policy.decide(observation)
            seen[decision.op, decision.slot] += 1
            said[decision.op, decision.slot] = decision.probability
        for action, probability in said.items():
            spread = math.sqrt(probability * (1 - probability) / draws)
            assert seen[action] / draws == pytest.approx(probability, abs=5 * spread)

    def test_takes_up_its_draws_where_they_were_saved(self, name: str) -> None:
        observation = Observation(0, 0, 10, (1.0,), 0.1, (view_of("r0c0", None, None, 0),))
        policy = policy_named(name, n_slots=1)
        policy.decide(observation)
        saved = policy.state_dict()
        expected = [policy.decide(observation) for _ in range(20)]
        other = policy_named(name, seed=99, n_slots=1)
        other.load_state_dict(saved)
        assert [other.decide(observation) for _ in range(20)] == expected


class TestRules:
    def test_random_is_uniform_over_legal_ops_then_slots(self) -> None:
        views = (view_of("r0c0", "conv_ladder", "TRAINING", 1), view_of("r0c1", "conv_ladder", "TRAINING", 3))
        observation = Observation(0, 6, 10, (1.0,), 0.5, views)
        for seed in range(20):
            decision = policy_named("random", seed).decide(observation)
            assert set(decision.op_probs.values()) == {1 / 5}
            assert decision.legal_ops == 5
            if decision.op == GROW:
                assert decision.slot_probs == {"r0c0": 1.0}
            elif decision.op == SHRINK:
                assert decision.slot_probs == {"r0c0": 0.5, "r0c1": 0.5}

    @pytest.mark.parametrize(
        ("level", "last", "expected"),
        [(1, 0, GROW), (2, 1, SHRINK), (1, -1, GROW), (MAX_LEVEL, -1, SHRINK), (0, 1, GROW)],
    )
    def test_oscillate_undoes_its_last_op(self, level: int, last: int, expected: LifecycleOp) -> None:
        view = view_of("r0c0", "conv_ladder", "TRAINING", level, last_direction=last)
        choice = prefer_thrash(Observation(0, 3, 10, (1.0,), 0.5, (view,)))
        assert (choice.op, choice.slot) == (expected, "r0c0")

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ({"level": 1, "loss_at_op": 1.0}, GROW),
            ({"level": MAX_LEVEL, "last_direction": 1, "loss_at_op": 1.0}, SHRINK),
            ({"level": 2, "last_direction": -1, "loss_at_op": 0.5}, GROW),
            ({"level": 2, "last_direction": -1, "loss_at_op": 1.0}, SHRINK),
            ({"level": 1, "last_direction": -1, "loss_at_op": 1.0}, LifecycleOp.NOOP),
            (
                {"level": 2, "last_direction": 1, "regrown": True, "epochs_since_op": 20},
                LifecycleOp.FOSSILIZE,
            ),
            ({"level": 2, "epochs_since_op": 1}, LifecycleOp.NOOP),
        ],
    )
    def test_heuristic_climbs_trims_and_settles_on_a_plateau(
        self, state: dict[str, int], expected: LifecycleOp
    ) -> None:
        memory = {"epochs_since_op": 3, **state}
        view = view_of("r0c0", "conv_ladder", "TRAINING", memory.pop("level"), **memory)
        assert prefer_settling(Observation(0, 3, 10, (1.0,) * 4, 0.5, (view,))).op == expected

    @pytest.mark.parametrize(
        ("loss_at_birth", "expected"),
        [(2.0, LifecycleOp.FOSSILIZE), (0.5, LifecycleOp.PRUNE)],
    )
    def test_heuristic_keeps_a_light_seed_that_paid(
        self, loss_at_birth: float, expected: LifecycleOp
    ) -> None:
        view = view_of(
            "r0c0", "conv_light", "TRAINING", 0, age=20, epochs_since_op=20, loss_at_birth=loss_at_birth
        )
        assert prefer_settling(Observation(0, 3, 10, (1.0,) * 4, 0.5, (view,))).op == expected

    @pytest.mark.parametrize(
        ("losses", "flat"),
        [
            ((1.0, 1.0), False),
            ((1.0, 1.0, 1.0), True),
            ((1.0, 0.9, 0.8), False),
            ((1.0, 1.0, 1.5), True),
            ((1.0, 1.0, math.nan), False),
            ((math.inf, 1.0, 1.0), False),
        ],
    )
    def test_plateau(self, losses: tuple[float, ...], flat: bool) -> None:
        assert plateaued(losses) is flat


def test_an_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="unknown policy 'heuristics'; did you mean heuristic"):
        policy_named("heuristics")
