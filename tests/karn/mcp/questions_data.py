"""Questions on whether the data is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from question_runs import BAD_LINES, LOST
from questioning import Call, Old, Question, Rows, data_rows, text_rows

LIST = Call("list_runs", {})
SILENT = "can't: it leaves out bad lines without a word, and has no seq"


def standing_of(run: str, rows: Rows, warnings: str) -> tuple[str, int, bool]:
    """Status, bad lines, and whether events are missing."""
    (row,) = [row for row in rows if row["run_dir"] == run]
    return row["status"], int(row["bad_lines"]), f"of {run} missing" in warnings


def standing_by_file(folder: Path, run: str) -> tuple[str, int, bool]:
    """The same from the bytes, for a run that ended as it should."""
    bad, seqs, last = 0, [], None
    for line in (folder / run / "events.jsonl").read_bytes().splitlines():
        try:
            last = json.loads(line)
            seqs.append(last["seq"])
        except ValueError:
            bad += 1
    assert last is not None
    assert last["event_type"] == "TRAINING_FINISHED"
    return "finished", bad, seqs != list(range(len(seqs)))


def complete(run: str, asks: str, shown: bool = False) -> Question:
    old = f"""SELECT count(*) AS n, max(event_type = 'TRAINING_FINISHED') AS finished FROM raw_events
    WHERE run_dir = '{run}'"""
    return Question(
        kind="complete",
        asks=asks,
        run=run,
        calls=[LIST],
        text=lambda texts: standing_of(run, text_rows(texts[0]), texts[0].split("\n")[0]),
        data=lambda contents: standing_of(run, data_rows(contents[0]), " ".join(contents[0]["warnings"])),
        truth=lambda folder: standing_by_file(folder, run),
        old=Old([old], None, SILENT),
        shown=shown,
    )


def rows_of(sql: str, read: Callable[[Rows], Any], truth: Any, asks: str) -> Question:
    """What a view on broken data says of ``torn``, once list_runs has named that view."""

    def named(text: str) -> None:
        assert sql.split("FROM ")[1].split()[0] in text

    def text(texts: list[str]) -> Any:
        named(texts[0].split("\n")[0])
        return read(text_rows(texts[1]))

    def data(contents: list[dict[str, Any]]) -> Any:
        named(" ".join(contents[0]["warnings"]))
        return read(data_rows(contents[1]))

    return Question(
        kind="complete",
        asks=asks,
        run="torn",
        calls=[LIST, Call("query_sql", {"sql": sql})],
        text=text,
        data=data,
        truth=lambda folder: truth,
        old=Old(["SELECT count(*) AS n FROM raw_events WHERE run_dir = 'torn'"], None, SILENT),
    )


def ranks() -> Question:
    """Ranks that wrote, and ranks that there should be."""

    def read(rows: Rows) -> tuple[int, int]:
        (row,) = [row for row in rows if row["run_dir"] == "half"]
        return int(row["ranks"]), int(row["world_size"])

    sql = """SELECT run_dir, count(DISTINCT filename) AS ranks, max((data->>'world_size')::INT) AS world_size
    FROM raw_events WHERE run_dir = 'half' GROUP BY ALL"""
    return Question(
        kind="complete",
        asks="Did every rank write, where the second of two never did?",
        run="half",
        calls=[LIST],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=lambda folder: (1, 2),
        old=Old([sql], lambda answers: read(answers[0])),
    )


def ended() -> Question:
    """Whether the run came to its end, as its status says."""

    def read(rows: Rows) -> bool:
        (row,) = [row for row in rows if row["run_dir"] == "cut"]
        return bool(row["status"] == "finished")

    sql = "SELECT count(*) AS n FROM raw_events WHERE run_dir = 'cut' AND event_type = 'TRAINING_FINISHED'"
    return Question(
        kind="complete",
        asks="Did the training end, where the file stops in the middle?",
        run="cut",
        calls=[LIST],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=lambda folder: False,
        old=Old([sql], lambda answers: answers[0][0]["n"] > 0),
    )


BROKEN = sorted(BAD_LINES)
QUESTIONS = [
    complete("oscillate", "Is `oscillate` complete?", shown=True),
    complete("torn", "Is a run complete that lost lines?"),
    rows_of(
        "SELECT line_number FROM ingest_errors WHERE run_dir = 'torn' ORDER BY line_number",
        lambda rows: [int(row["line_number"]) for row in rows],
        BROKEN,
        "Which lines are broken?",
    ),
    rows_of(
        "SELECT first_seq, last_seq FROM event_gaps WHERE run_dir = 'torn' ORDER BY first_seq",
        lambda rows: [(int(row["first_seq"]), int(row["last_seq"])) for row in rows],
        [(BROKEN[0] - 1, BROKEN[-1] - 1), LOST],
        "Which events are missing?",
    ),
    ranks(),
    ended(),
]
