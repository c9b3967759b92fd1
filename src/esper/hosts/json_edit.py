"""A server's entry in a JSON file: put there, changed and taken away, the rest byte for byte as it was."""

from __future__ import annotations

import json
import re
from typing import Any

from esper.hosts.jsonc import WHITESPACE, Member, Node, ends_in_line_comment, parse
from esper.hosts.texts import malformed_at, newline_of

_TWO_SPACES = "  "


def values(text: str) -> dict[str, Any]:
    """What the whole file says.

    Raises:
        Malformed: if it is no JSON object; comments and trailing commas are allowed.
    """
    root = parse(text)
    return {} if root is None else root.value


def with_entry(text: str, container: str, name: str, entry: dict[str, Any]) -> str:
    """The text with ``{container: {name: entry}}`` in it.

    Raises:
        Malformed: if it is no JSON object, or the container no object.
    """
    root = parse(text)
    if root is None:
        return _document(text, {container: {name: entry}})
    owner = _container(text, root, container)
    if owner is None:
        return _inserted(text, root, root, container, {name: entry})
    found = _member(text, owner.node, name)
    if found is None:
        return _inserted(text, root, owner.node, name, entry)
    node = found.node
    own_line = text[text.rfind("\n", 0, found.start) + 1 : found.start].strip(WHITESPACE) == ""
    indent = _indent(text, found.start) if own_line else None
    return text[: node.start] + _shown(text, root, entry, indent) + text[node.end :]


def without_entry(text: str, container: str, name: str, *, drop_container: bool) -> str:
    """The text without the entry, and without its container where that holds nothing more.

    Raises:
        Malformed: as for with_entry.
    """
    root = parse(text)
    owner = root and _container(text, root, container)
    found = owner and _member(text, owner.node, name)
    if root is None or owner is None or found is None:
        return text
    text = _removed(text, owner.node, found)
    root = parse(text)
    left = root and _container(text, root, container)
    if root is None or left is None or not drop_container or text[left.node.start : left.node.end] != "{}":
        return text
    return _removed(text, root, left)


def _document(comments: str, value: dict[str, Any]) -> str:
    """A whole file, below the comments that a file without a value may hold."""
    newline = newline_of(comments)
    above = comments if comments.strip(WHITESPACE) else ""
    if above and not above.endswith("\n"):
        above += newline
    return above + json.dumps(value, indent=_TWO_SPACES, ensure_ascii=False).replace("\n", newline) + newline


def _container(text: str, root: Node, key: str) -> Member | None:
    found = _member(text, root, key)
    if found and not isinstance(found.node.value, dict):
        raise malformed_at(text, found.node.start, f'"{key}" must be an object, {{...}}')
    return found


def _member(text: str, owner: Node, key: str) -> Member | None:
    found = [member for member in owner.members if member.key == key]
    if len(found) > 1:
        raise malformed_at(text, found[1].start, f'"{key}" is there twice; take one away')
    return found[0] if found else None


def _indent(text: str, position: int) -> str:
    """The spaces at the beginning of a position's line."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str, root: Node) -> str:
    """One step of indentation, as the file has it."""
    outer = _indent(text, root.start)
    inner = _indent(text, root.members[0].start) if root.members else ""
    return inner.removeprefix(outer) or _TWO_SPACES


def _shown(text: str, root: Node, value: Any, indent: str | None) -> str:
    """A value as the file's other values look: on one line without an indent, else on several."""
    if indent is None:
        return json.dumps(value, ensure_ascii=False)
    shown = json.dumps(value, indent=_unit(text, root), ensure_ascii=False)
    return shown.replace("\n", newline_of(text) + indent)


def _inserted(text: str, root: Node, owner: Node, key: str, value: Any) -> str:
    """The text with a new last member of an object, behind the comments that stand at its end."""
    if not owner.members:
        return _inserted_first(text, root, owner, key, value)
    newline = newline_of(text)
    end = len(text[: owner.end - 1].rstrip(WHITESPACE))
    first, last = owner.members[0], owner.members[-1]
    content = last.end if last.comma is None else last.comma + 1
    lines = "\n" in text[owner.start : first.start]
    indent = _indent(text, first.start) if lines else None
    between = " " if indent is None else newline + indent
    if indent is None and ends_in_line_comment(text, content, end):
        between = newline
    piece = f"{between}{json.dumps(key)}: {_shown(text, root, value, indent)}"
    if last.comma is not None:  # who ends every member with a comma goes on to
        return f"{text[:end]}{piece},{text[end:]}"
    return f"{text[:content]},{text[content:end]}{piece}{text[end:]}"


def _inserted_first(text: str, root: Node, owner: Node, key: str, value: Any) -> str:
    """The text with the first member of an empty object, on lines of its own if the file has lines."""
    newline = newline_of(text)
    closing = owner.end - 1
    end = len(text[:closing].rstrip(WHITESPACE))
    if owner is not root and "\n" not in text[root.start : root.end]:
        return f"{text[:end]}{json.dumps(key)}: {_shown(text, root, value, None)}{text[end:]}"
    base = _indent(text, owner.start)
    indent = base + _unit(text, root)
    last = "" if "\n" in text[end:closing] else newline + base
    piece = f"{json.dumps(key)}: {_shown(text, root, value, indent)}"
    return f"{text[:end]}{newline}{indent}{piece}{last}{text[end:]}"


def _removed(text: str, owner: Node, member: Member) -> str:
    """The text without a member; comments around it stay."""
    index = owner.members.index(member)
    previous = owner.members[index - 1] if index else None
    before = len(text[: member.start].rstrip(WHITESPACE))
    after, kept = member.end, ""
    if member.comma is not None:
        after = member.comma + 1
        between = text[member.end : member.comma]
        kept = between if between.strip(WHITESPACE) else ""
    rest = kept + text[after:]
    head = text[:before]
    content = owner.start + 1
    if previous is not None and previous.comma is not None:
        content = previous.comma + 1
        if member is owner.members[-1] and member.comma is None:
            head = text[: previous.comma] + text[content:before]
    if ends_in_line_comment(text, content, before) and not re.match(r"[ \t]*\r?\n", rest):
        head += newline_of(text)  # or the comment would swallow what follows
    if before == owner.start + 1 and rest.lstrip(WHITESPACE).startswith("}"):
        rest = rest.lstrip(WHITESPACE)  # an object that is empty now, as {}
    return head + rest
