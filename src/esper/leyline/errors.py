"""The error tree. Each error says what is wrong, where, and what would be right.

    KarnError
    ├── TelemetryUsageError    (also a ValueError)  the caller's arguments can't be right
    ├── TelemetryFileError                          a telemetry file or folder can't be used
    │   ├── RunLockedError                          another process writes this file
    │   └── SealingError                            a segment can't be written
    ├── HostFileError                               a host's configuration file can't be read or changed
    ├── NotFoundError          (also a LookupError) no such run, view, column, policy ...
    └── QueryError                                  the caller's SQL was refused or failed
        ├── QueryMemoryError                        it needed more memory than it may take
        └── QueryTimeoutError                       it ran past its deadline

Everything below KarnError may be shown to a user as one line; anything else is a bug in Karn.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KarnError(Exception):
    """Base of every error that Karn raises on purpose; ``str(error)`` is one line for the user."""


class TelemetryUsageError(KarnError, ValueError):
    """The caller's arguments can't be right; raised before anything is written."""


class TelemetryFileError(KarnError):
    """A telemetry file or folder can't be used."""


class RunLockedError(TelemetryFileError):
    """Another process is writing this file."""


class SealingError(TelemetryFileError):
    """A segment can't be written; event files and answers are as they were."""


class HostFileError(KarnError):
    """A host's configuration file can't be read or changed; it is as it was."""


class NotFoundError(KarnError, LookupError):
    """A name that does not exist, with the nearest ones that do."""


class QueryError(KarnError):
    """The caller's SQL was refused or failed."""


class QueryMemoryError(QueryError):
    """A query needed more memory than it may take."""

    def __init__(
        self, text: str = "the query ran out of memory; filter by run_dir, aggregate, or ask for less"
    ) -> None:
        super().__init__(text)


class QueryTimeoutError(QueryError):
    """The caller's SQL ran past its deadline."""


def unknown_name(what: str, name: str, known: Iterable[str], *, limit: int = 3) -> NotFoundError:
    """A NotFoundError for ``name`` that offers the nearest of ``known``.

    Args:
        what: the kind of thing, as the user knows it ("run", "view", "column").
        name: what was asked for; shown quoted and cut to 80 characters.
        known: every name that would have been right.
        limit: at most this many suggestions.
    """
    names = list(known)
    shown = repr(name if len(name) <= 80 else name[:80] + "...")
    if not names:
        return NotFoundError(f"unknown {what} {shown}: there is none yet")
    near = difflib.get_close_matches(name[:200], names, n=limit, cutoff=0.5)
    if near:
        return NotFoundError(f"unknown {what} {shown}; did you mean {_listed(near)}?")
    rest = f" (and {len(names) - 10} more)" if len(names) > 10 else ""
    return NotFoundError(f"unknown {what} {shown}; there is {_listed(names[:10])}{rest}")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
