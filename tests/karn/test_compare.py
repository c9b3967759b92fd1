"""Comparisons of whole runs: each figure against the same computed from the files by plain Python."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from esper.karn.diagnosis.comparison import Comparison
from esper.karn.diagnosis.comparison_words import comparison_text
from esper.karn.store.compare import compare_runs
from esper.leyline.errors import NotFoundError
from store_support import event, level_change, open_store, write_lines
from support import ROOT, read_events, write_run
from test_cli import error_of, karn

EXAMPLES = ROOT / "examples/telemetry"
ESPER_LITE = ROOT / "tests/data/esper_lite"


def comparison(folder: Path, control: str, treatment: str) -> Comparison:
    with open_store(folder) as store:
        return compare_runs(store, control, treatment)


def data_of(folder: Path, run: str, event_type: str) -> list[dict[str, Any]]:
    lines = read_events(folder / run / "events.jsonl")
    return [line | line["data"] for line in lines if line["event_type"] == event_type]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    """The recorded runs, oscillate as the control, and their comparison."""
    folder = tmp_path_factory.mktemp("compare") / "telemetry"
    shutil.copytree(EXAMPLES, folder)
    return folder, comparison(folder, "oscillate", "heuristic")


SIDES = (("oscillate", "control", "n_control"), ("heuristic", "treatment", "n_treatment"))


@pytest.mark.parametrize(("run", "side", "n"), SIDES)
class TestRecordedRuns:
    def figure(self, recorded: tuple[Path, Comparison], name: str, side: str, n: str) -> tuple[Any, int]:
        figure = next(f for f in recorded[1].figures if f.name == name)
        return getattr(figure, side), getattr(figure, n)

    def test_usage_is_level_changes_among_non_noop_decisions_with_a_ladder(self, recorded, run, side, n):
        ops = len(data_of(recorded[0], run, "SEED_INTERNAL_LEVEL_CHANGED"))
        decisions = data_of(recorded[0], run, "ANALYTICS_SNAPSHOT")
        chosen = sum(d["action_name"] != "NOOP" and d["ladder_present"] for d in decisions)
        value, of = self.figure(recorded, "op usage", side, n)
        assert (value.value, of) == (ops / chosen, chosen)

    def test_the_return_is_the_mean_over_episodes(self, recorded, run, side, n):
        rewards = [d["episode_reward"] for d in data_of(recorded[0], run, "EPISODE_OUTCOME")]
        value, of = self.figure(recorded, "return", side, n)
        assert of == len(rewards) == 8
        assert value.value == pytest.approx(fmean(rewards))
        half = 2.3646 * stdev(rewards) / math.sqrt(8)
        assert value.low == pytest.approx(fmean(rewards) - half, rel=1e-3)

    def test_the_end_is_the_last_epochs_of_each_environments_last_episodes(self, recorded, run, side, n):
        epochs = data_of(recorded[0], run, "EPOCH_COMPLETED")
        by_episode: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for row in epochs:
            by_episode[row["env_id"], row["episode_idx"]].append(row)
        last = [
            sorted(rows, key=lambda row: row["epoch"])[-3:]
            for (_, episode), rows in by_episode.items()
            if episode >= 1
        ]
        for name, field in (("accuracy at the end", "accuracy"), ("loss at the end", "loss")):
            value, of = self.figure(recorded, name, side, n)
            assert of == len(last) == 6
            assert value.value == pytest.approx(fmean(fmean(row[field] for row in rows) for rows in last))
        params, _ = self.figure(recorded, "params at the end", side, n)
        assert params.value == pytest.approx(fmean(rows[-1]["params"] for rows in last))
        ends = recorded[1].environments[0 if side == "control" else 1]
        assert [(end.env_id, end.episodes) for end in ends] == [(0, 3), (1, 3)]
        assert fmean(end.accuracy for end in ends) == pytest.approx(
            fmean(fmean(row["accuracy"] for row in rows) for rows in last)
        )

    def test_dominance_is_the_share_of_the_top_blueprint(self, recorded, run, side, n):
        place = 0 if side == "control" else 1
        germinated = Counter(d["blueprint_id"] for d in data_of(recorded[0], run, "SEED_GERMINATED"))
        fossilized = Counter(d["blueprint_id"] for d in data_of(recorded[0], run, "SEED_FOSSILIZED"))
        total = sum(germinated.values())
        value, of = self.figure(recorded, "top blueprint", side, n)
        assert (value.value, of) == (max(germinated.values()) / total, total)
        entropy, _ = self.figure(recorded, "blueprint entropy", side, n)
        assert entropy.value == pytest.approx(
            -sum(k / total * math.log(k / total) for k in germinated.values())
        )
        for share in recorded[1].blueprints:
            assert share.germinated[place] == germinated[share.blueprint]
            assert share.fossilized[place] == fossilized[share.blueprint]
            assert share.germinated_share[place] == germinated[share.blueprint] / total

    def test_seed_epochs_are_counted_from_germination_to_removal(self, recorded, run, side, n):
        place = 0 if side == "control" else 1
        names = ("SEED_GERMINATED", "SEED_PRUNED", "SEED_FOSSILIZED")
        lived: Counter[str] = Counter()
        alive: dict[tuple[int, int, str], tuple[str, int]] = {}
        for line in read_events(recorded[0] / run / "events.jsonl"):
            if line["event_type"] in names:
                data = line["data"]
                key = (data["env_id"], data["episode_idx"], data["slot_id"])
                if line["event_type"] == "SEED_GERMINATED":
                    alive[key] = (data["blueprint_id"], line["epoch"])
                else:
                    blueprint, born = alive.pop(key)
                    lived[blueprint] += line["epoch"] - born
        for blueprint, born in alive.values():
            lived[blueprint] += 34 - born
        assert {share.blueprint: share.seed_epochs[place] for share in recorded[1].blueprints} == lived

    def test_settled_is_a_level_left_alone_for_ten_epochs(self, recorded, run, side, n):
        last: dict[tuple[int, int, str], int] = {}
        for row in data_of(recorded[0], run, "SEED_INTERNAL_LEVEL_CHANGED"):
            last[row["env_id"], row["episode_idx"], row["slot_id"]] = row["epoch"]
        value, of = self.figure(recorded, "settled", side, n)
        assert of == len(last)
        assert value.value == sum(34 - epoch >= 10 for epoch in last.values()) / len(last)


def test_the_recorded_runs_pass_and_fail_the_gates_that_they_should(recorded):
    folder, heuristic = recorded
    assert {gate.name: gate.status for gate in heuristic.gates} == {
        "usage": "passed",
        "dominance": "failed",
        "stability": "passed",
        "settling": "passed",
    }
    assert heuristic.notes == []
    oscillate = {gate.name: gate for gate in comparison(folder, "heuristic", "oscillate").gates}
    assert oscillate["settling"].status == "failed"
    assert "4 of 4 judged slots thrash" in oscillate["settling"].reason


def test_the_text_is_a_page_and_says_every_gate(recorded):
    text = comparison_text(recorded[1])
    assert len(text.encode()) / 4 < 600
    assert "gate dominance: FAILED" in text
    assert "return: 0.744 | 0.731 | -0.0129 [" in text
    assert "conv_ladder: 70 % | 70 % of germinations" in text


def test_a_run_compared_with_itself_differs_in_nothing(recorded):
    same = comparison(recorded[0], "oscillate", "oscillate")
    assert all(figure.difference.value in (0.0, None) for figure in same.figures)
    assert "the same run" in same.notes[0]


def test_runs_without_internal_ops_say_what_is_not_measurable():
    names = sorted(path.name for path in ESPER_LITE.iterdir() if path.is_dir())
    found = comparison(ESPER_LITE, *names)
    gates = {gate.name: gate for gate in found.gates}
    assert gates["usage"].status == gates["settling"].status == "not measurable"
    assert "no event of a seed with levels" in gates["usage"].reason
    assert any(note.startswith("the runs differ in task") for note in found.notes)
    assert any(note.startswith("the control is") for note in found.notes)
    assert "not known of either run: params at the end" in comparison_text(found)


def test_an_empty_run_makes_nothing_measurable(tmp_path):
    for name in ("a", "b"):
        write_lines(tmp_path / name / "events.jsonl", event("TRAINING_STARTED", 0, task="none"))
    found = comparison(tmp_path, "a", "b")
    assert {gate.status for gate in found.gates} == {"not measurable"}
    assert all(figure.difference.value is None for figure in found.figures)


def test_a_run_with_ops_but_no_decisions_is_compared_all_the_same(tmp_path):
    lines = [level_change(seq, 2 + seq % 2, 3 - seq % 2, epoch=seq) for seq in range(30)]
    write_lines(tmp_path / "a" / "events.jsonl", *lines)
    write_run(tmp_path, "b", policy="settle")
    found = comparison(tmp_path, "b", "a")
    gates = {gate.name: gate for gate in found.gates}
    assert "no decision" in gates["usage"].reason
    assert gates["settling"].status == "failed"
    assert "control has 4 " not in gates["dominance"].reason


def test_an_episode_that_still_goes_on_has_no_end_yet(tmp_path):
    def epoch(seq: int, episode: int, number: int, accuracy: float) -> dict[str, Any]:
        return event(
            "EPOCH_COMPLETED", seq, epoch=number, env_id=0, episode_idx=episode, accuracy=accuracy, loss=1.0
        )

    lines = [epoch(0, 0, 1, 0.8), epoch(1, 0, 2, 0.9)]
    lines += [event("EPISODE_OUTCOME", 2, env_id=0, episode_idx=0, episode_reward=1.0), epoch(3, 1, 1, 0.1)]
    write_lines(tmp_path / "a" / "events.jsonl", *lines)
    end = comparison(tmp_path, "a", "a").environments[0][0]
    assert (end.episodes, end.accuracy) == (1, pytest.approx(0.85))


def test_rollbacks_and_collapsed_updates_fail_the_treatment(tmp_path):
    updates = [
        event("PPO_UPDATE_COMPLETED", seq, entropy=value) for seq, value in enumerate([2, 0.1, 0.1, 0.1])
    ]
    write_lines(tmp_path / "collapsed" / "events.jsonl", *updates)
    rolled = event("GOVERNOR_ROLLBACK", 0, reason="nan")
    write_lines(tmp_path / "rolled" / "events.jsonl", rolled)
    collapsed = comparison(tmp_path, "rolled", "collapsed").gates[2]
    assert (collapsed.name, collapsed.status) == ("stability", "failed")
    assert "3 updates in a row" in collapsed.reason
    assert comparison(tmp_path, "collapsed", "rolled").gates[2].reason.startswith("1 rollback ")


def test_a_rollback_that_is_counted_in_its_batch_too_counts_once(tmp_path):
    lines = [event("GOVERNOR_ROLLBACK", 0), event("PPO_UPDATE_COMPLETED", 1, rollback_attempt_count=1)]
    write_lines(tmp_path / "a" / "events.jsonl", *lines)
    assert comparison(tmp_path, "a", "a").gates[2].value == 1.0


def test_an_unknown_run_names_the_nearest(recorded):
    with pytest.raises(NotFoundError, match="did you mean oscillate"):
        comparison(recorded[0], "heuristic", "oscilate")


class TestCommand:
    def test_prints_the_gates_and_the_figures(self):
        done = karn("compare", "oscillate", "heuristic", "-d", EXAMPLES)
        assert done.returncode == 0
        assert done.stdout.startswith("control oscillate (finished), treatment heuristic (finished)\n")
        assert "gate settling: PASSED" in done.stdout

    def test_json_is_the_same_as_data(self):
        data = json.loads(karn("compare", "oscillate", "heuristic", "-d", EXAMPLES, "--json").stdout)
        assert [gate["status"] for gate in data["gates"]] == ["passed", "failed", "passed", "passed"]

    def test_an_unknown_run_names_the_nearest(self):
        assert "did you mean oscillate?" in error_of("compare", "heuristic", "oscilate", "-d", EXAMPLES)
