"""Reads the SQL files of ``views/``: a header of comments that documents, then one bare SELECT."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from esper.leyline.errors import KarnError

_LINE = re.compile(r"--\s*(title|description|grain|key):\s*(.+)\Z")
_COLUMN = re.compile(r"--\s*column\s+(\w+):\s*(.+)\Z")
_PARAM = re.compile(r"--\s*param\s+(\w+)\s+(\w+)(?:\s*=\s*([^:]+?))?\s*:\s*(.+)\Z")
_MEANT = re.compile(r"--\s*(?:(?:title|description|grain|key|column|param)\b|\w+(?:\s+\w+)*:)")
_USED = re.compile(r"(?<![\w$])\$([A-Za-z_]\w*)")
_NO_CODE = re.compile(r"'(?:[^']|'')*'|--.*")
_BOOLEANS = {"true": True, "false": False}
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

MAX_BYTES = 200_000
"""Of a SQL file; a longer one was not written by hand."""
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
    body_line: int = 1
    """Number of the file's line on which it begins."""


def read_sql_file(path: Path) -> SqlFile:
    """The file as a SqlFile; its name without ``.sql`` is the view's or query's name.

    Raises:
        SqlFileError: if the name, header or parameters are not as they must be.
    """
    if not _NAME.match(path.stem):
        raise SqlFileError(f"{path.name}: the name must be lower-case letters, digits and underscores")
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_BYTES:
            raise SqlFileError(f"{path.name}: can't be read: no file of at most {MAX_BYTES // 1000} kB")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SqlFileError(f"{path.name}: can't be read: {error}") from None
    n_header = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = _Header(path.name)
    for number, line in enumerate(lines[:n_header], 1):
        header.read(number, line)
    end = n_header + 1
    for word in ("title", "description"):
        if word not in header.said:
            raise SqlFileError(f"{path.name}:{end}: no '-- {word}: ...' line before the SELECT")
    body = "\n".join(lines[n_header:]).strip().removesuffix(";")
    first = next((i for i, line in enumerate(lines[n_header:], end) if line.strip()), end)
    if not body:
        raise SqlFileError(f"{path.name}:{end}: no SELECT after the header")
    _check_params(path.name, header, lines, n_header)
    return SqlFile(
        name=path.stem,
        title=header.said["title"],
        description=header.said["description"],
        grain=header.said.get("grain", ""),
        key=header.said.get("key", ""),
        columns=header.columns,
        params=list(header.params.values()),
        body=body,
        body_line=first,
    )


class _Header:
    """The comments at the top of a file, read line by line."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.said: dict[str, str] = {}
        self.columns: dict[str, str] = {}
        self.params: dict[str, Param] = {}
        self.param_lines: dict[str, int] = {}

    def read(self, number: int, line: str) -> None:
        if found := _LINE.match(line):
            self._once(number, self.said, found[1])[found[1]] = found[2]
        elif found := _COLUMN.match(line):
            self._once(number, self.columns, found[1])[found[1]] = found[2]
        elif found := _PARAM.match(line):
            self._once(number, self.params, found[1])[found[1]] = _param(f"{self.file}:{number}", found)
            self.param_lines[found[1]] = number
        elif _MEANT.match(line):
            raise SqlFileError(
                f"{self.file}:{number}: not a header line: {line[:60]!r}; a header has title, description, "
                "grain, key, column NAME and param NAME TYPE [= default], each with a colon and its text"
            )

    def _once(self, number: int, into: dict[str, Any], name: str) -> dict[str, Any]:
        if name in into:
            raise SqlFileError(f"{self.file}:{number}: {name} is there twice")
        return into


def _param(place: str, found: re.Match[str]) -> Param:
    name, sql_type, default, meaning = found.groups()
    kind = PARAM_TYPES.get(sql_type.upper())
    if kind is None:
        raise SqlFileError(
            f"{place}: parameter {name} has type {sql_type}; use one of {', '.join(PARAM_TYPES)}"
        )
    if default == LATEST and (name, sql_type.upper()) != ("run_dir", "VARCHAR"):
        raise SqlFileError(f"{place}: only 'run_dir VARCHAR' can be {LATEST}, not {name} {sql_type}")
    value: Any = default
    if default is not None and default not in (LATEST, ALL):
        try:
            value = _BOOLEANS[default.lower()] if kind is bool else kind(default.strip("'"))
        except (ValueError, KeyError):
            raise SqlFileError(f"{place}: {default!r} is no {sql_type} for {name}") from None
    return Param(name, sql_type.upper(), default is None, value, meaning)


def _check_params(file: str, header: _Header, lines: list[str], n_header: int) -> None:
    used: set[str] = set()
    for number, line in enumerate(lines[n_header:], n_header + 1):
        for name in _USED.findall(_NO_CODE.sub("", line)):
            if name not in header.params:
                raise SqlFileError(f"{file}:{number}: ${name} has no '-- param {name} TYPE: ...' line")
            used.add(name)
    for name, number in header.param_lines.items():
        if name not in used:
            raise SqlFileError(f"{file}:{number}: the SELECT does not use ${name}")
