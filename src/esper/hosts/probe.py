"""Starting a server as a host does, to see whether it answers."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from typing import IO

from esper.karn.textout import clean

ANSWER_WITHIN_S = 20.0
"""Hosts give up after 10 to 60 s."""
END_WITHIN_S = 5.0

_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "karn doctor", "version": "1"},
    },
}


def why_no_answer(
    command: list[str], variables: dict[str, str], within_s: float = ANSWER_WITHIN_S
) -> str | None:
    """Start a server on pipes and greet it; None if it answers, else why it did not.

    Args:
        variables: set for it beside this process's own.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            server = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                cwd="/",  # where desktop programs start theirs
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                start_new_session=True,  # without a terminal, an ssh in its place asks for no password
            )
        except OSError as error:
            return f"can't be started: {error.strerror}"
        with server:
            assert server.stdin is not None
            assert server.stdout is not None
            deadline = time.monotonic() + within_s
            try:
                server.stdin.write(json.dumps(_HELLO).encode() + b"\n")
                answered = _answers(server.stdout, deadline)
            except BrokenPipeError:
                answered = False
            hung_up = not answered and time.monotonic() < deadline
            status = _end(server, by_itself=hung_up)
        if answered:
            return None
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    how = f"no answer, ended with exit status {status}" if hung_up else f"no answer within {within_s:g} s"
    return f"{how}: {clean(last)[:200]}" if last else how


def _answers(stdout: IO[bytes], deadline: float) -> bool:
    """Whether the greeting's answer comes before the deadline."""
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                return False
            received += piece
            if any(_is_answer(line) for line in received.splitlines()):
                return True
    return False


def _is_answer(line: bytes) -> bool:
    try:
        message = json.loads(line)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("id") == 1 and "result" in message


def _end(server: subprocess.Popen[bytes], *, by_itself: bool) -> int:
    """Stop a server, or wait for one that is ending, by force if need be; returns its exit status."""
    if not by_itself:
        server.terminate()
    try:
        return server.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()
