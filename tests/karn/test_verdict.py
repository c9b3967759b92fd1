"""The verdict on whole runs: which word, since when, where, how much, and why, from event files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from esper.karn.diagnosis import RunVerdict, SlotReport, verdict_text
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.errors import NotFoundError
from store_support import event, level_change, open_store, write_lines
from support import write_run

Line = dict[str, Any]


class RunLines:
    """Lines of a run, written slot by slot; each op at the next epoch of its slot."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._seq = count()

    def walk(self, levels: Iterable[int], *, first_epoch: int = 1, step: int = 1, **place: Any) -> int:
        """One op from each level to the next; returns the epoch of the last."""
        epoch = first_epoch - step
        for before, after in pairwise(levels):
            epoch += step
            self.lines.append(level_change(next(self._seq), before, after, epoch=epoch, **place))
        return epoch

    def epochs(self, last: int, *, env_id: int = 0, episode_idx: int = 0) -> None:
        """The epochs 1 to ``last`` were completed."""
        for epoch in range(1, last + 1):
            self.add("EPOCH_COMPLETED", epoch=epoch, env_id=env_id, episode_idx=episode_idx)

    def add(self, event_type: str, **fields: Any) -> None:
        self.lines.append(event(event_type, next(self._seq), **fields))

    def verdict(self, folder: Path, **asked: Any) -> RunVerdict:
        write_lines(folder / "run" / "events.jsonl", *self.lines)
        with open_store(folder) as store:
            return thrash_verdict(store, "run", **asked)


@pytest.fixture
def run() -> RunLines:
    return RunLines()


def only_slot(verdict: RunVerdict) -> SlotReport:
    (slot,) = verdict.slots
    return slot


FLIP_FLOP = [2, 3] * 40
CLIMB = list(range(12))
SWEEP = [0, 1, 2, 3, 4, 3, 2, 1] * 10


# The right word.


def test_a_flip_flop_is_named_thrashing(tmp_path, run):
    run.walk(FLIP_FLOP)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.band, verdict.indicator) == ("thrashing", "thrash", "red")
    assert only_slot(verdict).label == "thrashing"
    assert only_slot(verdict).thrashing
    assert verdict.answer.startswith("Yes: 1 of 1 judged slot")


def test_many_slots_thrash_together_before_any_of_them_is_proven_to(tmp_path, run):
    for env_id in range(64):
        run.walk([2, 3] * 6, env_id=env_id)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.n_thrashing, verdict.vs_random) == ("thrashing", 0, "more")
    assert verdict.answer.startswith("Yes, taken together: 100 % of 640 ops")
    assert "none of 64 judged slots is proven to by itself" in verdict.answer


def test_slots_with_few_pairs_thrash_together_too(tmp_path, run):
    for env_id in range(20):
        run.walk([2, 3, 2, 3, 2], env_id=env_id)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.n_judged) == ("thrashing", 0)
    assert "none of 20 slots has enough pairs to be judged by itself" in verdict.answer


def test_a_single_correction_says_nothing(tmp_path, run):
    run.walk([2, 3])
    run.walk([3, 2], first_epoch=51)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.band, verdict.indicator) == (
        "insufficient_data",
        "insufficient_data",
        None,
    )
    assert only_slot(verdict).label == "insufficient_data"
    assert only_slot(verdict).reversal_rate == 1.0
    assert only_slot(verdict).undone_within_5 == 0.0


def test_an_endless_sweep_is_called_so_although_its_reversal_rate_is_healthy(tmp_path, run):
    run.walk(SWEEP)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.band) == ("not_thrashing", "healthy")
    assert (only_slot(verdict).label, only_slot(verdict).sweeping) == ("sweeping", True)
    assert "sweep" in verdict.answer


def test_two_ops_an_episode_that_undo_each_other_are_not_hidden_by_the_resets(tmp_path, run):
    for episode in range(20):
        run.walk([1, 2, 1], episode_idx=episode, first_epoch=10)
    verdict = run.verdict(tmp_path)
    assert only_slot(verdict).label == "thrashing"
    assert only_slot(verdict).n_pairs == 20


def test_neither_are_they_by_new_seeds_in_the_slot(tmp_path, run):
    for episode in range(20):
        run.walk([1, 2, 1], episode_idx=episode, seed_id=f"seed{episode}")
    assert only_slot(run.verdict(tmp_path)).label == "thrashing"


def test_the_first_op_of_a_seed_never_reverses_the_last_of_another(tmp_path, run):
    for episode in range(20):
        run.walk([0, 1], episode_idx=episode, seed_id=f"a{episode}")
        run.walk([4, 3], episode_idx=episode, seed_id=f"b{episode}", first_epoch=2)
    assert only_slot(run.verdict(tmp_path)).n_pairs == 0


def test_on_two_levels_nothing_can_be_told(tmp_path, run):
    run.walk([0, 1] * 30, max_level=1)
    verdict = run.verdict(tmp_path)
    assert verdict.label == "insufficient_data"
    assert verdict.band == "thrash"  # of the rate, which must be 1 here
    slot = only_slot(verdict)
    assert (slot.label, slot.free_reversal_rate, slot.n_free_pairs) == ("two_levels", None, 0)


def test_a_policy_that_climbs_and_stays_is_healthy(tmp_path, run):
    for episode in range(5):
        run.walk(range(5), episode_idx=episode)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, only_slot(verdict).label) == ("not_thrashing", "healthy")


def test_a_run_without_an_op_says_so(tmp_path, run):
    run.epochs(5)
    verdict = run.verdict(tmp_path)
    assert (verdict.label, verdict.slots, verdict.reversal_rate) == ("insufficient_data", [], None)
    assert verdict.answer == "It can't be told: the run has no internal op."


# Since when, and until when.


def test_since_is_where_the_flip_flop_began_after_a_calm_climb(tmp_path, run):
    climbed_at = run.walk(CLIMB, max_level=20, episode_idx=1)
    last = run.walk([11, 10] * 30, max_level=20, episode_idx=1, first_epoch=climbed_at + 1)
    run.epochs(last + 3, episode_idx=1)
    slot = only_slot(run.verdict(tmp_path))
    assert slot.thrashing
    assert slot.since is not None
    assert (slot.since.episode_idx, slot.since.epoch) == (1, climbed_at)
    assert slot.since.timestamp == "2026-01-01T00:00:10.000000+00:00"
    assert slot.ended is None
    assert slot.settled is False


def test_it_ended_where_a_long_enough_calm_began(tmp_path, run):
    flipped_at = run.walk([10, 11] * 40, max_level=40)
    run.walk(range(11, 31), max_level=40, first_epoch=flipped_at + 1)
    slot = only_slot(run.verdict(tmp_path))
    assert slot.thrashing
    assert slot.since is not None
    assert slot.ended is not None
    assert (slot.since.episode_idx, slot.since.epoch) == (0, 1)
    assert (slot.ended.episode_idx, slot.ended.epoch) == (0, flipped_at)


def test_it_ended_where_the_level_was_left_alone_for_ten_epochs(tmp_path, run):
    last = run.walk(FLIP_FLOP)
    run.epochs(last + 9)
    assert only_slot(run.verdict(tmp_path / "nine")).ended is None
    run.add("EPOCH_COMPLETED", epoch=last + 10, env_id=0, episode_idx=0)
    slot = only_slot(run.verdict(tmp_path / "ten"))
    assert slot.ended is not None
    assert slot.ended.epoch == last
    assert slot.settled is True


def test_a_slot_that_is_not_named_has_no_since(tmp_path, run):
    run.walk(SWEEP)
    slot = only_slot(run.verdict(tmp_path))
    assert (slot.since, slot.ended) == (None, None)


# Whether levels settled.


def test_a_later_episode_counts_towards_calm_if_it_lasts_long_enough(tmp_path, run):
    run.walk([1, 2], first_epoch=5)
    run.epochs(6)
    run.epochs(9, episode_idx=1)
    assert only_slot(run.verdict(tmp_path / "nine")).settled is False
    run.epochs(10, episode_idx=2)
    assert only_slot(run.verdict(tmp_path / "more")).settled is True


def test_a_new_seed_is_no_settled_level(tmp_path, run):
    run.walk([1, 2], first_epoch=5)
    run.epochs(6)
    run.epochs(12, episode_idx=1)
    place = {"env_id": 0, "slot_id": "r0c0", "episode_idx": 1}
    run.add("SEED_GERMINATED", epoch=9, level=1, max_level=4, **place)
    assert only_slot(run.verdict(tmp_path / "new")).settled is False


def test_ops_that_come_in_a_burst_are_rare_in_a_long_episode(tmp_path, run):
    run.walk([1, 2, 3], first_epoch=5)
    run.epochs(10)
    run.epochs(10, episode_idx=1)
    (env,) = run.verdict(tmp_path).environments
    assert (env.internal_op_rate, env.op_rate_band) == (0.1, "healthy")


def test_an_episode_that_ended_calm_is_a_settled_one(tmp_path, run):
    for episode, last_epoch in enumerate((20, 8, 15)):
        run.walk([1, 2, 3], episode_idx=episode, first_epoch=4)
        run.epochs(last_epoch, episode_idx=episode)
    slot = only_slot(run.verdict(tmp_path))
    assert (slot.episodes, slot.settled_episodes, slot.settled) == (3, 2, True)


def test_without_epochs_nobody_knows_whether_a_level_settled(tmp_path, run):
    run.walk([1, 2, 3])
    assert only_slot(run.verdict(tmp_path)).settled is None


# Where: environments, ranks, filters.


@pytest.fixture
def mixed(tmp_path) -> Iterator[Store]:
    """Environment 0 thrashes in one of two slots, 1 in none; 2 and 3 are another rank's, both thrash."""
    for rank in range(2):
        lines = RunLines()
        for env in (2 * rank, 2 * rank + 1):
            thrashes = env != 1
            lines.walk(FLIP_FLOP if thrashes else SWEEP, env_id=env, slot_id="a", rank=rank)
            lines.walk(SWEEP, env_id=env, slot_id="b", rank=rank)
        lines.walk([1, 2], env_id=2 * rank, slot_id="c", rank=rank)
        for line in lines.lines:
            line["rank"] = rank
        write_lines(tmp_path / "run" / f"events.rank{rank:05d}.jsonl", *lines.lines)
    with open_store(tmp_path) as store:
        yield store


def test_each_environment_and_rank_has_its_share_of_thrashing_slots(mixed):
    verdict = thrash_verdict(mixed)
    assert [
        (e.env_id, e.rank, e.slots, e.judged, e.thrashing, e.thrashing_share) for e in verdict.environments
    ] == [
        (0, 0, 3, 2, 1, 0.5),
        (1, 0, 2, 2, 0, 0.0),
        (2, 1, 3, 2, 1, 0.5),
        (3, 1, 2, 2, 1, 0.5),
    ]
    assert [(r.rank, r.slots, r.judged, r.thrashing, r.thrashing_share) for r in verdict.ranks] == [
        (0, 5, 4, 1, 0.25),
        (1, 5, 4, 2, 0.5),
    ]
    assert (verdict.n_slots, verdict.n_judged, verdict.n_thrashing) == (10, 8, 3)


def test_the_worst_slots_come_first(mixed):
    slots = thrash_verdict(mixed).slots
    assert [slot.slot_id for slot in slots[:3]] == ["a", "a", "a"]
    assert [slot.thrashing for slot in slots] == [True] * 3 + [False] * 7


def test_a_part_of_a_run_is_judged_within_the_whole(mixed):
    whole = {(slot.env_id, slot.slot_id): slot for slot in thrash_verdict(mixed).slots}
    for asked in ({"env_id": 0}, {"slot_id": "a"}, {"env_id": 3, "slot_id": "b"}):
        part = thrash_verdict(mixed, **asked)
        assert part.slots
        assert all(slot == whole[slot.env_id, slot.slot_id] for slot in part.slots)
        assert {name: {getattr(slot, name) for slot in part.slots} for name in asked} == {
            name: {value} for name, value in asked.items()
        }
        assert part.n_slots == len(part.slots)
    assert thrash_verdict(mixed, env_id=1).label == "not_thrashing"
    assert any("whole run" in note for note in thrash_verdict(mixed, env_id=1).notes)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"run_dir": "rum"}, "unknown run 'rum'; did you mean run?"),
        ({"env_id": 7}, "unknown environment in run run: '7'; there is 0, 1, 2 or 3"),
        ({"slot_id": "d"}, "unknown slot in run run: 'd'; there is a, b or c"),
        ({"env_id": 1, "slot_id": "c"}, "environment 1 has no internal op in slot 'c'"),
    ],
)
def test_what_is_not_there_is_answered_by_what_is(mixed, asked, text):
    with pytest.raises(NotFoundError) as error:
        thrash_verdict(mixed, **asked)
    assert text in str(error.value)


def test_without_a_run_the_answer_is_where_one_would_be(tmp_path):
    with open_store(tmp_path) as store, pytest.raises(NotFoundError, match=r"no run in .* yet"):
        thrash_verdict(store)


# Use.


@pytest.mark.parametrize(
    ("ops", "others", "passed"), [(1, 9, True), (1, 10, False), (10, 90, True), (0, 5, False), (5, 0, True)]
)
def test_internal_ops_must_be_a_tenth_of_what_is_decided(tmp_path, run, ops, others, passed):
    run.walk(range(ops + 1), max_level=20)
    for op in ["GROW_INTERNAL"] * ops + ["PRUNE"] * others + ["NOOP"] * 50:
        run.add("ANALYTICS_SNAPSHOT", kind="last_action", action_name=op, env_id=0, ladder_present=True)
    for _ in range(50):  # without a ladder nobody could have grown it
        run.add("ANALYTICS_SNAPSHOT", kind="last_action", action_name="GERMINATE", ladder_present=False)
    usage = run.verdict(tmp_path).usage
    assert (usage.internal_ops, usage.decisions, usage.passed) == (ops, ops + others, passed)
    assert usage.share == ops / (ops + others)


def test_without_a_decision_use_is_not_measurable(tmp_path, run):
    run.walk([1, 2])
    verdict = run.verdict(tmp_path)
    assert (verdict.usage.share, verdict.usage.passed) == (None, None)
    assert "use: not measurable" in verdict_text(verdict)


# Effects.


def outcomes(run: RunLines, op: int, advantages: Sequence[float], samples: int = 100) -> None:
    for advantage in advantages:
        run.add(
            "COUNTERFACTUAL_DELTA",
            slot_id="r0c0",
            op=op,
            loss_delta=advantage - 0.5,
            accuracy_delta=0.1,
            baseline_loss_delta=-0.5,
            baseline_accuracy_delta=0.0,
            baseline_sample_count=samples,
        )


def test_the_effect_of_each_op_has_its_interval_and_its_n(tmp_path, run):
    spread = [-0.1, 0.1] * 10
    outcomes(run, 4, [x - 1 for x in spread])
    outcomes(run, 5, [x + 1 for x in spread])
    grow, shrink = run.verdict(tmp_path).effects
    assert (grow.op_name, grow.n, shrink.op_name, shrink.n) == ("GROW_INTERNAL", 20, "SHRINK_INTERNAL", 20)
    assert grow.loss_advantage == pytest.approx(-1.0)
    half = 1.959964 * 0.1025978 / 20**0.5
    assert (grow.loss_low, grow.loss_high) == (pytest.approx(-1 - half), pytest.approx(-1 + half))
    assert grow.accuracy_advantage == pytest.approx(0.1)
    assert shrink.loss_low is not None
    assert shrink.loss_low > 0
    assert "lower" in grow.text or "helped" in grow.text
    assert "higher" in shrink.text or "hurt" in shrink.text


def test_only_warm_baselines_count_and_the_colder_are_told(tmp_path, run):
    outcomes(run, 4, [1.0] * 30, samples=99)
    (grow,) = run.verdict(tmp_path).effects
    assert (grow.n, grow.n_all, grow.loss_advantage, grow.loss_low) == (0, 30, None, None)
    assert "not measurable" in grow.text
    assert "n = 30" in grow.text


def test_under_ten_outcomes_there_is_no_interval(tmp_path, run):
    outcomes(run, 4, [1.0, 1.1] * 4)
    (grow,) = run.verdict(tmp_path).effects
    assert (grow.n, grow.loss_low, grow.loss_high) == (8, None, None)


# Why.


def decide_to_flip(
    run: RunLines, folder: Path, *, rewards: Sequence[float] = (), **fields: Any
) -> RunVerdict:
    """A flip-flop with the decisions behind it."""
    run.walk(FLIP_FLOP)
    for index in range(len(FLIP_FLOP) - 1):
        op = "GROW_INTERNAL" if index % 2 == 0 else "SHRINK_INTERNAL"
        run.add(
            "ANALYTICS_SNAPSHOT", epoch=index + 1, kind="last_action", action_name=op, env_id=0, episode_idx=0
        )
        run.lines[-1]["data"] |= {"slot_id": "r0c0"} | fields
        if rewards:
            run.lines[-1]["data"]["reward"] = rewards[index % len(rewards)]
    return run.verdict(folder)


def test_every_clue_whose_fields_are_absent_is_not_measurable(tmp_path, run):
    run.walk(FLIP_FLOP)
    why = run.verdict(tmp_path).why
    for clue in (why.probability, why.reward, why.policy_updates):
        assert not clue.measurable
        assert clue.text.startswith("not measurable: ")
        assert clue.numbers == {}


@pytest.mark.parametrize(
    ("probability", "legal", "word"), [(0.5, 2, "undecided"), (0.9, 5, "deliberately"), (0.6, 3, "neither")]
)
def test_the_probability_of_reversing_ops_is_held_against_a_uniform_choice(
    tmp_path, run, probability, legal, word
):
    clue = decide_to_flip(run, tmp_path, op_probability=probability, legal_ops=legal).why.probability
    assert clue.measurable
    assert clue.numbers["n"] == len(FLIP_FLOP) - 2
    assert clue.numbers["probability"] == pytest.approx(probability)
    assert clue.numbers["times_uniform"] == pytest.approx(probability * legal)
    assert word in clue.text


def test_the_ops_own_probability_comes_before_the_joint_one(tmp_path, run):
    probs = {"GROW_INTERNAL": 0.7, "SHRINK_INTERNAL": 0.7}
    clue = decide_to_flip(run, tmp_path, op_probability=0.1, legal_ops=2, op_probs=probs).why.probability
    assert clue.numbers["probability"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ([0.1, 0.3], "rewarded even after the cost"),
        ([-0.001, -0.003], "before the cost and not after"),
        ([-0.5, -0.7], "not rewarded"),
    ],
)
def test_the_reward_of_reversing_ops_is_shown_before_and_after_the_cost(tmp_path, run, rewards, words):
    clue = decide_to_flip(run, tmp_path, rewards=rewards, intervention_cost=0.005).why.reward
    assert clue.measurable
    mean = sum(rewards[i % 2] for i in range(1, len(FLIP_FLOP) - 1)) / (len(FLIP_FLOP) - 2)
    assert clue.numbers["reward"] == pytest.approx(mean)
    assert clue.numbers["reward_before_cost"] == pytest.approx(mean + 0.005)
    assert clue.numbers["cost"] == pytest.approx(0.005)
    assert clue.numbers["spread"] == pytest.approx(abs(rewards[0] - rewards[1]) / 2, rel=0.02)
    assert words in clue.text


def test_what_undone_ops_cost_is_told(tmp_path, run):
    verdict = decide_to_flip(run, tmp_path, intervention_cost=0.005)
    assert verdict.undone_cost == pytest.approx(0.005 * (len(FLIP_FLOP) - 2))
    assert only_slot(verdict).undone_cost == verdict.undone_cost


def test_the_policys_updates_are_compared_around_since(tmp_path, run):
    run.walk(CLIMB, max_level=20)
    run.walk([11, 10] * 30, max_level=20, first_epoch=12)
    for second, entropy, kl in ((1, 1.5, 0.01), (2, 1.3, 0.03), (50, 0.2, 0.3)):
        run.add(
            "PPO_UPDATE_COMPLETED",
            timestamp=f"2026-01-01T00:00:{second:02d}.000000+00:00",
            entropy=entropy,
            kl_divergence=kl,
        )
    clue = run.verdict(tmp_path).why.policy_updates
    assert clue.measurable
    assert clue.numbers == {
        "updates_before": 2,
        "updates_after": 1,
        "entropy_before": pytest.approx(1.4),
        "entropy_after": pytest.approx(0.2),
        "kl_before": pytest.approx(0.02),
        "kl_after": pytest.approx(0.3),
    }


@pytest.mark.parametrize("seconds", [(), (1,), (50,)])
def test_updates_on_one_side_only_can_not_be_compared(tmp_path, run, seconds):
    run.walk(CLIMB, max_level=20)
    run.walk([11, 10] * 30, max_level=20, first_epoch=12)
    for second in seconds:
        run.add("PPO_UPDATE_COMPLETED", timestamp=f"2026-01-01T00:00:{second:02d}+00:00", entropy=1.0)
    assert not run.verdict(tmp_path).why.policy_updates.measurable


# Evidence, notes, and how it is handed over.


def test_the_latest_reversals_of_the_worst_slots_are_shown(tmp_path, run):
    last = run.walk(FLIP_FLOP)
    evidence = run.verdict(tmp_path).evidence
    assert [row["epoch"] for row in evidence] == [last, last - 1, last - 2, last - 3, last - 4]
    assert {row["slot_id"] for row in evidence} == {"r0c0"}


def test_bad_lines_and_missing_events_are_noted(tmp_path, run):
    run.walk(FLIP_FLOP)
    write_lines(tmp_path / "run" / "events.jsonl", "garbage")
    del run.lines[10:13]
    notes = run.verdict(tmp_path).notes
    assert any("1 line" in note and "ingest_errors" in note for note in notes)
    assert any("3 events are missing" in note and "event_gaps" in note for note in notes)


def test_the_whole_run_is_read_and_never_a_first_part_of_it(tmp_path, run):
    for episode in range(30):
        run.walk(range(5), episode_idx=episode)
    run.walk([2, 3] * 1500, episode_idx=30)
    slot = only_slot(run.verdict(tmp_path))
    assert slot.n_ops == 30 * 4 + 2999
    assert slot.since is not None
    assert slot.since.episode_idx == 30


def test_a_verdict_is_json_without_a_number_that_is_none(tmp_path):
    write_run(tmp_path, "run", policy="oscillate", epochs=60)
    with open_store(tmp_path) as store:
        verdict = thrash_verdict(store)
    text = msgspec.json.encode(verdict)
    assert msgspec.json.decode(text)["slots"]
    assert b"NaN" not in text
    for detail in ("concise", "full"):
        assert "nan" not in verdict_text(verdict, detail).split()
        assert "None" not in verdict_text(verdict, detail)


def test_names_from_telemetry_are_shown_without_their_control_characters(tmp_path, run):
    run.walk(FLIP_FLOP, slot_id="evil\x1b[2J\nslot")
    verdict = run.verdict(tmp_path)
    for detail in ("concise", "full"):
        text = verdict_text(verdict, detail)
        assert "\x1b" not in text
        assert not any(line.startswith("slot") for line in text.splitlines())


def test_another_detail_is_refused(tmp_path, run):
    run.walk([1, 2])
    verdict = run.verdict(tmp_path)
    with pytest.raises(ValueError, match="'concise' or 'full', not 'brief'"):
        verdict_text(verdict, "brief")


# Calibration, end to end.


def simulated(rng: random.Random, n_ops: int, max_level: int, reversing: float | None) -> list[int]:
    """Levels of a coin flip, or of a policy that reverses with this probability where it can choose."""
    levels, up = [rng.randint(0, max_level)], True
    for _ in range(n_ops):
        level = levels[-1]
        if reversing is None or len(levels) == 1:
            up = rng.random() < 0.5
        elif rng.random() < reversing:
            up = not up
        up = (up or level == 0) and level != max_level
        levels.append(level + (1 if up else -1))
    return levels


@pytest.fixture(scope="module")
def calibration(tmp_path_factory) -> Iterator[Store]:
    folder, rng = tmp_path_factory.mktemp("telemetry"), random.Random(1)
    for kind, reversing in (("coin", None), ("reverser", 0.8)):
        for number in range(20):
            run = RunLines()
            for slot in range(10 if kind == "coin" else 1):
                max_level = rng.choice([2, 4, 8])
                levels = simulated(rng, 50, max_level, reversing)
                run.walk(levels, slot_id=f"s{slot}", max_level=max_level)
            write_lines(folder / f"{kind}{number}" / "events.jsonl", *run.lines)
    with open_store(folder) as store:
        yield store


def test_coin_flips_are_hardly_ever_named(calibration):
    named = [thrash_verdict(calibration, f"coin{number}").label == "thrashing" for number in range(20)]
    assert sum(named) <= 1


def test_a_policy_that_reverses_four_times_of_five_is(calibration):
    verdicts = [thrash_verdict(calibration, f"reverser{number}") for number in range(20)]
    assert sum(verdict.label == "thrashing" for verdict in verdicts) >= 19
