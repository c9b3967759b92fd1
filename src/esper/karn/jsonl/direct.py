"""Writes each event at once: when ``put`` returns, a killed process does not lose it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import time_ns

from esper.karn.jsonl.envelope import Envelope, Form
from esper.karn.jsonl.guarded import GuardedWriter


class DirectWriter:
    """One ``write`` for each event, in the caller's thread.

    Args:
        guarded: what it writes to; nobody else may.
        envelope: makes the lines; nobody else may.
        refuse: told how many events came too late to be written.
    """

    def __init__(self, guarded: GuardedWriter, envelope: Envelope, refuse: Callable[[int], None]) -> None:
        self._guarded = guarded
        self._envelope = envelope
        self._file = guarded.file
        self._refuse = refuse
        # Reentrant, because a signal's handler may emit in the middle of an emit.
        self._lock = threading.RLock()
        self._closed = False

    def put(self, form: Form, epoch: int | None, data: bytes) -> None:
        """Write one event, or count it as lost."""
        with self._lock:
            if self._closed:
                self._refuse(1)
                return
            guarded, envelope = self._guarded, self._envelope
            ready = guarded.gap is None or guarded.ready()  # before it gets its number: a gap gets one too
            now_ns = time_ns()
            microseconds = (now_ns - envelope.second_ns) // 1000
            # No call between asking for the number and taking it: a signal's handler could emit there.
            seq = envelope.next_seq
            if 0 <= microseconds < 1_000_000 and seq > envelope.first_seq:
                # Written out from Envelope.line: calling it would be a fiftieth of the whole emit.
                envelope.next_seq = seq + 1
                line = form % (seq, envelope.second_text, microseconds, epoch, data[1:], seq)
            else:
                line = envelope.line(form, epoch, data, now_ns)
            if not ready:
                guarded.lost(seq, seq)
                return
            try:
                self._file.write(line)
            except OSError as error:
                guarded.lost(seq, seq, error)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._guarded.close()

    def close_in_child(self) -> None:
        """Close a forked child's copy: another thread may have held the lock when the process forked."""
        self._lock = threading.RLock()
        self._closed = True
