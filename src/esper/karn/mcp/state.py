"""What the server's tools, resources and prompts share while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from esper.karn.jsonl.ends import EndsReader
from esper.karn.store.sqlfile import SqlFile
from esper.karn.store.views import shipped_queries, shipped_views
from esper.karn.store.worker import StoreWorker

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""Who made the call that is being served; a server on standard input and output has but one client."""


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One telemetry folder, and what can be asked of it."""

    telemetry_dir: Path
    worker: StoreWorker
    query_timeout_s: float
    """Deadline of queries in SQL files and of SQL that an assistant wrote."""
    views: Mapping[str, SqlFile] = field(default_factory=shipped_views)
    queries: Mapping[str, SqlFile] = field(default_factory=shipped_queries)
    ends: EndsReader = field(default_factory=EndsReader)
    """What is known of the ends of the event files; those that have not changed are not read again."""
