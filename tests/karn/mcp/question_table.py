"""All questions, asked; and the table of what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import questions_data
import questions_effects
import questions_thrash
from mcp_support import connect_in_memory
from predecessor_tools import Spent
from question_runs import RECORDED
from questioning import KINDS, Asked, Question, ask_question

QUESTIONS: list[Question] = [
    *questions_thrash.QUESTIONS,
    *questions_effects.QUESTIONS,
    *questions_data.QUESTIONS,
]


def folder_of(question: Question, made: Path) -> Path:
    """Where its runs are."""
    return RECORDED if (RECORDED / question.run).is_dir() else made


async def ask_all(made: Path) -> list[Asked]:
    """Ask every question, each of the server over its own folder.

    Args:
        made: what make_runs has made.
    """
    async with connect_in_memory(RECORDED) as recorded, connect_in_memory(made) as over_made:
        clients = {RECORDED: recorded, made: over_made}
        return [await ask_question(clients[folder_of(question, made)], question) for question in QUESTIONS]


def table_lines(answers: Sequence[Asked]) -> list[str]:
    """The table as Markdown, with what it adds up to."""
    lines = [
        "| question | calls | tokens | predecessor: calls | tokens | its answer |",
        "|---|---|---|---|---|---|",
    ]
    kind = ""
    for question, asked in zip(QUESTIONS, answers, strict=True):
        if question.kind != kind:
            kind = question.kind
            lines.append(f"| **{KINDS[kind]}** | | | | | |")
        old = asked.learnt + total(asked.old_spent)
        lines.append(_row(question.asks, total(asked.spent), old, _said_of_old(question, asked)))
    right = sum(not question.old.lacks for question in QUESTIONS)
    count = len(answers)
    spent = sum((total(asked.spent) for asked in answers), NOTHING)
    old = sum((asked.learnt + total(asked.old_spent) for asked in answers), NOTHING)
    lines.append(_row(f"**each of the {count} alone**", spent, old, f"{right} the same, {count - right} not"))
    spent_once: dict[str, Spent] = {}
    old_once: dict[str, Spent] = {}
    for asked in answers:
        spent_once |= asked.spent
        old_once |= asked.old_spent
    old = answers[0].learnt + total(old_once)
    lines.append(_row(f"**all {count} in one conversation**, no call twice", total(spent_once), old, ""))
    return lines


NOTHING = Spent(0, 0)


def total(spent: Mapping[str, Spent]) -> Spent:
    """What several calls took together."""
    return sum(spent.values(), NOTHING)


def _row(asks: str, spent: Spent, old: Spent, said: str) -> str:
    return f"| {asks} | {spent.calls} | {spent.tokens:,} | {old.calls} | {old.tokens:,} | {said} |"


def _said_of_old(question: Question, asked: Asked) -> str:
    if not question.old.lacks:
        return "the same"
    return question.old.lacks.format(n=len(asked.old_answer) if isinstance(asked.old_answer, set) else "")
