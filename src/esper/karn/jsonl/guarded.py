"""Writing that never raises into a training: losses are counted, said once and recorded in the file."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import msgspec

from esper.karn.jsonl.writer import LineWriter

_log = logging.getLogger("karn")

SeqLine = tuple[int, bytes]
"""A line and its ``seq``."""


class Gap(msgspec.Struct, frozen=True):
    """A stretch of events that could not be written."""

    count: int
    first_seq: int
    last_seq: int
    reason: str


WriteLine = Callable[[bytes], None]


class GuardedWriter:
    """A LineWriter whose failures become a Gap, recorded in the file once writing works again.

    Not thread-safe: one thread at a time.

    Args:
        writer: the file.
        write_gap: makes the line that records a gap and passes it on; an OSError is for the caller.
    """

    def __init__(self, writer: LineWriter, write_gap: Callable[[Gap, WriteLine], None]) -> None:
        self._writer = writer
        self._write_gap = write_gap
        self._gap: Gap | None = None
        self._said = False
        self.dropped = 0
        """Events lost so far."""

    def ready(self) -> bool:
        """Record the gap that is open, if there is one; False if that fails, and so would the next line."""
        if self._gap is None:
            return True
        try:
            self._write_gap(self._gap, self._writer.write)
        except OSError:
            return False
        self._gap = None
        return True

    def write(self, seq: int, line: bytes) -> None:
        """Write one line, or count it as lost. ``ready`` comes first."""
        if self._gap is not None:
            self._lost([seq], self._gap.reason)
            return
        try:
            self._writer.write(line)
        except OSError as error:
            self._lost([seq], _reason(error))

    def write_many(self, lines: list[SeqLine]) -> None:
        """Write lines in as few system calls as it takes."""
        if not self.ready():
            assert self._gap is not None
            self._lost([seq for seq, _ in lines], self._gap.reason)
            return
        whole, error = self._writer.write_many([line for _, line in lines])
        if error is not None:
            self._lost([seq for seq, _ in lines[whole:]], _reason(error))

    def close(self) -> None:
        """Record a gap that is still open, if that is possible now, and close the file."""
        self.ready()
        try:
            self._writer.close()
        except OSError as error:
            self._say(f"telemetry in {self._writer.path} may not be whole ({_reason(error)})")

    def _lost(self, seqs: list[int], reason: str) -> None:
        if not seqs:
            return
        self.dropped += len(seqs)
        before = self._gap
        self._gap = Gap(
            count=len(seqs) + (0 if before is None else before.count),
            first_seq=seqs[0] if before is None else before.first_seq,
            last_seq=seqs[-1],
            reason=reason,
        )
        if not self._said:
            self._said = True
            self._say(f"telemetry can't be written to {self._writer.path} ({reason}); training goes on")

    def _say(self, text: str) -> None:
        with contextlib.suppress(Exception):  # a log handler that fails is no reason to stop a training
            _log.warning("%s", text)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


class BufferedWriter:
    """Hands lines to a thread that writes them in chunks. Full, it makes callers wait: it never drops.

    Args:
        guarded: what the thread writes to; nobody else may.
        capacity: lines held at once.
    """

    def __init__(self, guarded: GuardedWriter, capacity: int = 8192) -> None:
        self._guarded = guarded
        self._capacity = capacity
        self._lines: list[SeqLine] = []
        self._changed = threading.Condition()
        self._put = 0
        self._done = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="karn-writer", daemon=True)
        self._thread.start()

    def wait_for_room(self) -> None:
        """Wait while the queue is full. The thread may need the caller's locks: hold none."""
        if len(self._lines) < self._capacity:
            return
        with self._changed:
            while len(self._lines) >= self._capacity and threading.current_thread() is not self._thread:
                self._changed.wait()

    def put(self, seq: int, line: bytes) -> None:
        """Queue one line; ``wait_for_room`` comes first."""
        with self._changed:
            self._lines.append((seq, line))
            self._put += 1
            if len(self._lines) == 1:
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until every line put so far was written or counted as lost."""
        with self._changed:
            last = self._put
            while self._done < last:
                self._changed.wait()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while lines := self._take():
            self._guarded.write_many(lines)
            with self._changed:
                self._done += len(lines)
                self._changed.notify_all()

    def _take(self) -> list[SeqLine]:
        """Everything that is queued, waiting for some; nothing once the writer is closing."""
        with self._changed:
            while not self._lines and not self._closing:
                self._changed.wait()
            lines, self._lines = self._lines, []
            self._changed.notify_all()
            return lines
