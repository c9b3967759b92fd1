"""Hands events to a thread that numbers and writes them, for extreme rates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import time_ns
from typing import Any

from esper.karn.jsonl.envelope import Envelope, Form
from esper.karn.jsonl.guarded import GuardedWriter

_PARTS = 4
"""Items of the queue that are one event: time, form, epoch, data. One list of parts, and no tuple for each
event, because thousands of tuples would keep the garbage collector busy."""
_ALWAYS = -1


class BufferedWriter:
    """A queue and its thread. Full, it makes callers wait: it never drops.

    Args:
        guarded: what the thread writes to; nobody else may.
        envelope: makes the lines; nobody else may.
        refuse: told how many events came too late to be written.
        capacity: events held at once.
    """

    def __init__(
        self, guarded: GuardedWriter, envelope: Envelope, refuse: Callable[[int], None], capacity: int = 8192
    ) -> None:
        self._guarded = guarded
        self._envelope = envelope
        self._refuse = refuse
        self._capacity = capacity * _PARTS
        self._queue: list[Any] = []
        self._needs_care = 0
        """A queue longer than this is for ``_care``: 0 while the thread sleeps."""
        self._changed = threading.Condition()
        self._taken = 0
        self._done = 0
        self._closing = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="karn-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events in the queue."""
        return len(self._queue) // _PARTS

    def put(self, form: Form, epoch: int | None, data: bytes) -> None:
        """Queue one event; it waits while the queue is full, so the caller must hold no locks."""
        # No lock, because it would cost as much as all the rest: ``extend`` is one step, and so is each
        # of the thread's own steps with the list.
        queue = self._queue
        queue.extend((time_ns(), form, epoch, data))
        if len(queue) > self._needs_care:
            self._care()

    def _care(self) -> None:
        """Wake the thread, wait for room, or refuse what comes after the end."""
        with self._changed:
            if self._ended:
                self._refuse_rest()
                return
            if self._needs_care == 0:
                self._needs_care = self._capacity
                self._changed.notify_all()
            while (
                len(self._queue) > self._capacity
                and not self._ended
                and threading.current_thread() is not self._thread
            ):
                self._changed.wait()

    def _refuse_rest(self) -> None:
        late = self.waiting
        self._queue.clear()
        if late:
            self._refuse(late)

    def flush(self) -> None:
        """Wait until every event put so far was written or counted as lost."""
        with self._changed:
            last = self._taken + self.waiting
            while self._done < last and not self._ended:
                self._changed.wait()

    def close(self) -> None:
        """Write what is queued, end the thread and close the file; interrupted, it can be called again."""
        with self._changed:
            self._closing = True
            self._needs_care = _ALWAYS
            self._changed.notify_all()
            # Not Thread.join: where Ctrl-C interrupts it, Python takes the thread for dead from then on.
            while not self._ended:
                self._changed.wait()
            self._guarded.close()

    def close_in_child(self) -> None:
        """Close a forked child's copy: the thread is not there in the child."""
        self._changed = threading.Condition()
        self._queue.clear()
        self._ended = True
        self._needs_care = _ALWAYS

    def _run(self) -> None:
        guarded, line = self._guarded, self._envelope.line
        try:
            while parts := self._take():
                guarded.ready()  # before these get their numbers, because a gap gets one too
                first_seq = self._envelope.next_seq
                each = iter(parts)
                lines = [
                    line(form, epoch, data, now_ns)
                    for now_ns, form, epoch, data in zip(each, each, each, each, strict=True)
                ]
                guarded.write_many(first_seq, lines)
        finally:
            self._end()  # out of memory too, or who closes would wait for good

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._needs_care = _ALWAYS
            self._refuse_rest()
            self._changed.notify_all()

    def _take(self) -> list[Any]:
        """Everything that is queued, waiting for some; nothing once the writer is closing."""
        queue = self._queue
        with self._changed:
            self._done = self._taken
            self._changed.notify_all()
            while not queue:
                if self._closing:
                    self._end()
                    return []
                self._needs_care = 0
                if not queue:  # who was between putting and asking has seen the old bound
                    self._changed.wait()
            self._needs_care = _ALWAYS if self._closing else self._capacity
            parts = queue[:]
            del queue[: len(parts)]
            self._taken += len(parts) // _PARTS
            self._changed.notify_all()
            return parts
