"""What a question is, how it is asked through tools alone, and what it costs here and there."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mcp import Client
from mcp_support import text_of
from predecessor_tools import OPS, Spent, compact, find_out, query

from oracle import read_run

KINDS = {
    "thrash": "Is it thrashing, or not?",
    "slot": "Which slot?",
    "since": "Since when?",
    "help": "Do GROW ops help?",
    "changed": "What changed between two runs?",
    "complete": "Is the data complete?",
}

Rows = list[dict[str, Any]]


class Call(NamedTuple):
    """A tool and its arguments."""

    tool: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        given = [f"{name}={compact(value)}" for name, value in self.arguments.items()]
        return f"{self.tool}({', '.join(given)})"


@dataclass(frozen=True)
class Old:
    """How the predecessor's tools answer a question, after what find_out has learnt.

    Attributes:
        sql: its queries.
        reads: the answer from their rows; None where they do not have it.
        lacks: what is missing or wrong in that answer; empty where it is right.
    """

    sql: list[str]
    reads: Callable[[list[Rows]], Any] | None = None
    lacks: str = ""


@dataclass(frozen=True)
class Question:
    """A question with its script, two ways to read the answer, and the truth.

    Attributes:
        kind: a key of KINDS.
        asks: the question, in words.
        run: the run that it is about, or the first of them.
        calls: what an assistant calls.
        text: the answer, from the text parts alone.
        data: the answer, from the structured contents alone.
        truth: the answer, from the folder of its runs: by raw events, or known from how they were made.
        old: the same by the predecessor's tools.
        shown: whether docs/questions.md shows it.
    """

    kind: str
    asks: str
    run: str
    calls: list[Call]
    text: Callable[[list[str]], Any]
    data: Callable[[list[dict[str, Any]]], Any]
    truth: Callable[[Path], Any]
    old: Old
    shown: bool = False


class Asked(NamedTuple):
    """What came of a question.

    Attributes:
        spent: what each of its calls took.
        learnt: what the predecessor's calls took that find out how to ask.
        old_spent: what each of its queries took then.
    """

    texts: list[str]
    from_text: Any
    from_data: Any
    spent: dict[str, Spent]
    old_answer: Any
    learnt: Spent
    old_spent: dict[str, Spent]


async def ask_question(client: Client, question: Question) -> Asked:
    """Ask by the server's own tools, and then as the predecessor's would have to."""
    texts, contents, spent = [], [], {}
    for call in question.calls:
        result = await client.call_tool(call.tool, call.arguments)
        text = text_of(result)
        assert not result.is_error, text
        texts.append(text)
        contents.append(result.structured_content)
        n_bytes = len(compact(call.arguments).encode()) + len(mask(text, FIXED).encode())
        spent[str(call)] = Spent(1, n_bytes)
    learnt = await find_out(client, question.run)
    old_rows, old_spent = [], {}
    for sql in question.old.sql:
        old_spent[sql], rows = await query(client, sql)
        old_rows.append(rows)
    return Asked(
        texts=texts,
        from_text=question.text(texts),
        from_data=question.data(contents),
        spent=spent,
        old_answer=question.old.reads(old_rows) if question.old.reads else None,
        learnt=learnt,
        old_spent=old_spent,
    )


FIXED = "2026-01-01T00:00:00.000000Z"
"""A time as long as any, so that what is counted does not depend on the clock."""


def mask(text: str, at: str = "...Z") -> str:
    """A text without what differs from one asking to the next: the time, and the ages of runs."""
    text = re.sub(r"\bas of \d[^ ]*Z", f"as of {at}", text)
    return re.sub(r"(Z,\d{4}-[^,\n]+Z),[\d.]+$", r"\1,...", text, flags=re.MULTILINE)


# Reading answers.


def text_rows(text: str) -> Rows:
    """The rows of a table's text, every cell a string."""
    return list(csv.DictReader(text.split("\n")[1:]))


def data_rows(content: dict[str, Any]) -> Rows:
    """The rows of a table's structured content."""
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def found(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern's one place in a text."""
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, (pattern, text)
    return match.groups()


def numbers(pattern: str, text: str) -> list[float]:
    """Those groups as numbers."""
    return [float(group) for group in found(pattern, text)]


def rounded(values: Iterable[float], digits: int) -> list[float]:
    return [round(value, digits) for value in values]


def events(folder: Path, run: str) -> list[dict[str, Any]]:
    """Every event of a run, read by Python's json."""
    return read_run(folder / run)


def old_pairs(*runs: str) -> str:
    """The start of the predecessor's query over pairs of ops."""
    return OPS.format(runs=", ".join(f"'{run}'" for run in runs))
