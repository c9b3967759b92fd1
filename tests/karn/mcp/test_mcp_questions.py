"""What users ask is answered by tool calls alone, from the text alone and from the data alone.

``pytest -s`` prints what each question costs, beside the same by the predecessor's six tools.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from question_runs import make_runs
from question_table import QUESTIONS, ask_all, folder_of, table_lines, total
from questioning import KINDS, Asked, Question


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("made") / "telemetry")


@pytest.fixture(scope="module")
def answers(made: Path) -> dict[str, Asked]:
    asked = asyncio.run(ask_all(made))
    print("", *table_lines(asked), sep="\n")
    return {question.asks: answer for question, answer in zip(QUESTIONS, asked, strict=True)}


def test_there_is_a_handful_of_each_kind() -> None:
    assert all(count >= 4 for count in Counter(question.kind for question in QUESTIONS).values())
    assert {question.kind for question in QUESTIONS} == KINDS.keys()
    assert len({question.asks for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.asks)
def test_tool_calls_alone_answer(question: Question, made: Path, answers: dict[str, Asked]) -> None:
    asked, truth = answers[question.asks], question.truth(folder_of(question, made))
    assert asked.from_text == truth
    assert asked.from_data == truth


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.asks)
def test_what_is_said_of_the_predecessor_is_so(
    question: Question, made: Path, answers: dict[str, Asked]
) -> None:
    """That its answer is the same, or that it is wrong; where it can't answer, nothing is read."""
    answer, truth = answers[question.asks].old_answer, question.truth(folder_of(question, made))
    if question.old.reads is None:
        assert question.old.lacks.startswith("can't: ")
    elif question.old.lacks:
        assert question.old.lacks.startswith("wrong: ")
        assert answer != truth
    else:
        assert answer == truth


def test_a_question_costs_few_calls_and_no_more_than_a_page(answers: dict[str, Asked]) -> None:
    spent = [total(asked.spent) for asked in answers.values()]
    assert max(each.calls for each in spent) <= 2
    assert max(each.tokens for each in spent) < 1_000
