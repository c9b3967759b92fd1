"""Repairs of lines that are almost JSON, as other writers leave them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from esper.leyline.codec import NON_FINITE, spell_non_finite

_BOM = b"\xef\xbb\xbf"
_EMPTY = b"\x00 \t\r\n"
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotAnEvent(ValueError):
    """The line is not an event; the text says why."""


class _Bare:
    """A NaN or infinity found in the text, until it is replaced by null."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling


def _parse_float(text: str) -> float | _Bare:
    value = float(text)
    return value if math.isfinite(value) else _Bare(spell_non_finite(value))


def repair_line(line: bytes) -> tuple[bytes, list[str]]:
    """The line as RFC 8259 JSON, and what was repaired in it.

    Raises:
        NotAnEvent: if it is beyond repair.
    """
    repairs: list[str] = []
    stripped = line.strip(_EMPTY)
    while stripped.startswith(_BOM):
        stripped = stripped[len(_BOM) :].lstrip(_EMPTY)
    if not stripped:
        raise NotAnEvent("NUL bytes and no event" if b"\x00" in line else "a byte order mark and no event")
    if line.count(b"\x00") > stripped.count(b"\x00"):
        repairs.append("NUL bytes around the event were left out")
    try:
        stripped.decode()
    except UnicodeDecodeError as error:
        raise NotAnEvent(f"not UTF-8: byte 0x{stripped[error.start]:02x} at {error.start}") from None
    try:
        msgspec.json.decode(stripped)
    except RecursionError:
        raise NotAnEvent("JSON that is nested too deep") from None
    except msgspec.DecodeError as error:
        fixed = _repair_values(stripped, repairs)
        if fixed is None:
            raise NotAnEvent(_why_malformed(stripped, error)) from None
        return fixed, repairs
    return stripped, repairs


def _why_malformed(line: bytes, error: msgspec.DecodeError) -> str:
    try:
        json.JSONDecoder().raw_decode(line.decode())
    except (ValueError, RecursionError):
        return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return f"more than one JSON value on one line: {error}"


def _repair_values(line: bytes, repairs: list[str]) -> bytes | None:
    """The line without bare NaN, Infinity and lone surrogates; None if it is no JSON even so."""
    names: dict[str, str] = {}
    try:
        event = json.loads(line, parse_constant=_Bare, parse_float=_parse_float)
        event = _without_bare(event, "", names)
        if names:
            _name_in_data(event, names)
            repairs.append(
                "read as null: " + ", ".join(f"{value} in {name}" for name, value in names.items())
            )
        text = json.dumps(event, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    clean = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    if clean != text:
        repairs.append("half of a surrogate pair was replaced by U+FFFD")
    elif not names:
        return None
    return clean.encode()


def _name_in_data(event: Any, names: dict[str, str]) -> None:
    """Name the values that became null where the codec does."""
    data = event.get("data") if isinstance(event, dict) else None
    if isinstance(data, dict):
        inner = {name[5:]: value for name, value in names.items() if name.startswith("data.")}
        already = data.get(NON_FINITE)
        if inner:
            data[NON_FINITE] = {**already, **inner} if isinstance(already, dict) else inner


def _without_bare(value: Any, path: str, names: dict[str, str]) -> Any:
    if isinstance(value, _Bare):
        names[path] = value.spelling
        return None
    if isinstance(value, dict):
        return {
            key: _without_bare(item, f"{path}.{key}" if path else key, names) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_bare(item, f"{path}.{index}", names) for index, item in enumerate(value)]
    return value
