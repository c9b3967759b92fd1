"""The result of a query, in values that JSON can hold."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import duckdb
import msgspec


class Rows(msgspec.Struct):
    """Columns and rows of a result.

    Values are numbers, texts, booleans, None, lists and dicts; timestamps are ISO-8601 texts in UTC and
    a float that is not finite is None.
    """

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False
    """Whether there were more rows than asked for."""

    def dicts(self) -> list[dict[str, Any]]:
        """Each row by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def read_rows(result: duckdb.DuckDBPyConnection) -> Rows:
    """Everything that a result holds."""
    columns = [column[0] for column in result.description or []]
    json_columns = {
        index for index, column in enumerate(result.description or []) if str(column[1]).upper() == "JSON"
    }
    return Rows(
        columns,
        [
            [_from_json(value) if index in json_columns else plain(value) for index, value in enumerate(row)]
            for row in result.fetchall()
        ],
    )


def _from_json(value: Any) -> Any:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="microseconds") + ("" if value.tzinfo else "+00:00")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)
