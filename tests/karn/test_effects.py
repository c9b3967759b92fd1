"""Effects of an op against NOOP: the formulas by hand, when there is none, and how often they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.confounded import LOSS_FOR_ACCURACY, World, method_of, naive, simulate, sums_of, true_effect
from hypothesis import given
from hypothesis import strategies as st

from effect_support import State, plain_effect
from esper.karn.diagnosis.op_effect import RANDOMISED, WEIGHTED, EpisodeSums, OpEffect
from esper.karn.effects import Decisions, difference, episode_sums, op_effect
from esper.leyline.thresholds import z_score

N = 300


def random_decisions(seed: int, episodes: int = 12, n: int = N) -> Decisions:
    rng = np.random.default_rng(seed)
    p_op = rng.uniform(0.08, 0.5, n)
    p_noop = (1 - p_op) * rng.uniform(0.2, 1, n)
    draw = rng.random(n)
    done = np.where(draw < p_op, 1, np.where(draw < p_op + p_noop, 0, -1))
    accuracy = rng.normal(0, 1, n) + 0.5 * (done == 1)
    return Decisions(rng.integers(0, episodes, n), done, p_op, p_noop, accuracy, -3 * accuracy)


def states_of(decisions: Decisions, floor: float = 0.01) -> list[State]:
    arms = {1: ("op", decisions.p_op), 0: ("noop", decisions.p_noop)}
    found = []
    for index, done in enumerate(decisions.done.tolist()):
        arm, p = arms.get(done, (None, decisions.p_op))
        found.append(
            State(
                int(decisions.episode[index]),
                arm,
                1 / max(float(p[index]), floor),
                float(decisions.accuracy[index]),
            )
        )
    return found


def weighted(decisions: Decisions) -> OpEffect:
    return op_effect("GROW_INTERNAL", WEIGHTED, episode_sums(decisions))


class TestFormula:
    @pytest.mark.parametrize("seed", range(5))
    def test_effect_and_interval_are_those_written_out_by_hand(self, seed: int) -> None:
        decisions = random_decisions(seed)
        found = weighted(decisions)
        assert found.refused is None
        hand = plain_effect(states_of(decisions))
        ours = (found.accuracy.value, found.accuracy.low, found.accuracy.high)
        assert ours == pytest.approx(hand, rel=1e-9)
        assert found.loss.value == pytest.approx(-3 * hand[0])
        assert (found.loss.low, found.loss.high) == (pytest.approx(-3 * hand[2]), pytest.approx(-3 * hand[1]))

    def test_with_one_coin_it_is_the_plain_difference_in_means(self) -> None:
        rng = np.random.default_rng(0)
        done = (rng.random(N) >= 0.1).astype(np.int64)
        accuracy = rng.normal(0, 1, N)
        h = np.full(N, 0.1)
        decisions = Decisions(np.arange(N) % 10, done, 1 - h, h, accuracy, accuracy)
        found = op_effect("GROW_INTERNAL", RANDOMISED, episode_sums(decisions, floor=0.0), holdout=0.1)
        assert found.accuracy.value == pytest.approx(accuracy[done == 1].mean() - accuracy[done == 0].mean())
        assert found.support is not None
        assert (found.support.n_op, found.support.n_noop) == (done.sum(), N - done.sum())
        assert found.support.ess_op == pytest.approx(done.sum())

    def test_a_small_probability_counts_as_one_in_a_hundred(self) -> None:
        decisions = random_decisions(0)
        decisions.p_op[np.flatnonzero(decisions.done == 1)[0]] = 1e-9
        assert weighted(decisions).accuracy.value == pytest.approx(plain_effect(states_of(decisions))[0])

    def test_effective_samples_are_kishs(self) -> None:
        decisions = random_decisions(1)
        weights = [state.weight for state in states_of(decisions) if state.arm == "op"]
        support = weighted(decisions).support
        assert support is not None
        assert support.ess_op == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
        expected = [N**2 / (1 / p).sum() for p in (decisions.p_op, decisions.p_noop)]
        assert support.expected_ess == pytest.approx(min(expected))

    def test_states_without_a_finite_outcome_are_counted_and_left_out(self) -> None:
        decisions = random_decisions(2)
        bad = [3, 50, 51]
        decisions.loss[bad] = np.nan
        decisions.accuracy[7] = np.inf
        kept = np.setdiff1d(np.arange(N), [*bad, 7])
        found, without = weighted(decisions), weighted(Decisions(*(column[kept] for column in decisions)))
        assert found.support is not None
        assert found.support.left_out == 4
        assert found.accuracy == without.accuracy

    @given(seed=st.integers(0, 10**6), shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
    def test_it_moves_with_the_outcome_and_with_nothing_else(
        self, seed: int, shift: float, scale: float
    ) -> None:
        decisions = random_decisions(seed, n=120, episodes=8)
        if len({*decisions.done.tolist()} & {0, 1}) < 2:
            return
        sums = [e for e in episode_sums(decisions) if e.states]
        if min(sum(e.n_op > 0 for e in sums), sum(e.n_noop > 0 for e in sums)) < 2:
            return
        plain = difference(sums, "accuracy")
        order = np.random.default_rng(seed).permutation(120)
        moved = Decisions(
            decisions.episode[order] * -7 + 1000,
            *(column[order] for column in decisions[1:4]),
            scale * decisions.accuracy[order] + shift,
            decisions.loss[order],
        )
        again = difference(episode_sums(moved), "accuracy")
        assert plain.value is not None
        for before, after in zip(
            (plain.value, plain.low, plain.high), (again.value, again.low, again.high), strict=True
        ):
            assert after == pytest.approx(scale * before, rel=1e-6, abs=1e-8 * (1 + abs(shift)))


class TestRefusal:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"done": np.ones(N, dtype=np.int64)}, "the op was done in 300 and NOOP in 0; 10 of each"),
            ({"done": np.zeros(N, dtype=np.int64)}, "the op was done in 0 and NOOP in 300; 10 of each"),
            ({"episode": np.arange(N) % 7}, "7 episodes; 8 are needed"),
            ({"p_op": np.full(N, 0.001)}, "no support: in 100 % of 300 states"),
            (
                {"p_op": np.where(np.arange(N) % 4 == 0, 0.011, 0.9)},
                "too little support: the weights leave an effective sample of",
            ),
        ],
        ids=["always", "never", "few episodes", "next to never", "thin"],
    )
    def test_it_is_refused_with_the_reason(self, change: dict, says: str) -> None:
        found = weighted(random_decisions(0)._replace(**change))
        assert found.refused is not None
        assert says in found.refused
        assert (found.accuracy.value, found.loss.value) == (None, None)

    def test_what_was_held_back_in_a_few_episodes_only_is_no_sample_of_episodes(self) -> None:
        decisions = random_decisions(0)
        done = np.where(decisions.episode < 4, 0, 1)
        found = weighted(decisions._replace(done=done))
        assert found.refused == "one of the two was in 4 episodes only; 5 are needed"

    def test_without_a_state_there_is_nothing_to_say(self) -> None:
        empty = Decisions(*(np.empty(0, dtype=np.int64),) * 2, *(np.empty(0),) * 4)
        found = op_effect("GROW_INTERNAL", WEIGHTED, episode_sums(empty))
        assert (found.support, found.accuracy.value) == (None, None)
        assert found.refused is not None

    def test_a_lucky_draw_does_not_pass_for_support(self) -> None:
        # The few heavy states were all missed: what is left looks even.
        rng = np.random.default_rng(0)
        p_op = np.where(rng.random(2_000) < 0.5, 0.0101, 0.5)
        done = np.where((p_op > 0.1) & (rng.random(2_000) < 0.5), 1, 0)
        accuracy = rng.normal(0, 1, 2_000)
        found = weighted(Decisions(np.arange(2_000) % 20, done, p_op, 1 - p_op, accuracy, accuracy))
        assert found.support is not None
        assert found.support.ess_op > 400
        assert found.support.expected_ess < 60
        assert found.refused is not None


REPETITIONS = 200


def coverage(world: World, episodes: int) -> tuple[float, float, float, float]:
    """Share told; of those the shares whose intervals cover the truth: of accuracy, of loss, naive."""
    rng, truth = np.random.default_rng(7), true_effect(world)
    told: list[tuple[bool, bool, bool]] = []
    for _ in range(REPETITIONS):
        run = simulate(rng, world, episodes)
        found = op_effect("GROW_INTERNAL", method_of(world), sums_of(run, world))
        if found.refused is None:
            value, error = naive(run)
            told.append(
                (
                    found.accuracy.low <= truth <= found.accuracy.high,
                    found.loss.low <= LOSS_FOR_ACCURACY * truth <= found.loss.high,
                    abs(value - truth) <= z_score() * error,
                )
            )
    shares = (sum(column) / len(told) for column in zip(*told, strict=True))
    return (len(told) / REPETITIONS, *shares)


@pytest.mark.parametrize(
    ("world", "episodes"),
    [
        (World(holdout=0.1), 40),
        (World(holdout=0.05), 100),
        (World(), 50),
        (World(explore=0.3), 18),
    ],
    ids=["holdout 10 %", "holdout 5 %", "weighted", "weighted, few episodes"],
)
def test_intervals_cover_a_known_effect_while_the_naive_ones_do_not(world: World, episodes: int) -> None:
    told, accuracy, loss, by_naive = coverage(world, episodes)
    # Three standard deviations of the share of 200 that covers, if the true one is 0.95.
    slack = 3 * math.sqrt(0.95 * 0.05 / REPETITIONS)
    assert told > 0.95
    assert abs(accuracy - 0.95) <= slack
    assert abs(loss - 0.95) <= slack
    assert by_naive < 0.2


def test_what_is_deterministic_is_refused_every_time() -> None:
    world = World(explore=0.0, eager=1.0, sharp=50)
    for seed in range(5):
        run = simulate(np.random.default_rng(seed), world, 40)
        assert op_effect("GROW_INTERNAL", WEIGHTED, sums_of(run, world)).refused is not None


def test_sums_of_an_episode_are_plain_numbers() -> None:
    (one, *_) = episode_sums(random_decisions(0))
    assert isinstance(one, EpisodeSums)
    assert {type(getattr(one, name)) for name in EpisodeSums.__struct_fields__} == {int, float}
