"""Reads the SQL files of ``views/``: a header of comments that documents, then one bare SELECT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from esper.leyline.errors import KarnError

_LINE = re.compile(r"--\s*(title|description|grain|key):\s*(.+)\Z")
_COLUMN = re.compile(r"--\s*column\s+(\w+):\s*(.+)\Z")
_PARAM = re.compile(r"--\s*param\s+(\w+)\s+(\w+)(?:\s*=\s*([^:]+?))?\s*:\s*(.+)\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

PARAM_TYPES: dict[str, type] = {
    "VARCHAR": str,
    "INTEGER": int,
    "BIGINT": int,
    "DOUBLE": float,
    "BOOLEAN": bool,
}
"""SQL types that a query's parameter may have, with the Python type of its value."""

LATEST = "latest"
"""Default of a ``run_dir`` parameter that means the run with the newest event."""
ALL = "all"
"""Default that means no restriction; the query sees NULL."""


class SqlFileError(KarnError):
    """A SQL file whose header is not as it must be; names file and line."""


class Param(msgspec.Struct, frozen=True):
    """A parameter of an example query: ``$name`` in its text."""

    name: str
    sql_type: str
    required: bool
    default: Any
    """Value, or LATEST or ALL; None where it is required."""
    meaning: str


class SqlFile(msgspec.Struct, frozen=True):
    """One view or example query."""

    name: str
    title: str
    description: str
    grain: str
    key: str
    columns: dict[str, str]
    """Meaning of each column, in order."""
    params: list[Param]
    body: str
    """The SELECT."""


def read_sql_file(path: Path) -> SqlFile:
    """The file as a SqlFile; its name without ``.sql`` is the view's or query's name.

    Raises:
        SqlFileError: if the name or header is not as it must be.
    """
    if not _NAME.match(path.stem):
        raise SqlFileError(f"{path.name}: the name must be lower-case letters, digits and underscores")
    said: dict[str, str] = {}
    columns: dict[str, str] = {}
    params: list[Param] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    for number, line in enumerate(lines, 1):  # where the header ends is needed below
        if not line.startswith("--"):
            break
        if found := _LINE.match(line):
            said[found[1]] = found[2]
        elif found := _COLUMN.match(line):
            columns[found[1]] = found[2]
        elif found := _PARAM.match(line):
            params.append(_param(path, number, found))
        elif re.match(r"--\s*\w+(\s+\w+)*:", line):
            raise SqlFileError(
                f"{path.name}:{number}: not a header line: {line[:60]!r}; a header has title, description, "
                "grain, key, column NAME and param NAME TYPE"
            )
    for word in ("title", "description"):
        if word not in said:
            raise SqlFileError(f"{path.name}:{number}: no '-- {word}: ...' line before the SELECT")
    body = "\n".join(lines[number - 1 :]).strip().removesuffix(";")
    if not body:
        raise SqlFileError(f"{path.name}:{number}: no SELECT after the header")
    return SqlFile(
        name=path.stem,
        title=said["title"],
        description=said["description"],
        grain=said.get("grain", ""),
        key=said.get("key", ""),
        columns=columns,
        params=params,
        body=body,
    )


def _param(path: Path, number: int, found: re.Match[str]) -> Param:
    name, sql_type, default, meaning = found.groups()
    kind = PARAM_TYPES.get(sql_type.upper())
    if kind is None:
        raise SqlFileError(
            f"{path.name}:{number}: parameter {name} has type {sql_type}; use one of {', '.join(PARAM_TYPES)}"
        )
    value: Any = default
    if default is not None and default not in (LATEST, ALL):
        try:
            value = default.lower() == "true" if kind is bool else kind(default.strip("'"))
        except ValueError:
            raise SqlFileError(f"{path.name}:{number}: {default!r} is no {sql_type} for {name}") from None
    return Param(name, sql_type.upper(), default is None, value, meaning)
