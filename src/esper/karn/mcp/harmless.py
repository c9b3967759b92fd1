"""Texts from telemetry made fit for an answer: cut, and on one line where they stand in a line."""

from __future__ import annotations

from typing import Any

from esper.karn.mcp.table import cut_cell
from esper.karn.textout import clean

MAX_TEXT = 1_000
"""Characters of a text."""
MAX_NAME = 80
"""Characters of a name within a sentence."""


def cut_texts(value: Any) -> Any:
    """The value with every text in it cut."""
    if isinstance(value, dict):
        return {cut_cell(key, MAX_NAME): cut_texts(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [cut_texts(entry) for entry in value]
    return cut_cell(value, MAX_TEXT)


def line(text: str, longest: int = MAX_TEXT) -> str:
    """The text cut, on one line, without control characters."""
    cut: str = cut_cell(text, longest)
    return clean(cut)
