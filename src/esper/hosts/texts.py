"""What editing a JSON and a TOML file have in common: where an error is, and how lines end."""

from __future__ import annotations


class Malformed(Exception):
    """A file's text is not what its format asks for.

    Attributes:
        reason: what is wrong.
        line, column: where, both counted from 1.
    """

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


def malformed_at(text: str, position: int, reason: str) -> Malformed:
    """The error for a position in a text."""
    return Malformed(reason, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))


def newline_of(text: str) -> str:
    """How the text's lines end, told by its first one."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
