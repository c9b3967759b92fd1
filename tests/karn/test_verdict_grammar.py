"""One of a thing is not several, and what rounding leaves is nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from esper.karn.diagnosis import verdict_text
from esper.karn.diagnosis.comparison import Comparison
from esper.karn.diagnosis.comparison_words import comparison_text
from esper.karn.store.compare import compare_runs
from esper.karn.store.evidence import thrash_verdict
from store_support import event, level_change, open_store, write_lines


def text_of(folder: Path, levels: list[int], *lines: str | dict) -> str:
    moves = pairwise(levels)
    changes = [level_change(n, a, b, epoch=n + 1) for n, (a, b) in enumerate(moves)]
    write_lines(folder / "run/events.jsonl", *changes, *lines)
    with open_store(folder) as store:
        return verdict_text(thrash_verdict(store, "run"))


def test_one_slot_with_one_pair_and_one_bad_line(tmp_path):
    text = text_of(tmp_path, [1, 2, 1], "{broken")
    assert "the one slot has fewer than 10 pairs" in text
    assert "over 1 pair." in text
    assert "of 1 pair," in text
    assert "note: 1 line could not be read and was left out" in text


def test_one_judged_slot_that_does_not_thrash(tmp_path):
    text = text_of(tmp_path, list(range(1, 5)) + [3, 2, 1] + [2, 3, 4, 3, 2, 1] * 4)
    assert "No: the one judged slot does not reverse itself" in text


def compared(folder: Path, other: list[float]) -> Comparison:
    for run, values in (("one", [0.1, 0.2, 0.3]), ("other", other)):
        lines = [
            event("EPISODE_OUTCOME", n, env_id=0, episode_idx=n, episode_reward=value)
            for n, value in enumerate(values)
        ]
        write_lines(folder / run / "events.jsonl", *lines)
    with open_store(folder) as store:
        return compare_runs(store, "one", "other")


def test_a_difference_that_only_rounding_makes_is_none(tmp_path):
    comparison = compared(tmp_path, [0.1 + 1e-16, 0.2, 0.3 + 2e-16])
    (figure,) = [figure for figure in comparison.figures if figure.name == "return"]
    assert figure.difference.value is not None
    assert figure.difference.value != 0
    text = comparison_text(comparison)
    assert "return: 0.2 | 0.2 | +0 [" in text
    assert "e-1" not in text
