"""The server's side of the query processes: started ahead of need, killed with their caller, replaced.

Why not ``anyio.to_process``: there a call can't be told which process serves it nor how that one ended, so
a query that the deadline ended looks like a crash; a child runs the parent's main module before its first
call; and nothing ends the idle ones but the end of the event loop.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from esper.karn.store.query_process import (
    HEADER_BYTES,
    LAST_WORDS,
    MAX_REPLY_BYTES,
    MEMORY_EXIT,
    OUTDATED_EXIT,
    PROGRESS,
    PROTOCOL,
    RAISED,
    frame,
)
from esper.karn.store.sqlfile import SqlFile
from esper.leyline.errors import QueryError, QueryMemoryError

OnProgress = Callable[[int, int], Awaitable[None]]
"""Told the bytes that were read and those to read in all."""

PROCESSES = 4
"""At most; each holds the database."""
KEPT_IDLE = 2
"""After a kill so many wait, loaded or loading."""
IDLE_S = 300.0
"""Beyond KEPT_IDLE, a process that nobody has needed for this long is ended."""

_ENVIRONMENT = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME"}
"""What a query process is told of the server's environment, which may hold secrets."""
_GONE = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError)


def module_command(module: str) -> list[str]:
    """Runs a module of this package in another process, with this one's Python and its warnings."""
    return [sys.executable, "-P", *(f"-W{option}" for option in sys.warnoptions), "-m", module]


def module_environment() -> dict[str, str]:
    """What such a process is told of this one's environment; it imports from the same places."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    kept = {n: v for n, v in os.environ.items() if n in _ENVIRONMENT or n.startswith("XDG_")}
    # Each thread's own arena would take its part of the address space without being used.
    # So would each of a numerical library's.
    return {**kept, "PYTHONPATH": path, "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}


class QueryProcess:
    """One query process. It loads its folder from its start on; requests wait in its pipe meanwhile."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._replies = BufferedByteReceiveStream(process.stdout)
        self.idle_since = time.monotonic()

    @classmethod
    async def start(cls, telemetry_dir: Path, views: Mapping[str, SqlFile]) -> QueryProcess:
        """Start a process over a folder, with views besides the shipped ones; it is not waited for."""
        process = await anyio.open_process(
            [*module_command("esper.karn.store.query_process"), str(telemetry_dir.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=module_environment(),
        )
        started = cls(process)
        with suppress(*_GONE):  # whoever asks it finds out
            await started._requests.send(frame((PROTOCOL, dict(views))))
        return started

    @property
    def pid(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        if self._process.returncode is not None:
            return False
        if not hasattr(os, "waitid"):  # macOS
            return True
        # The event loop may not have heard of it yet.
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        return False

    async def ask(self, request: bytes, on_progress: OnProgress | None = None) -> tuple[str, Any, bool]:
        """Send a request; the reply's kind and value, and whether the process ends with it.

        Args:
            request: a frame.
            on_progress: told how much of new telemetry was read before the answer could begin.

        Raises:
            QueryTimeoutError: if the query's deadline ended the process.
            QueryError: if something else did.
        """
        last_words: QueryError | None = None
        try:
            await self._requests.send(request)
            while True:
                kind, value, last = await self._receive()
                if kind == PROGRESS:
                    if on_progress is not None:
                        await on_progress(*value)
                elif kind == LAST_WORDS:
                    last_words = value
                else:
                    return kind, value, last
        except _GONE:
            status = await self._process.wait()
            if status == -signal.SIGALRM and last_words is not None:
                raise last_words from None
            raise _ended(status) from None

    async def _receive(self) -> tuple[str, Any, bool]:
        size = int.from_bytes(await self._replies.receive_exactly(HEADER_BYTES), "big")
        assert size <= MAX_REPLY_BYTES
        reply: tuple[str, Any, bool] = pickle.loads(await self._replies.receive_exactly(size))
        return reply

    async def end(self) -> None:
        """Kill it, whatever it does, and forget it."""
        if self.is_running:
            self._process.kill()
        await self._process.aclose()


def _ended(status: int) -> QueryError:
    if status in (MEMORY_EXIT, -signal.SIGABRT):
        return QueryMemoryError()
    if status == OUTDATED_EXIT:
        return QueryError("Karn was updated while this server ran: start the server again")
    if status == -signal.SIGKILL:
        return QueryMemoryError(
            "the query's process was killed, as a system that runs out of memory does; ask again"
        )
    return QueryError(f"the query ended its process (status {status}); a new one serves the next")


class QueryProcesses:
    """The processes over one folder: as many as calls run at once, and one more that is loaded ahead.

    Args:
        telemetry_dir: folder of all runs; it may be missing, and appear later.
        views: views besides the shipped ones.
    """

    def __init__(self, telemetry_dir: Path, views: Mapping[str, SqlFile]) -> None:
        self._telemetry_dir = telemetry_dir
        self._views = views
        self._limiter = anyio.CapacityLimiter(PROCESSES)
        self._changing = anyio.Lock()
        self._count = 0
        self._idle: list[QueryProcess] = []
        """Those that have answered stand at the end, the last used last; those that may still load before."""

    async def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        patient: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """Call ``function(store, *args, **kwargs)`` in a process; a cancelled caller's process is killed.

        Args:
            function: of a module.
            args: for it.
            kwargs: for it.
            patient: take the process that began last, though it may still load, and leave the loaded ones.
            on_progress: told how much of new telemetry was read, while that takes its time.

        Raises:
            KarnError: as the function does, or if the query ended its process.
            RuntimeError: for any other error of the function; its notes hold the traceback.
        """
        request = frame((function, args, kwargs))
        async with self._limiter:
            process = await self._take(0 if patient else -1)
            try:
                kind, value, last = await process.ask(request, on_progress)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._replace(process)
                raise
            with anyio.CancelScope(shield=True):
                if last:
                    await self._replace(process)
                else:
                    await self._give_back(process)
        if kind == RAISED:
            raise value
        return value

    async def close(self) -> None:
        """End the processes that nobody uses; those in use end with their calls. A later call starts anew."""
        with anyio.CancelScope(shield=True):
            async with self._changing:
                while self._idle:
                    await self._end(self._idle.pop())

    async def _take(self, place: int) -> QueryProcess:
        # Shielded: a process that is being started belongs to nobody who could end it.
        with anyio.CancelScope(shield=True):
            async with self._changing:
                while self._idle and not self._idle[place].is_running:
                    await self._end(self._idle.pop(place))
                process = self._idle.pop(place) if self._idle else await self._start()
                await self._keep_idle(1)
        return process

    async def _give_back(self, process: QueryProcess) -> None:
        process.idle_since = now = time.monotonic()
        self._idle.append(process)
        async with self._changing:
            while len(self._idle) > KEPT_IDLE and now - self._idle[0].idle_since > IDLE_S:
                await self._end(self._idle.pop(0))

    async def _replace(self, process: QueryProcess) -> None:
        await self._end(process)  # outside of the lock: the others need not wait for its memory to be freed
        async with self._changing:
            await self._keep_idle(KEPT_IDLE)

    async def _keep_idle(self, wanted: int) -> None:
        # They load while nobody waits, so that neither a kill nor a second caller costs a start and a load.
        while len(self._idle) < wanted and self._count < PROCESSES:
            self._idle.insert(0, await self._start())

    async def _start(self) -> QueryProcess:
        process = await QueryProcess.start(self._telemetry_dir, self._views)
        self._count += 1
        return process

    async def _end(self, process: QueryProcess) -> None:
        await process.end()
        self._count -= 1
