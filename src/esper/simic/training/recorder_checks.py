"""What a training loop hands over, as plain Python values; what can't be is refused before it does harm.

Most loops give plain values, and these are called for every one: the exact type is asked for first.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Mapping
from typing import Any

from esper.leyline.errors import TelemetryUsageError

__all__ = [
    "check_probabilities",
    "check_probability",
    "env_index",
    "number",
    "numbers",
    "plain",
    "slot_name",
    "whole",
]

DUST = 1e-6
"""How far beyond 0 or 1 rounding may carry a probability."""
MAX_SHOWN = 60
"""Characters of a wrong value in an error."""


def plain(value: Any) -> Any:
    """A NumPy scalar or tensor of one element as Python's own value; a tensor would keep its graph alive."""
    item = getattr(value, "item", None)
    return value if item is None or math.prod(getattr(value, "shape", ())) != 1 else item()


def env_index(value: Any) -> int:
    """An environment as an int: a tensor hashes by identity, and would be another environment each time.

    Raises:
        TelemetryUsageError: if it is no whole number; a bool is none.
    """
    return value if type(value) is int else _index("env", value)


def whole(env: int, name: str, value: Any) -> int:
    """A level or an epoch as an int.

    Raises:
        TelemetryUsageError: if it is no whole number; a bool is none.
    """
    return value if type(value) is int else _index(f"env {env}: {name}", value)


def slot_name(env: int, name: str, value: Any) -> str:
    """A slot's name as a plain str.

    Raises:
        TelemetryUsageError: if it is no text.
    """
    if type(value) is str:
        return value
    if isinstance(value, str):  # NumPy's, or an enum's
        return str.__str__(value)
    raise TelemetryUsageError(f"env {env}: {name} must be a text, not {_shown(value)}")


def number(env: int, name: str, value: Any) -> Any:
    """A measured value as an int or a float, NaN too; None where nothing was measured.

    Raises:
        TelemetryUsageError: if it is something else, such as a text.
    """
    if value is None or type(value) is float or type(value) is int:
        return value
    given = plain(value)
    if not isinstance(given, bool):
        if isinstance(given, int | float):
            return given
        if hasattr(given, "__float__") and getattr(given, "shape", ()) == ():  # a Decimal, a long double
            return float(given)
    raise TelemetryUsageError(f"env {env}: {name} must be a number, not {_shown(value)}")


def numbers(env: int, name: str, values: Mapping[str, float] | None) -> dict[str, float | None] | None:
    """Each of the values as ``number`` gives it.

    Raises:
        TelemetryUsageError: if one is no number.
    """
    if values is None:
        return None
    return {
        key: value if type(value) is float else number(env, f"{name}[{key!r}]", value)
        for key, value in values.items()
    }


def check_probability(env: int, name: str, value: Any) -> Any:
    """What is None, not finite (recorded as such), or in 0 to 1 but for rounding.

    Raises:
        TelemetryUsageError: on another number; per cent would spoil every effect that weighs by it. And if
            it is no number.
    """
    value = number(env, name, value)
    if value is not None and math.isfinite(value) and not -DUST <= value <= 1 + DUST:
        raise TelemetryUsageError(f"env {env}: {name} must lie in 0 to 1, not {value:g}")
    return value


def check_probabilities(
    env: int, name: str, values: Mapping[str, float] | None
) -> dict[str, float | None] | None:
    """Each of the values as ``check_probability`` lets it pass.

    Raises:
        TelemetryUsageError: if one does not.
    """
    if values is None:
        return None
    return {
        key: value
        if type(value) is float and 0.0 <= value <= 1.0
        else check_probability(env, f"{name}[{key!r}]", value)
        for key, value in values.items()
    }


def _index(what: str, value: Any) -> int:
    given = plain(value)
    if not isinstance(given, bool):
        with contextlib.suppress(TypeError):
            return operator.index(given)
    raise TelemetryUsageError(f"{what} must be a whole number, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
