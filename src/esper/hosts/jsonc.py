"""A reader of JSON with comments and trailing commas that remembers where everything stands.

A file is changed by replacing pieces of its text, never by printing it anew: so comments, key order,
indentation and line ends stay as their owner wrote them.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from esper.hosts.texts import malformed_at

WHITESPACE = " \t\r\n"
_PIECE = re.compile(r"[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_WORD = re.compile(r"[-+.\w]+")


class Node(NamedTuple):
    """A value: ``text[start:end]``, what it says, and its members where it is an object."""

    start: int
    end: int
    value: Any
    members: list[Member]


class Member(NamedTuple):
    """A key with its value: from the key's quote at ``start`` to the value's ``end``."""

    key: str
    start: int
    end: int
    node: Node
    comma: int | None
    """Where the comma behind it stands."""


def parse(text: str) -> Node | None:
    """The text's object; None where there are only spaces and comments.

    Raises:
        Malformed: if it is no JSON, or its top level is no object.
    """
    start = skip(text, 0)
    if start == len(text):
        return None
    try:
        root = _value(text, start)
    except RecursionError:
        raise malformed_at(text, start, "it is nested too deeply") from None
    end = skip(text, root.end)
    if end != len(text):
        raise malformed_at(text, end, "something stands behind the end of the JSON value")
    if not isinstance(root.value, dict):
        raise malformed_at(text, start, "the top level must be an object, {...}")
    return root


def skip(text: str, position: int) -> int:
    """The next position that is neither space nor comment."""
    while piece := _PIECE.match(text, position):
        position = piece.end()
    return position


def ends_in_line_comment(text: str, start: int, end: int) -> bool:
    """Whether the last thing between two positions, spaces and comments alone, is a // comment."""
    last = ""
    while start < end and (piece := _PIECE.match(text, start, end)):
        start = piece.end()
        last = piece[0] if piece[0].strip(WHITESPACE) else last
    return last.startswith("//")


def _value(text: str, start: int) -> Node:
    opening = text[start : start + 1]
    if opening == "{":
        return _object(text, start)
    if opening == "[":
        return _array(text, start)
    token = (_STRING if opening == '"' else _WORD).match(text, start)
    if token is None:
        what = "a string that does not end" if opening == '"' else "no value"
        raise malformed_at(text, start, f"{what} where a value was expected")
    return Node(start, token.end(), _scalar(text, start, token[0]), [])


def _scalar(text: str, start: int, token: str) -> Any:
    try:
        return json.loads(token)
    except ValueError:
        raise malformed_at(text, start, f"{token[:40]} is no JSON value") from None


def _object(text: str, start: int) -> Node:
    members: list[Member] = []
    position = skip(text, start + 1)
    while text[position : position + 1] != "}":
        key = _STRING.match(text, position)
        if key is None:
            raise malformed_at(text, position, 'a key in quotes or "}" was expected')
        colon = skip(text, key.end())
        if text[colon : colon + 1] != ":":
            raise malformed_at(text, colon, 'a ":" was expected behind the key')
        node = _value(text, skip(text, colon + 1))
        comma, following = _comma(text, node.end, "}")
        members.append(Member(_scalar(text, position, key[0]), position, node.end, node, comma))
        position = following
    return Node(start, position + 1, {member.key: member.node.value for member in members}, members)


def _array(text: str, start: int) -> Node:
    values = []
    position = skip(text, start + 1)
    while text[position : position + 1] != "]":
        node = _value(text, position)
        values.append(node.value)
        _, position = _comma(text, node.end, "]")
    return Node(start, position + 1, values, [])


def _comma(text: str, end: int, closing: str) -> tuple[int | None, int]:
    """Where the comma behind a value stands, if there is one, and where the next thing begins."""
    position = skip(text, end)
    found = text[position : position + 1]
    if found == ",":
        return position, skip(text, position + 1)
    if found != closing:
        raise malformed_at(text, position, f'a "," or "{closing}" was expected')
    return None, position
