"""Reading JSON objects of which some field has the wrong type: that field is null, the others stand."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_PATH = re.compile(r" - at `\$\.([^\[`]+)")


class UnreadableError(ValueError):
    """An object that can't be read even with every wrong field as null; the text says why."""


def null_unreadable(fields: dict[str, Any], target: Any) -> list[str]:
    """Set to None each field that ``target`` can't take, in place, and return their dotted names.

    Args:
        fields: a decoded JSON object.
        target: the msgspec type to read it as.

    Raises:
        UnreadableError: if a field that is missing or null may not be so.
    """
    bad: list[str] = []
    while True:
        try:
            msgspec.convert(fields, target, strict=False)
        except msgspec.ValidationError as error:
            found = _PATH.search(str(error))
            if found is None or found[1] in bad:
                raise UnreadableError(str(error)) from None
            bad.append(found[1])
            _set_none(fields, found[1].split("."))
        else:
            return bad


def _set_none(fields: dict[str, Any], path: list[str]) -> None:
    for step in path[:-1]:
        fields = fields[step]
    fields[path[-1]] = None
