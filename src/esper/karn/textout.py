"""Plain text for people: aligned tables, and texts from telemetry made harmless."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

_WORD = re.compile(r"[\w.:/+-]+")

MAX_CELL = 60
"""Characters of a cell in a table; a longer one is cut and ends with an ellipsis."""


def clean(text: str) -> str:
    """The text on one line, with control and escape characters replaced: it can't move the cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def counted(n: int, what: str) -> str:
    """``1 slot``, ``2 slots``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def quoted(name: str) -> str:
    """A name from telemetry within a sentence: as it is where it is one word, else between quotes."""
    shown = clean(name)
    return shown if _WORD.fullmatch(shown) else f'"{shown}"'


def cell(value: Any) -> str:
    """A value as the text of a table's cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (dict, list)):
        return clean(json.dumps(value, ensure_ascii=False))
    return clean(str(value))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned with spaces, numbers to the right; a header and one line for each row."""
    texts = [[_cut(cell(value)) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(columns)]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
        for i in range(len(columns))
    ]
    lines = [_line(columns, widths, right), *(_line(row, widths, right) for row in texts)]
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        text.rjust(width) if aligned else text.ljust(width)
        for text, width, aligned in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """RFC 4180 CSV with a header; None is empty, nested values are JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [
                json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else value
                for value in row
            ]
        )
    return out.getvalue()
