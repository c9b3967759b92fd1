"""Runs functions on the store of a telemetry folder, in processes that can be killed.

This is the one place where a front end's queries happen; the front end itself loads no database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

import anyio

from esper.karn.store.processes import PROCESSES, OnProgress, QueryProcesses
from esper.karn.store.sqlfile import SqlFile

if TYPE_CHECKING:
    from esper.karn.store.database import Store

P = ParamSpec("P")
T = TypeVar("T")

ON_PROGRESS: ContextVar[OnProgress | None] = ContextVar("on_progress", default=None)
"""Told, for the call that is being served, how far the reading of new telemetry has come."""

FOREIGN_SQL = PROCESSES - 1
"""Queries that somebody else wrote and that run at once: one process is always left for our own tools."""
FOREIGN_SQL_OF_CLIENT = 2
"""Of these, the most of one client: one is always left for the others."""


class StoreWorker:
    """Answers questions about one telemetry folder, always from what is on disk now.

    Nothing is started before the first call.

    Args:
        telemetry_dir: folder of all runs; it may be missing, and appear later.
        views: views besides the shipped ones.
    """

    def __init__(self, telemetry_dir: Path, views: Mapping[str, SqlFile] | None = None) -> None:
        self._processes = QueryProcesses(telemetry_dir, views or {})
        self._foreign = anyio.CapacityLimiter(FOREIGN_SQL)
        self._of_client: WeakValueDictionary[str, anyio.CapacityLimiter] = WeakValueDictionary()

    async def run(self, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Take in new lines of the event files, then call ``function(store, *args, **kwargs)``.

        A cancelled caller returns at once; the process that worked for it is killed.

        Args:
            function: of a module, not a closure.
            args: for it; they can be pickled, and so can what it returns or raises.
            kwargs: as args.

        Raises:
            KarnError: as the function does, or QueryError if it ended its process.
            RuntimeError: for any other error of the function.
        """
        return cast(T, await self._processes.call(function, args, kwargs, on_progress=ON_PROGRESS.get()))

    async def run_sql(
        self, client: str, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``run``, for SQL that somebody else wrote; a client's slow queries hold up that client alone.

        Args:
            client: who asks.
            function: as for ``run``; it gives the SQL to ``store.query``, which keeps its deadline.
            args: as for ``run``.
            kwargs: as for ``run``.
        """
        # The variable keeps a client's limiter alive as long as one of its calls runs or waits.
        of_client = self._of_client.setdefault(client, anyio.CapacityLimiter(FOREIGN_SQL_OF_CLIENT))
        async with of_client, self._foreign:
            # A client whose queries end their processes would take the loaded ones as fast as they are made.
            patient = of_client.borrowed_tokens > 1
            tell = ON_PROGRESS.get()
            return cast(
                T, await self._processes.call(function, args, kwargs, patient=patient, on_progress=tell)
            )

    async def close(self) -> None:
        """End the processes; a later call starts them again."""
        await self._processes.close()
