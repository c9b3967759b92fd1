"""The query process: one store of its own, under limits that the kernel keeps, serving until its server ends.

Started as ``python -m esper.karn.store.query_process FOLDER``. Standard input brings first the protocol and
the views besides the shipped ones, then requests; replies go to standard output. All are frames: eight
bytes of length, then a pickle. Nothing else can write there: both are moved away before anything is loaded,
and what prints, prints to nowhere.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from esper import __version__
from esper.leyline.errors import KarnError, QueryError, QueryMemoryError, QueryTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esper.karn.store.database import Store
    from esper.karn.store.sqlfile import SqlFile

ADDRESS_SPACE_BYTES = 1_500_000_000
"""All that the process may map. Functions such as repeat() and range() heed no limit of the database; what
they ask for beyond this fails at once (Linux), or ends the process (elsewhere)."""
MEMORY_LIMIT = "700MB"
"""Of the database, well under the address space, which also holds Python and the rows on their way."""
DATABASE_THREADS = 2
GRACE_S = 0.5
"""From a query's deadline, at which DuckDB is told to stop, to the end of a process that has not."""
MAX_REPLY_BYTES = 8_000_000
MAX_GROWTH_BYTES = 250_000_000
"""Address space that queries may leave behind them; a process with more is replaced, as the next query would
find too little of it (allocators keep what was freed)."""
MEMORY_EXIT = 77
"""Exit status of a process that the memory watchdog ended."""
OUTDATED_EXIT = 78
"""Exit status of a process that is of another version than the server which started it."""
HEADER_BYTES = 8
PROTOCOL = f"karn query process 2, {__version__}"
"""Raised with every change to what goes through the pipes: files may be updated under a server that runs."""

RETURNED, RAISED, LAST_WORDS, PROGRESS = "returned", "raised", "last words", "progress"
"""Kinds of a reply. Two come before the reply proper: LAST_WORDS, the error to raise if the deadline ends
all, and PROGRESS, the bytes of new telemetry that were read and those to read in all."""
PROGRESS_PERIOD_S = 0.25

_WATCHDOG_PERIOD_S = 0.05


def frame(message: Any) -> bytes:
    """A message as it goes through a pipe."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def read_frame(source: IO[bytes]) -> bytes | None:
    """The pickle of the next message; None where there is no more."""
    header = _read_exactly(source, HEADER_BYTES)
    return _read_exactly(source, int.from_bytes(header, "big")) if header else None


def _read_exactly(source: IO[bytes], size: int) -> bytes:
    """So many bytes of an unbuffered file, and not one that comes after them; fewer at its end."""
    parts = []
    while size > 0 and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def main() -> NoReturn:
    """Serve until the server closes standard input."""
    requests, replies = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the server's to answer
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    limit_memory(ADDRESS_SPACE_BYTES)
    threading.Thread(target=_end_with_server, args=(requests.fileno(),), daemon=True).start()
    if (first := read_frame(requests)) is not None:
        protocol, *rest = pickle.loads(first)
        if protocol != PROTOCOL:
            os._exit(OUTDATED_EXIT)
        [views] = rest
        _Service(Path(sys.argv[1]), views, replies).serve(requests)
    os._exit(0)  # nothing is held that an orderly end would save


def limit_memory(limit_bytes: int) -> None:
    """Let this process have no more memory than this, nor leave a core file when it fails."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    else:
        start_memory_watchdog(limit_bytes)


def start_memory_watchdog(limit_bytes: int) -> None:
    """End this process soon after its resident memory has passed a limit, where the kernel has none."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss

    def watch() -> None:
        wait = threading.Event().wait
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit <= limit_bytes:
            wait(_WATCHDOG_PERIOD_S)
        os._exit(MEMORY_EXIT)

    threading.Thread(target=watch, daemon=True).start()


class _Service:
    """The store of a process, and how requests are answered with it."""

    def __init__(self, telemetry_dir: Path, views: Mapping[str, SqlFile], replies: IO[bytes]) -> None:
        self._telemetry_dir = telemetry_dir
        self._views = views
        self._replies = replies
        self._is_asked: Callable[[], bool] = lambda: False
        self._told_at = 0.0
        self._store: Store | None = None
        self._loaded_bytes = 0
        # Made now: when memory has run out there may be none to make it with.
        self._out_of_memory = frame((RAISED, QueryMemoryError(), True))

    def serve(self, requests: IO[bytes]) -> None:
        """Load the folder, before anybody asks, then answer until the server has gone or memory has."""
        waiting = select.poll()
        waiting.register(requests.fileno(), select.POLLIN)
        self._is_asked = lambda: bool(waiting.poll(0))
        with suppress(Exception):  # the first request fails the same way, and has somebody to tell
            self._fresh_store()
        self._is_asked = lambda: True
        while (request := read_frame(requests)) is not None:
            reply, last = self._answer(request)
            # Before the reply: an alarm after it would end a process that the server holds to be idle.
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._send(reply)
            if last:
                return

    def _fresh_store(self) -> Store:
        if self._store is None:
            from esper.karn.store.database import Store
            from esper.karn.store.guard import set_hard_deadline

            set_hard_deadline(self._arm)
            self._store = Store(
                self._telemetry_dir,
                views=self._views,
                memory_limit=MEMORY_LIMIT,
                threads=DATABASE_THREADS,
            )
        self._store.refresh(self._tell_progress)
        self._loaded_bytes = self._loaded_bytes or _address_space_bytes()
        return self._store

    def _tell_progress(self, done: int, total: int) -> None:
        # To nobody, it would fill the pipe.
        if time.monotonic() >= self._told_at + PROGRESS_PERIOD_S and self._is_asked():
            self._told_at = time.monotonic()
            self._send(frame((PROGRESS, (done, total), False)))

    def _arm(self, timeout_s: float, error: QueryTimeoutError) -> None:
        """Have the kernel end this process if a query has not ended soon after its deadline.

        The kernel needs neither DuckDB's attention nor Python's lock. The clock starts when the guard
        begins a query, here where that is known: what is taken in before, however much, does not count.
        """
        self._send(frame((LAST_WORDS, error, False)))
        signal.setitimer(signal.ITIMER_REAL, timeout_s + GRACE_S)

    def _answer(self, request: bytes) -> tuple[bytes, bool]:
        """The reply, and whether it is the last because the process is better replaced."""
        try:
            function, args, kwargs = pickle.loads(request)
            value = function(self._fresh_store(), *args, **kwargs)
            last = self._is_worn()
            reply = frame((RETURNED, value, last))
            if len(reply) > MAX_REPLY_BYTES:
                raise QueryError(
                    f"the answer has {len(reply) // 1_000_000} MB, of {MAX_REPLY_BYTES // 1_000_000} at "
                    "most; ask for less"
                )
            return reply, last
        except Exception as error:
            if _is_out_of_memory(error):
                return self._out_of_memory, True  # only a new process gives all of it back
            last = self._is_worn()
            return frame((RAISED, _portable(error), last)), last

    def _is_worn(self) -> bool:
        """Whether the next query would suffer from what this one left."""
        if self._store is None:
            return False
        try:
            self._store.select("SELECT 1")
        except Exception:  # an internal error of DuckDB closes a database for good
            return True
        return _address_space_bytes() > self._loaded_bytes + MAX_GROWTH_BYTES

    def _send(self, reply: bytes) -> None:
        self._replies.write(reply)
        self._replies.flush()


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    # Unbuffered: what waits in the pipe can be seen there.
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    return requests, replies


def _end_with_server(requests: int) -> None:
    """End when the server has: while a query runs nobody reads, so that its end would go unnoticed."""
    poll = select.poll()
    poll.register(requests, select.POLLHUP)
    poll.poll()
    os._exit(0)


def _address_space_bytes() -> int:
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _is_out_of_memory(error: Exception) -> bool:
    # DuckDB's own class is known by its name or its words, wherever the error was raised.
    return (
        isinstance(error, (MemoryError, QueryMemoryError))
        or type(error).__name__ == "OutOfMemoryException"
        or type(error.__cause__).__name__ == "OutOfMemoryException"
        or (isinstance(error, QueryError) and str(error).startswith("Out of Memory Error"))
    )


def _portable(error: Exception) -> Exception:
    """The error as the server can hold it: no class of DuckDB's, which is not loaded there."""
    if isinstance(error, KarnError):
        return error
    if isinstance(error, RecursionError):
        return QueryError("a value is nested too deep; select a part of it")
    bug = RuntimeError(f"{type(error).__name__}: {error}")
    bug.add_note("".join(traceback.format_exception(error)))
    return bug


if __name__ == "__main__":
    main()
