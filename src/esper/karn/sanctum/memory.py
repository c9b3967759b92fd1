"""How the viewer keeps its memory: few looks through it, and nothing kept that only reading needed."""

from __future__ import annotations

import ctypes
import gc
import sys

_COLLECT_AFTER = 50_000
"""Objects made and not yet gone; a tick makes some thousands."""


def collect_rarely() -> None:
    """Let Python look for garbage now and then, and not among what was imported.

    Otherwise that takes a fifth of the CPU of a viewer that follows a live run. For a process of its own.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


def give_back() -> None:
    """Give the system back what is free: after a million events that is 18 MB."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
