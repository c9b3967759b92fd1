"""A real terminal for tests: a process in a pty, whose output is read as it comes, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PATIENCE_S = 60.0
"""Nothing takes so long; a test that waits longer fails, and says what was on the terminal."""
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Terminal:
    """A process that takes its pty for its controlling terminal, as one started from a shell does."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid = pid
        self.master = master
        self.output = b""
        """All that was written so far, escape codes and all."""
        self.exit_code: int | None = None

    def wait_for(self, pattern: str, *, start: int = 0) -> re.Match[bytes]:
        """Read until a pattern appears in the text, escape codes left out, from byte ``start`` of it."""
        sought = re.compile(pattern.encode())
        deadline = time.monotonic() + PATIENCE_S
        while (found := sought.search(self.text, start)) is None:
            assert self._read(deadline), f"no {pattern!r} in {self.text[-2000:]!r}"
        return found

    def wait_for_bytes(self, wanted: bytes) -> None:
        """Read until these very bytes were written."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.output:
            assert self._read(deadline), f"no {wanted!r} in {self.output[-2000:]!r}"

    @property
    def text(self) -> bytes:
        """The output without escape codes."""
        return _ESCAPES.sub(b"", self.output)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def settings(self) -> list[object]:
        """The terminal's modes, as ``stty -a`` shows them."""
        return list(termios.tcgetattr(self.master))

    def wait(self) -> int:
        """Read to the end of the process; its exit code, minus the signal's number if it was killed."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        assert time.monotonic() < deadline, f"it never ended; the terminal shows {self.text[-2000:]!r}"
        if self.exit_code is None:
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # Linux says so where nobody has the terminal open any more
            return False
        self.output += data
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str], environment: Mapping[str, str], *, columns: int = 100, lines: int = 30
) -> Iterator[Terminal]:
    """Run a command in a terminal of its own; it is killed at the end if it still runs."""
    pid, master = pty.fork()
    if pid == 0:
        # The size first: the command must not draw for another one.
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.execve(command[0], list(command), dict(environment))
    shown = Terminal(pid, master)
    try:
        yield shown
    finally:
        if shown.exit_code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(master)


def children(pid: int) -> list[int]:
    """Processes that this one started and that still run. Linux only."""
    with open(f"/proc/{pid}/task/{pid}/children") as listed:
        return [int(child) for child in listed.read().split()]
