"""Sanctum in the terminal of a training that goes on in this process (``karn train --sanctum``).

The training stays where it is without the viewer: in the process that was started, with its number, its exit
code and its files. The viewer is a child that reads the files like any other, and has the terminal meanwhile.
So nothing that happens to it can reach the training: it may be closed, crash or be killed. The other way
round, a training in the child would become an orphan in the background when the viewer is killed.

* Closing the viewer: the terminal comes back, with all that the training said meanwhile, and its progress.
* Ctrl-C: a key of the viewer while its screen is up, and no signal, so that it can't stop the training.
  Before and after that it stops the training, as ever.
* The training ends: the viewer stays for a last look, and the command ends when it is closed. A training
  that is stopped by a signal takes the viewer with it.
* The terminal is closed: both end, as any command of that terminal.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from esper.leyline.errors import TelemetryUsageError

KEPT_BYTES = 1 << 16
"""Of what the training said while the viewer was up, so much of its end is shown afterwards."""
HEARD_WITHIN_S = 0.5
"""Processes that the training started may go on writing; what was said until now is read by then."""
CLOSES_WITHIN_S = 5.0
"""A viewer that is told to close and does not is killed."""
# Each undoes what textual's driver asks of a terminal; a viewer that was killed could not.
_AS_BEFORE = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l"  # pasting, line wrap, reports of size
    b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l"  # mouse and focus
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[0m"  # keyboard, screen, cursor, colours
)


def check_terminal() -> None:
    """See that a viewer can be shown here.

    Raises:
        TelemetryUsageError: if there is no terminal, or it is another's at the moment.
        ModuleNotFoundError: if textual is not installed.
    """
    if not all(os.isatty(stream) for stream in (0, 1, 2)):
        raise TelemetryUsageError(
            "--sanctum draws on a terminal and there is none: leave it out, and start karn sanctum elsewhere"
        )
    if os.tcgetpgrp(0) != os.getpgrp():
        raise TelemetryUsageError("--sanctum needs the terminal, and this command runs in the background")
    if importlib.util.find_spec("textual") is None:
        raise ModuleNotFoundError("No module named 'textual'", name="textual")


@contextmanager
def viewer_beside(telemetry_dir: Path, run_dir: str, on_closed: Callable[[], None]) -> Iterator[None]:
    """Show a run in this terminal while the body trains, and until the person closes the viewer.

    What this process writes to standard output and error meanwhile is kept, and shown afterwards.

    Args:
        telemetry_dir: folder of all runs.
        run_dir: the run that the body writes; it need not exist yet.
        on_closed: called in a thread of its own as soon as the terminal is back.
    """
    viewer = _Viewer(telemetry_dir, run_dir, on_closed)
    try:
        yield
        viewer.wait()
    except Exception:
        # The run crashed, which the viewer shows; the reason comes after it.
        viewer.wait()
        raise
    finally:
        viewer.close()


class _Viewer:
    """The viewer's process, and the terminal that it was lent."""

    def __init__(self, telemetry_dir: Path, run_dir: str, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        self._settings = termios.tcgetattr(0)
        _flush()
        self._process, self._lifeline = _start(telemetry_dir, run_dir)
        self._terminal = os.dup(1), os.dup(2)
        self._lock = threading.Lock()
        self._kept: bytes | None = b""
        """What was said since the terminal is lent; None once it is back."""
        # Not a file: a full disk would make a warning of the training's an error.
        self._heard, said = os.pipe()
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.close(said)
        # A daemon: processes that the training started meanwhile may hold the pipe longer than it lives.
        self._listener = threading.Thread(target=self._listen, name="sanctum-listener", daemon=True)
        self._listener.start()
        self._watcher = threading.Thread(target=self._watch, name="sanctum-watcher")
        self._watcher.start()

    def wait(self) -> None:
        """Until the person closes it."""
        self._watcher.join()

    def close(self) -> None:
        """Close it, if it is still open."""
        os.close(self._lifeline)
        self._watcher.join(CLOSES_WITHIN_S)
        if self._watcher.is_alive():
            self._process.kill()
            self._watcher.join()

    def _watch(self) -> None:
        code = self._process.wait()
        out, err = self._terminal
        if code < 0:  # one that ended by itself has left its screen, and must not be taken out of it twice
            os.write(out, _AS_BEFORE)
        if code != 0:
            # What a mouse or a terminal's answers left in the queue was not meant for the shell.
            termios.tcsetattr(0, termios.TCSAFLUSH, self._settings)
        _flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        self._listener.join(HEARD_WITHIN_S)
        with self._lock:
            kept, self._kept = self._kept or b"", None
            os.write(err, kept)
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else "ended with an error"
            os.write(err, f"karn: the viewer {how}; the training is not touched\n".encode())
        self._on_closed()

    def _listen(self) -> None:
        while said := os.read(self._heard, 1 << 16):
            with self._lock:
                if self._kept is None:
                    os.write(self._terminal[1], said)
                else:
                    self._kept = (self._kept + said)[-KEPT_BYTES:]


def _start(telemetry_dir: Path, run_dir: str) -> tuple[subprocess.Popen[bytes], int]:
    """The viewer, and the end of a pipe that keeps it open: closed, it closes, and so it does if we die."""
    ends_with_us, lifeline = os.pipe()
    try:
        viewer = subprocess.Popen(
            [
                *(sys.executable, "-P", *(f"-W{option}" for option in sys.warnoptions)),
                *("-m", "esper.karn.sanctum.embedded"),
                *(str(ends_with_us), str(telemetry_dir), run_dir),
            ],
            pass_fds=[ends_with_us],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        )
    except OSError as error:
        raise TelemetryUsageError(
            f"the viewer can't be started ({error.strerror}): leave --sanctum out"
        ) from error
    finally:
        os.close(ends_with_us)
    return viewer, lifeline


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _main(lifeline: int, telemetry_dir: Path, run_dir: str) -> int:
    """The viewer's process.

    Args:
        lifeline: a pipe that ends when the training wants the viewer closed, or is no more.
        telemetry_dir: folder of all runs.
        run_dir: the run.

    Returns:
        The exit code.
    """
    from esper.karn.sanctum.opening import sanctum_app

    app = sanctum_app(telemetry_dir, run_dir)

    def close_with_training() -> None:
        os.read(lifeline, 1)
        app.call_from_thread(app.exit)

    threading.Thread(target=close_with_training, daemon=True).start()
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    raise SystemExit(_main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
