"""Tells subscribers that a run has new events: by size and name of its files, which needs no database.

Files are looked at once a period for all subscribers together, and only while there are some; however many
events came in between, a subscriber is told once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import anyio
from anyio.to_thread import run_sync

from esper.karn.settings import find_event_files

PERIOD_S = 1.0
"""From an event in a file to the notification: at most this and a little."""

RUNS = "karn://runs"
_RUN = f"{RUNS}/"

OnChange = Callable[[str], Awaitable[None]]
"""Told the address of a resource that has changed."""
State = dict[str, tuple[tuple[str, int], ...]]
"""Name and size [bytes] of each event file, by run."""


class RunWatcher:
    """Looks at the files of the runs that somebody has subscribed to.

    Args:
        telemetry_dir: folder of all runs; it may be missing, and appear later.
        on_change: told of each subscribed address whose run has changed.
        on_list_change: called when a run has come or gone.
    """

    def __init__(
        self, telemetry_dir: Path, on_change: OnChange, on_list_change: Callable[[], Awaitable[None]]
    ) -> None:
        self._telemetry_dir = telemetry_dir
        self._on_change = on_change
        self._on_list_change = on_list_change
        self._wanted: Counter[str] = Counter()
        self._seen: dict[str, object] = {}
        """What stood in the files of each address when somebody was last told, or first asked."""
        self._runs: frozenset[str] = frozenset()
        self._begin = anyio.Event()

    async def watch(self, uri: str) -> None:
        """Watch an address from now on; RUNS stands for the list of runs and all of them."""
        state = await self._look()
        self._wanted[uri] += 1
        self._seen.setdefault(uri, _part(state, uri))
        if not self._begin.is_set():
            self._runs = frozenset(state)
            self._begin.set()

    def leave(self, uri: str) -> None:
        """Watch it no more, as far as this one subscriber goes."""
        self._wanted[uri] -= 1
        if not self._wanted[uri]:
            del self._wanted[uri], self._seen[uri]

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._begin.wait()
            while self._wanted:
                await anyio.sleep(PERIOD_S)
                await self._tell(await self._look())
            self._begin = anyio.Event()

    async def _tell(self, state: State) -> None:
        for uri in [uri for uri, seen in self._seen.items() if seen != _part(state, uri)]:
            self._seen[uri] = _part(state, uri)
            await self._on_change(uri)
        if self._runs != state.keys():
            self._runs = frozenset(state)
            await self._on_list_change()

    async def _look(self) -> State:
        return await run_sync(_state_of, self._telemetry_dir)


def run_of(uri: str) -> str | None:
    """The run whose events a resource shows; None if it is not about a single run."""
    return unquote(uri.removeprefix(_RUN).split("/")[0]) if uri.startswith(_RUN) else None


def _part(state: State, uri: str) -> object:
    run = run_of(uri)
    if run is not None:
        return state.get(run)
    return state if uri == RUNS else None


def _state_of(folder: Path) -> State:
    return {run: tuple(_sizes(files)) for run, files in find_event_files(folder).items()}


def _sizes(files: Iterable[Path]) -> Iterator[tuple[str, int]]:
    for path in files:
        try:
            yield path.name, path.stat().st_size
        except OSError:  # it has just gone, or is archived
            yield path.name, -1
