"""Ctrl-C while the database works: DuckDB does not always hear it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 1.0
"""How long the ordinary way out may take; it gives locks back and takes half-written files away."""
SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """End the process with exit code 130 where Ctrl-C was not heard within a second.

    Python's own handler runs between two steps of the interpreter, and DuckDB calls it only while the calling
    thread has work: where another thread computes a long step, Ctrl-C waits for it. Files of ours survive a
    process that ends at any moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    out = threading.Event()
    threading.Thread(target=_watch, args=(heard, out), daemon=True, name="ctrl-c").start()
    try:
        yield
    finally:
        out.set()
        signal.set_wakeup_fd(before)
        os.close(told)


def _watch(heard: int, out: threading.Event) -> None:
    while signals := os.read(heard, 64):
        if signal.SIGINT in signals and not out.wait(GRACE_S):
            if sys.stderr.isatty():  # a bar hides it
                os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())
            os._exit(130)
    os.close(heard)
