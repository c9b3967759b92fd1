"""A program in a terminal of 140 columns and 40 lines: what it draws, and what that costs. Linux only."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

COLUMNS, LINES = 140, 40
PATIENCE_S = 120.0
"""What takes longer ends the benchmark."""
QUIET_S = 0.5
"""A program that used next to no CPU for so long has done what it does at its start."""
_KEPT = 1 << 20
_ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}


class Usage(NamedTuple):
    """What a while of looking on took."""

    cpu_percent: float
    """Of one core."""
    bytes_per_s: float
    """To the terminal."""


class Screen:
    """A running program. A thread reads what it writes, as a terminal does, and notes when."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid = pid
        self.started = time.perf_counter()
        self.n_bytes = 0
        self._master = master
        self._latest = b""
        self._changed = threading.Condition()
        self._seen_at = self.started
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def cpu_s(self) -> float:
        """CPU of all its threads since its start; Linux keeps a clock for each process."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def wait_for(self, wanted: bytes) -> float:
        """Wait until these bytes are written; the moment at which they were read.

        Raises:
            SystemExit: if it takes too long, or the program ends.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: wanted in self._latest, PATIENCE_S):
                raise SystemExit(f"{wanted!r} never appeared; the terminal shows {self._latest[-2000:]!r}")
            return self._seen_at

    def wait_until_quiet(self) -> float:
        """Wait until it has done what it does at its start; the moment since when it is quiet."""
        while True:
            before, begun = self.cpu_s(), time.perf_counter()
            time.sleep(QUIET_S)
            if self.cpu_s() - before < QUIET_S / 10:
                return begun

    def usage(self, seconds: float) -> Usage:
        """Look on for a while."""
        cpu, n_bytes, begun = self.cpu_s(), self.n_bytes, time.perf_counter()
        time.sleep(seconds)
        wall = time.perf_counter() - begun
        return Usage(100 * (self.cpu_s() - cpu) / wall, (self.n_bytes - n_bytes) / wall)

    def forget(self) -> None:
        """Look only for what is written from now on."""
        with self._changed:
            self._latest = b""

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # Linux says so where nobody has the terminal open any more
                return
            moment = time.perf_counter()
            with self._changed:
                self.n_bytes += len(data)
                self._latest = (self._latest + data)[-_KEPT:]
                self._seen_at = moment
                self._changed.notify_all()


@contextmanager
def screen(command: Sequence[str]) -> Iterator[Screen]:
    """Run a command in a terminal; it is killed at the end."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.execve(command[0], list(command), {**environment, **_ENVIRONMENT})
    try:
        yield Screen(pid, master)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)
