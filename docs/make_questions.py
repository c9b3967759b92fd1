"""Fills docs/questions.md with what the server answers, and what each question costs (``make questions``).

The questions are those of the tests, so that what the page shows is what is checked.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from question_runs import make_runs
from question_table import QUESTIONS, ask_all, table_lines
from questioning import Asked, Question, mask

ROOT = Path(__file__).resolve().parents[1]


def filled(page: str) -> str:
    """The page's text with every answer and the table as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        answers = asyncio.run(ask_all(make_runs(Path(folder))))
    shown = [section(q, asked) for q, asked in zip(QUESTIONS, answers, strict=True) if q.shown]
    for name, text in (("answers", "\n".join(shown)), ("table", "\n".join(table_lines(answers)))):
        page = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, name=name, text=text: f"<!-- {name} -->\n{text}\n<!-- /{name} -->",
            page,
            flags=re.DOTALL,
        )
    return page


def section(question: Question, asked: Asked) -> str:
    """A question with its calls and the text of each answer."""
    parts = [f"## {question.asks}\n"]
    for call, text in zip(question.calls, asked.texts, strict=True):
        parts.append(f"`{call}`\n\n```text\n{mask(text)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    path = ROOT / "docs/questions.md"
    path.write_text(filled(path.read_text()))
