"""An op's effect in recorded runs: what SQL adds up is what plain Python finds in the events."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from benchmarks.confounded import World, sums_of

from effect_support import SLOTS, plain_effect, states_in, write_confounded
from esper.karn.diagnosis import verdict_text
from esper.karn.diagnosis.effect_words import answer_lines
from esper.karn.diagnosis.op_effect import RANDOMISED, WEIGHTED, EpisodeSums, OpAnswer, OpEffect
from esper.karn.effects import op_effect
from esper.karn.store.database import Store
from esper.karn.store.effects import op_answer
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.errors import NotFoundError
from support import read_events, run_python, write_run
from test_cli import error_of, karn

HELD = World(holdout=0.2)
FREE = World(explore=0.3)
EPISODES = 24
OPS = ("GROW_INTERNAL", "SHRINK_INTERNAL")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs ``held`` (with a holdout), ``free`` (without), ``silent`` (no probabilities) and ``toy``."""
    folder = tmp_path_factory.mktemp("effects") / "telemetry"
    write_confounded(folder, "held", HELD, episodes=EPISODES)
    write_confounded(folder, "free", FREE, episodes=EPISODES, seed=1)
    write_confounded(folder, "silent", FREE, episodes=8, with_probabilities=False)
    write_run(folder, "toy")
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    store = Store(folder)
    store.refresh()
    return store


def events_of(folder: Path, run: str) -> list[dict]:
    return read_events(folder / run / "events.jsonl")


def by_method(answer: OpAnswer) -> dict[str, OpEffect]:
    return {effect.method: effect for effect in answer.effects}


def ends(effect: OpEffect, outcome: str) -> tuple[float | None, ...]:
    interval = getattr(effect, outcome)
    return interval.value, interval.low, interval.high


class TestNumbers:
    @pytest.mark.parametrize("outcome", ["accuracy", "loss"])
    @pytest.mark.parametrize("horizon", [1, 3])
    @pytest.mark.parametrize(("run", "method"), [("held", RANDOMISED), ("free", WEIGHTED)])
    def test_they_are_those_of_a_loop_over_the_events(
        self, folder: Path, store: Store, run: str, method: str, horizon: int, outcome: str
    ) -> None:
        found = by_method(op_answer(store, run, "GROW_INTERNAL", horizon=horizon))[method]
        assert found.refused is None
        assert found.horizon == horizon
        hand = plain_effect(states_in(events_of(folder, run), method, outcome, horizon=horizon))
        assert ends(found, outcome) == pytest.approx(hand, rel=1e-6)

    @pytest.mark.parametrize(
        ("run", "method", "world"), [("held", RANDOMISED, HELD), ("free", WEIGHTED, FREE)]
    )
    def test_they_are_those_of_the_arrays_that_the_run_was_written_from(
        self, store: Store, run: str, method: str, world: World, tmp_path: Path
    ) -> None:
        found = by_method(op_answer(store, run, "GROW_INTERNAL"))[method]
        seed = {"held": 0, "free": 1}[run]
        simulated = write_confounded(tmp_path, "again", world, episodes=EPISODES, seed=seed)
        arrays = op_effect("GROW_INTERNAL", method, sums_of(simulated, world), holdout=found.holdout)
        for outcome in ("accuracy", "loss"):
            assert ends(found, outcome) == pytest.approx(ends(arrays, outcome), rel=1e-6)
        assert found.support is not None
        assert arrays.support is not None
        told, of_arrays = map(msgspec.structs.astuple, (found.support, arrays.support))
        assert told == pytest.approx(of_arrays, rel=1e-6)

    def test_an_environment_and_a_slot_restrict_them(self, folder: Path, store: Store) -> None:
        events = events_of(folder, "held")
        in_env = by_method(op_answer(store, "held", "GROW_INTERNAL", env_id=1))[RANDOMISED]
        hand = plain_effect(states_in(events, RANDOMISED, "loss", env=1))
        assert ends(in_env, "loss") == pytest.approx(hand, rel=1e-6)
        of_slots = [
            by_method(op_answer(store, "held", "GROW_INTERNAL", slot_id=slot))[RANDOMISED] for slot in SLOTS
        ]
        whole = by_method(op_answer(store, "held", "GROW_INTERNAL"))[RANDOMISED]
        assert all(of_slot.support and of_slot.support.n_op > 0 for of_slot in of_slots)
        assert whole.support is not None
        assert sum(of_slot.support.states for of_slot in of_slots if of_slot.support) == whole.support.states

    def test_both_methods_are_told_where_both_can_be(self, store: Store) -> None:
        answer = op_answer(store, "held", "GROW_INTERNAL")
        assert [effect.method for effect in answer.effects] == [RANDOMISED, WEIGHTED]
        assert answer.effects[0].holdout == pytest.approx(0.2)
        assert [effect.method for effect in op_answer(store, "free", "GROW_INTERNAL").effects] == [WEIGHTED]

    def test_ranks_that_share_their_environments_count_once(self, folder: Path, tmp_path: Path) -> None:
        lines = (folder / "free/events.jsonl").read_text().splitlines()
        shared = tmp_path / "shared"
        shared.mkdir()
        for rank in range(2):
            events = [json.loads(line) for line in lines]
            for event in events:
                event["rank"] = rank
                if "env_id" in event["data"]:
                    event["data"]["env_id"] += 2 * rank
                if event["event_type"] == "TRAINING_STARTED":
                    event["data"] |= {"config": {"shared_hosts": True}, "world_size": 2, "rank": rank}
            text = "".join(json.dumps(event) + "\n" for event in events)
            (shared / f"events.rank{rank:05}.jsonl").write_text(text)
        with Store(tmp_path) as store, Store(folder) as alone:
            store.refresh()
            alone.refresh()
            (twice,) = op_answer(store, "shared", "GROW_INTERNAL").effects
            (once,) = op_answer(alone, "free", "GROW_INTERNAL").effects
        assert twice.support is not None
        assert once.support is not None
        assert (twice.support.states, twice.support.episodes) == (once.support.states, EPISODES)
        assert ends(twice, "loss") == pytest.approx(ends(once, "loss"))

    def test_the_seeds_own_number_stands_beside_them(self, folder: Path, store: Store) -> None:
        naive = op_answer(store, "free", "GROW_INTERNAL").naive
        deltas = [
            e["data"]["loss_delta"] - e["data"]["baseline_loss_delta"]
            for e in events_of(folder, "free")
            if e["event_type"] == "COUNTERFACTUAL_DELTA" and e["data"]["baseline_sample_count"] >= 100
        ]
        assert naive.n == len(deltas) > 20
        assert naive.loss_advantage == pytest.approx(sum(deltas) / len(deltas))


class TestRefusal:
    @pytest.mark.parametrize(
        ("run", "op", "says"),
        [
            ("silent", "GROW_INTERNAL", "carry no op_probs, and no holdout was on"),
            ("toy", "GROW_INTERNAL", "carry no op_probs, and no holdout was on"),
            ("free", "SHRINK_INTERNAL", "the policy never carried out SHRINK_INTERNAL"),
        ],
    )
    def test_without_support_it_says_what_is_missing(
        self, store: Store, run: str, op: str, says: str
    ) -> None:
        (found,) = op_answer(store, run, op).effects
        assert found.refused is not None
        assert says in found.refused
        assert found.support is None

    def test_a_slot_without_a_holdout_is_refused_where_ops_were_in_others_too(self, store: Store) -> None:
        (found,) = op_answer(store, "free", "GROW_INTERNAL", slot_id="r0c0").effects
        assert found.refused is not None
        assert "a slot needs a holdout" in found.refused

    def test_an_unknown_place_names_the_nearest(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match="r0c1"):
            op_answer(store, "free", "GROW_INTERNAL", slot_id="r0c9")
        with pytest.raises(NotFoundError, match="environment in run free"):
            op_answer(store, "free", "GROW_INTERNAL", env_id=7)
        with pytest.raises(NotFoundError, match="free"):
            op_answer(store, "fre", "GROW_INTERNAL")


class TestCommand:
    def test_it_says_what_the_answer_says_of_both_ops(self, folder: Path, store: Store) -> None:
        done = karn("effect", "held", "-d", folder, "--horizon", "3")
        assert done.returncode == 0
        where, *told = done.stdout.splitlines()
        assert where == "run held"
        expected = [answer_lines(op_answer(store, "held", op, horizon=3))[1:] for op in OPS]
        assert told == [*expected[0], *expected[1]]

    def test_one_op_in_one_place(self, folder: Path, store: Store) -> None:
        done = karn(
            "effect", "held", "-d", folder, "--op", "grow", "--env", "1", "--slot", SLOTS[0], "--json"
        )
        (data,) = json.loads(done.stdout)
        answer = op_answer(store, "held", "GROW_INTERNAL", env_id=1, slot_id=SLOTS[0])
        assert data == msgspec.to_builtins(answer)

    def test_bad_input_is_one_clear_line(self, folder: Path) -> None:
        assert "did you mean held" in error_of("effect", "hold", "-d", folder)
        assert "r0c1" in error_of("effect", "held", "-d", folder, "--slot", "r0c9")
        assert "'grow', 'shrink'" in error_of("effect", "held", "-d", folder, "--op", "noop", code=2)


def test_outcomes_that_were_not_finite_are_counted(folder: Path, tmp_path: Path) -> None:
    events = events_of(folder, "free")
    for event in [e for e in events if e["event_type"] == "EPOCH_COMPLETED"][10:200:20]:
        event["data"] |= {"loss": None, "non_finite": {"loss": "NaN"}}
    (tmp_path / "nan").mkdir()
    (tmp_path / "nan/events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    with Store(tmp_path) as store:
        store.refresh()
        (found,) = op_answer(store, "nan", "GROW_INTERNAL").effects
    assert found.refused is None
    assert found.support is not None
    assert found.support.left_out == 10


class TestVerdict:
    @pytest.mark.parametrize(("run", "method"), [("held", RANDOMISED), ("free", WEIGHTED)])
    def test_it_tells_the_effect_beside_the_naive_number(self, store: Store, run: str, method: str) -> None:
        verdict = thrash_verdict(store, run)
        (told,) = verdict.told_effects
        assert told == by_method(op_answer(store, run, "GROW_INTERNAL"))[method]
        text = verdict_text(verdict)
        value, low, high = ends(told, "loss")
        assert f"effect: GROW, {method}: loss {value:+.4f} [{low:+.4f}, {high:+.4f}]" in text
        (naive,) = verdict.effects
        assert f"naive loss {naive.loss_advantage:+.4f} (n = {naive.n})" in text
        assert verdict.bias not in text

    def test_where_none_can_be_told_it_is_as_before(self, store: Store) -> None:
        verdict = thrash_verdict(store, "silent")
        assert verdict.told_effects == []
        assert "effect: GROW, " not in verdict_text(verdict)
        assert verdict.bias in verdict_text(verdict)

    @pytest.mark.parametrize(("run", "loads"), [("silent", False), ("toy", False), ("free", True)])
    def test_nothing_numerical_is_loaded_where_none_can_be_told(
        self, folder: Path, run: str, loads: bool
    ) -> None:
        code = """
import sys
from esper.cli import main
sys.argv = ["karn", "report", sys.argv[2], "--telemetry-dir", sys.argv[1]]
try:
    main()
finally:
    print("loaded", "scipy" in sys.modules, "numpy" in sys.modules, "esper.karn.effects" in sys.modules)
"""
        assert f"loaded {loads} {loads} {loads}" in run_python(code, folder, run, check=False).stdout


def test_an_episodes_sums_are_what_sql_selects(store: Store) -> None:
    from esper.karn.store import effects_sql

    columns = set(store.select(effects_sql.EPISODE_SUMS, ["free", None, 1, None, None]).columns)
    assert columns == {*EpisodeSums.__struct_fields__, "method", "op_name", "holdout", "stride"}
