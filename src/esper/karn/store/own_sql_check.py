"""Has the database look at SQL files: an OwnSql comes on standard input, what is wrong goes out."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from esper.karn.store.database import Store
from esper.karn.store.own_sql import OwnSql
from esper.karn.store.sqlfile import SqlFile, SqlFileError
from esper.leyline.errors import QueryError

_LINE = re.compile(r"\nLINE (\d+):")
_SAMPLES: dict[str, Any] = {"VARCHAR": "", "INTEGER": 0, "BIGINT": 0, "DOUBLE": 0.0, "BOOLEAN": False}


def refused(own: OwnSql) -> dict[str, str]:
    """What is wrong with each file that can't be used, by its name; over no telemetry at all."""
    with Store(Path("no-such-folder"), views=own.views) as store:
        files = {**own.views, **own.queries}
        found = {name: _problem(store, file) for name, file in files.items()}
    return {name: problem for name, problem in found.items() if problem is not None}


def _problem(store: Store, file: SqlFile) -> str | None:
    values = {param.name: _SAMPLES[param.sql_type] for param in file.params}
    # On a line of its own: a comment may end the text, and lines are counted.
    text = f"SELECT * FROM (\n{file.body}\n) LIMIT 0"
    try:
        store.select(text, values)
    except (QueryError, SqlFileError, duckdb.Error) as error:
        message = str(error)
        found = _LINE.search(message)
        line = file.body_line + (int(found[1]) - 2 if found else 0)
        return f"{file.name}.sql:{line}: {message.splitlines()[0]}"
    return None


def main() -> None:
    """Check what stands on standard input."""
    own = msgspec.json.decode(sys.stdin.buffer.read(), type=OwnSql)
    sys.stdout.buffer.write(msgspec.json.encode(refused(own)))


if __name__ == "__main__":
    main()
