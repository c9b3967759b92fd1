"""Leaves the terminal as it was: for good, when a signal ends the viewer, or until a shell brings it back."""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import threading
from typing import Any

from textual.app import App

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals whose default would leave the alternate screen, mouse reports and a hidden cursor behind."""
LEAVES_WITHIN_S = 5.0
"""A terminal that is gone, or takes nothing any more, must not keep the process."""


def run_until_told(app: App[Any]) -> int:
    """Run the viewer until it is closed, or a signal asks it to end.

    Returns:
        The exit code: the viewer's own, or 128 and the signal's number.
    """
    return asyncio.run(_run(app))


async def _run(app: App[Any]) -> int:
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, _leave, app, 128 + number)
    await app.run_async()
    return app.return_code or 0


def _leave(app: App[Any], code: int) -> None:
    try:
        termios.tcgetattr(0)
    except termios.error:  # it is closed: there is nothing to leave, and nobody to write to
        os._exit(code)
    # A daemon: it ends with the process where the terminal could be given back.
    last_resort = threading.Timer(LEAVES_WITHIN_S, os._exit, (code,))
    last_resort.daemon = True
    last_resort.start()
    app.exit(return_code=code)


def has_job_control() -> bool:
    """Whether the parent is a shell that notices when this process stops, and can go on with it."""
    try:
        parent = os.getppid()
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False
