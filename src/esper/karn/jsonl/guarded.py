"""Writing that never raises into a training: losses are counted, said once and recorded in the file."""

from __future__ import annotations

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


class GuardedWriter:
    """A LineWriter whose failures become a Gap, written as a line of its own once writing works again.

    Not thread-safe: one thread at a time.

    Args:
        writer: the file.
        gap_line: makes the line that records a gap.
    """

    def __init__(self, writer: LineWriter, gap_line: Callable[[Gap], bytes]) -> None:
        self._writer = writer
        self._gap_line = gap_line
        self._gap: Gap | None = None
        self._said = False
        self.dropped = 0
        """Events lost so far."""

    def write(self, seq: int, line: bytes) -> bool:
        """Write one line; False if it was lost."""
        if self._gap is not None and not self._record_gap():
            self._lost([seq], self._gap.reason)
            return False
        try:
            self._writer.write(line)
        except OSError as error:
            self._lost([seq], error.strerror or type(error).__name__)
            return False
        return True

    def write_many(self, lines: list[SeqLine]) -> None:
        """Write lines in as few system calls as it takes."""
        if self._gap is not None and not self._record_gap():
            self._lost([seq for seq, _ in lines], self._gap.reason)
            return
        whole, error = self._writer.write_many([line for _, line in lines])
        if error is not None:
            self._lost([seq for seq, _ in lines[whole:]], error.strerror or type(error).__name__)

    def close(self) -> None:
        """Record a gap that is still open, if that is possible now, and close the file."""
        if self._gap is not None:
            self._record_gap()
        self._writer.close()

    def _record_gap(self) -> bool:
        assert self._gap is not None
        try:
            self._writer.write(self._gap_line(self._gap))
        except OSError:
            return False
        self._gap = None
        return True

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
            _log.warning("telemetry can't be written to %s (%s); training goes on", self._writer.path, reason)


class BufferedWriter:
    """Hands lines to a thread that writes them in chunks. Full, it waits: it never drops.

    Args:
        guarded: what the thread writes to; nobody else may.
        capacity: lines held at once.
    """

    def __init__(self, guarded: GuardedWriter, capacity: int = 8192) -> None:
        self._guarded = guarded
        self._capacity = capacity
        self._lines: list[SeqLine] = []
        self._changed = threading.Condition()
        self._writing = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="karn-writer", daemon=True)
        self._thread.start()

    def put(self, seq: int, line: bytes) -> None:
        """Queue one line, waiting while the queue is full."""
        with self._changed:
            while len(self._lines) >= self._capacity:
                self._changed.wait()
            self._lines.append((seq, line))
            if len(self._lines) == 1:
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until every line put so far was written or counted as lost."""
        with self._changed:
            while self._lines or self._writing:
                self._changed.wait()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                lines, self._lines = self._lines, []
                self._writing = True
                self._changed.notify_all()
            self._guarded.write_many(lines)
