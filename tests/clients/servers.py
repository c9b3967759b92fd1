"""The servers that clients talk to: ``karn mcp``, and the fixture server of the conformance suite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KARN = Path(sys.executable).with_name("karn")
NODE = HERE / "node_modules/.bin/node"
FASTMCP_PYTHON = HERE / ".venv/bin/python"

FIXTURE = [sys.executable, str(HERE / "fixture_server.py")]


def stdio_command(folder: Path) -> list[str]:
    """What a host is told to start."""
    return [str(KARN), "mcp", "--telemetry-dir", str(folder)]


def http_command(folder: Path) -> list[str]:
    """The server over HTTP, at a free port of this machine."""
    return [str(KARN), "mcp", "--http", "127.0.0.1:0", "--telemetry-dir", str(folder)]


@contextmanager
def served(command: list[str], log: Path) -> Iterator[str]:
    """The address of a server over HTTP, which says it on standard error as its first line.

    Args:
        command: starts it.
        log: gets the rest of what it says.
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, log.open("w") as file:
        assert process.stderr is not None
        # A pipe that nobody reads fills up, and then the server stands still.
        reader = threading.Thread(target=shutil.copyfileobj, args=(process.stderr, file))
        try:
            line = process.stderr.readline()
            reader.start()
            found = re.search(r"http://\S+/mcp", line)
            assert found is not None, line
            yield found[0]
        finally:
            process.terminate()
            reader.join()


def copied_runs(folder: Path) -> Path:
    """The recorded runs in a folder where they may be written to; the folder."""
    shutil.copytree(ROOT / "examples/telemetry", folder)
    return folder
