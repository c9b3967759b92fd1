"""What clients of the HTTP server may take of it."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass

_ENOUGH_FILES = 10_240
"""Asked for where the hard limit is infinite: macOS has no more, whatever it says."""


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Bounds that hold for all clients together, unless they say otherwise."""

    body_bytes: int = 1 << 20
    """Of one request; more is answered with 413."""
    sessions: int = 64
    """Of protocol 2025-11-25; one more is answered with 503. The later revision has none."""
    session_idle_s: float = 15 * 60.0
    """A session without a request or an open stream for this long is ended."""
    connections: int = 256
    """Open at once; beyond, the one that has waited longest for a request is closed."""
    keep_alive_s: int = 5
    """From an answer to the next request on its connection."""
    stall_s: float = 10.0
    """From the opening of a connection, or its last answer, to the end of a whole request; and how long a
    client may leave an answer unread."""
    shutdown_s: float = 2.0
    """For the calls that run when the server is told to end."""


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows it: a connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _ENOUGH_FILES) if hard == resource.RLIM_INFINITY else hard
    with suppress(ValueError, OSError):  # what there is serves as well: connections are bounded
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
