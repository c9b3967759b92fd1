"""A server's entry in a TOML file: put there, changed and taken away, the rest byte for byte as it was.

tomllib says what a file means and whether it is right; the scanner here only says which lines are the entry.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, NamedTuple

from esper.hosts.texts import Malformed, malformed_at, newline_of

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|\n'
    r'|[^"\'#\[\]{}\n]+',
    re.DOTALL,
)
_KEY = re.compile(r'(?:"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[^"\'=\n])*')
_HEADER = re.compile(r'\[{1,2}((?:"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[^\]"\'])*)\]')
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class Statement(NamedTuple):
    """A table's header or a key with its value: whole lines, ``text[start:end]``."""

    start: int
    end: int
    path: tuple[str, ...]
    """From the top of the file, whatever table it stands in."""
    header: bool


def values(text: str) -> dict[str, Any]:
    """What the whole file says.

    Raises:
        Malformed: if it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        if place is None:
            raise malformed_at(text, len(text), str(error).removesuffix(" (at end of document)")) from None
        reason = str(error)[: place.start()]
        raise Malformed(reason[:1].lower() + reason[1:], int(place[1]), int(place[2])) from None


def with_entry(text: str, container: str, name: str, entry: dict[str, Any]) -> str:
    """The text with the table ``[container.name]`` in it, in the place of an older one or at the end.

    Raises:
        Malformed: if it is no TOML, or the container is no table that another can be added to.
    """
    values(text)
    _check_container(text, container)
    block = _block(container, name, entry, newline_of(text))
    groups = _groups(text, (container, name))
    if groups and groups[0].header and groups[0].path == (container, name):
        for group in reversed(groups[1:]):
            text = _cut(text, group)
        ending = text[groups[0].end - 1 : groups[0].end]
        return text[: groups[0].start] + (block if ending == "\n" else block.rstrip()) + text[groups[0].end :]
    for group in reversed(groups):
        text = _cut(text, group)
    if not text.strip():
        return block
    newline = newline_of(text)
    if text.endswith("\n"):
        return text + newline + block
    return text + newline + newline + block.rstrip()


def without_entry(text: str, container: str, name: str, *, drop_container: bool) -> str:
    """The text without the entry's tables. A container needs no line of its own in TOML, so none is dropped.

    Raises:
        Malformed: as for with_entry.
    """
    values(text)
    _check_container(text, container)
    for group in reversed(_groups(text, (container, name))):
        text = _cut(text, group)
    return text


def _check_container(text: str, container: str) -> None:
    for statement in _statements(text):
        opening = text[statement.start : statement.end].lstrip()
        if statement.path == (container,) and (not statement.header or opening.startswith("[[")):
            raise malformed_at(
                text,
                statement.start,
                f"{container} can't be extended here; write it as [{container}.NAME] tables",
            )


def _block(container: str, name: str, entry: dict[str, Any], newline: str) -> str:
    lines = [f"[{container}.{name}]", *(f"{key} = {_shown(value)}" for key, value in entry.items())]
    return newline.join(lines) + newline


def _shown(value: str | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which JSON lets stand


def _groups(text: str, path: tuple[str, ...]) -> list[Statement]:
    """Runs of statements that belong to a path, each as one."""
    groups: list[Statement] = []
    previous_is_ours = False
    for statement in _statements(text):
        ours = statement.path[: len(path)] == path
        if ours and previous_is_ours:
            groups[-1] = groups[-1]._replace(end=statement.end)
        elif ours:
            groups.append(statement)
        previous_is_ours = ours
    return groups


def _cut(text: str, group: Statement) -> str:
    """The text without these lines, and without one of two blank lines that would now meet."""
    before, after = text[: group.start], text[group.end :]
    newline = newline_of(text)
    blank = before.endswith(newline * 2) or before == newline
    if blank and (not after or after.startswith(newline)):
        before = before.removesuffix(newline)
    if not after and not text.endswith("\n"):
        before = before.removesuffix(newline)
    return before + after


def _statements(text: str) -> list[Statement]:
    """Every statement of a text that tomllib has read."""
    found = []
    table: tuple[str, ...] = ()
    position = 0
    while position < len(text):
        end = _statement_end(text, position)
        body = text[position:end].strip()
        if header := _HEADER.match(body):
            table = _path(header[1])
            found.append(Statement(position, end, table, True))
        elif body and not body.startswith("#") and (key := _KEY.match(body)):
            found.append(Statement(position, end, table + _path(key[0]), False))
        position = end
    return found


def _statement_end(text: str, position: int) -> int:
    """Behind the line end of the statement that begins here; a string or an array may hold line ends."""
    depth = 0
    while token := _TOKEN.match(text, position):
        position = token.end()
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and depth == 0:
            break
    return position


def _path(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, as tomllib reads them."""
    parts = []
    found: Any = tomllib.loads(f"{key} = 0")
    while isinstance(found, dict):
        ((part, found),) = found.items()
        parts.append(part)
    return tuple(parts)
