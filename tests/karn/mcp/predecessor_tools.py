"""What the tools of the predecessor's server would answer, to count what a question costs there.

Its SQL is run for real, by our query_sql over the same files: ``raw_events`` has its columns and more.
Answers are counted as compact JSON, though it sends them indented, and its list of views by its length alone.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from mcp import Client
from mcp_support import ask, dicts

LIST_VIEWS_BYTES = 1_871
"""Length of its answer to list_views, as compact JSON."""

RAW_EVENTS = {
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "seed_id": "VARCHAR",
    "slot_id": "VARCHAR",
    "epoch": "BIGINT",
    "group_id": "VARCHAR",
    "message": "VARCHAR",
    "data": "JSON",
    "severity": "VARCHAR",
    "filename": "VARCHAR",
    "run_dir": "VARCHAR",
}
"""Columns of its only view that holds events of internal ops."""

PAYLOADS = """SELECT event_type, min_by(data, timestamp) AS data FROM raw_events WHERE run_dir = '{run}'
GROUP BY event_type ORDER BY event_type"""
"""How an assistant learns the names of the payloads' fields, which nothing there documents."""

OPS = """
WITH ops AS (SELECT run_dir, slot_id, seed_id, epoch, timestamp, (data->>'env_id')::INT AS env,
(data->>'episode_idx')::INT AS episode, sign((data->>'to_level')::INT - (data->>'from_level')::INT) AS d
FROM raw_events WHERE event_type = 'SEED_INTERNAL_LEVEL_CHANGED' AND run_dir IN ({runs})),
pairs AS (SELECT *, lag(d) OVER (PARTITION BY run_dir, env, slot_id, seed_id, episode ORDER BY timestamp) AS p
FROM ops)
"""
"""Pairs of consecutive ops: the start of most of its queries."""


class Spent(NamedTuple):
    """What answering took: calls, and bytes of their arguments and of the answers' text."""

    calls: int
    n_bytes: int

    @property
    def tokens(self) -> int:
        """At four bytes a token."""
        return round(self.n_bytes / 4)

    def __add__(self, other: Any) -> Spent:
        return Spent(self.calls + other.calls, self.n_bytes + other.n_bytes)


def flat(sql: str) -> str:
    """SQL on one line, which costs the least."""
    return " ".join(sql.split())


def compact(value: Any) -> str:
    """JSON without a space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def query(client: Client, sql: str) -> tuple[Spent, list[dict[str, Any]]]:
    """Its query_sql: what that takes, and the rows."""
    sql = flat(sql)
    table = await ask(client, "query_sql", sql=sql, limit=100)
    rows = [{name: _as_it_sends(cell) for name, cell in row.items()} for row in dicts(table)]
    answer = {"ok": True, "columns": table["columns"], "rows": rows, "row_count": len(rows)}
    return Spent(1, len(compact({"query": sql}).encode()) + len(compact(answer).encode())), rows


def _as_it_sends(cell: Any) -> Any:
    """JSON in a cell as a text; an inode without its digits, which are as many as the file system likes."""
    if not isinstance(cell, (dict, list)):
        return cell
    return re.sub(r'"inode":\d+', '"inode":0', compact(cell))


async def find_out(client: Client, run: str) -> Spent:
    """What an assistant must learn before its first SQL: views, columns of raw_events, fields of payloads."""
    columns = [
        {"cid": i, "name": name, "type": kind, "notnull": False, "dflt_value": None, "pk": False}
        for i, (name, kind) in enumerate(RAW_EVENTS.items())
    ]
    described = compact({"ok": True, "view": "raw_events", "columns": columns})
    arguments = compact({"view_name": "raw_events"})
    payloads, _ = await query(client, PAYLOADS.format(run=run))
    return Spent(1, LIST_VIEWS_BYTES + 2) + Spent(1, len(arguments) + len(described)) + payloads
