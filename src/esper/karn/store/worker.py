"""Runs functions on the store of a telemetry folder, away from the caller's event loop.

This is the one place where a front end's queries happen. Here the store lives in the server's own
process and each call takes a thread; a process that can be killed may take the thread's place without
a change elsewhere, as long as what is handed over can be pickled: functions of a module, plain values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from esper.karn.store.database import Store

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Calls that run at once; the others wait, so that a burst can't take all memory."""


class StoreWorker:
    """Answers questions about one telemetry folder, always from what is on disk now.

    The store is opened by the first call, so that a server which nobody asks anything starts without
    loading a database.

    Args:
        telemetry_dir: folder of all runs; it may be missing, and appear later.
    """

    def __init__(self, telemetry_dir: Path) -> None:
        self._telemetry_dir = telemetry_dir
        self._store: Store | None = None
        self._running = 0
        self._lock = threading.Lock()
        self._limiter = anyio.CapacityLimiter(THREADS)

    async def run(self, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Take in new lines of the event files, then call ``function(store, *args, **kwargs)``.

        A cancelled caller returns at once; its thread ends with its query, which has a deadline.

        Args:
            function: of a module, not a closure.
            args: for it; they can be pickled, and so can what it returns or raises.
            kwargs: as args.
        """

        def call() -> T:
            store = self._take()
            try:
                store.refresh()
                return function(store, *args, **kwargs)
            finally:
                self._give_back()

        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter)

    def close(self) -> None:
        """Give the store's memory back; a later call opens it again.

        A query that still runs, of a caller that was cancelled, keeps its store until it ends.
        """
        with self._lock:
            store, self._store = self._store, None
            busy = self._running > 0
        if store is not None and not busy:
            store.close()

    def _take(self) -> Store:
        with self._lock:
            if self._store is None:
                from esper.karn.store.database import Store

                self._store = Store(self._telemetry_dir)
            self._running += 1
            return self._store

    def _give_back(self) -> None:
        with self._lock:
            self._running -= 1
