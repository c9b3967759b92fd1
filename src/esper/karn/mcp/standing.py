"""What every answer says of the data it rests on: how much was read, and what is missing in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

if TYPE_CHECKING:
    from esper.karn.store.database import Store

NAMED_RUNS = 3
"""Runs of an answer that ``as_of`` speaks of one by one."""

_FILES = "SELECT run_dir, count(seq), max(seq) + 1 FROM events GROUP BY run_dir, filename"
_MISSING = """
    SELECT run_dir, sum(event_count)::BIGINT FROM event_gaps
    WHERE kind = 'gap' AND list_contains($1, run_dir) GROUP BY run_dir"""


class Standing(msgspec.Struct, frozen=True):
    """How much of the files an answer rests on, and what its reader must know of them."""

    as_of: dict[str, Any]
    warnings: list[str]

    @property
    def bytes(self) -> int:
        """Of all event files that were read."""
        size: int = self.as_of["bytes"]
        return size


def standing(store: Store, run_dirs: Sequence[str] = ()) -> Standing:
    """The state of the files of some runs, of all of them if none is named.

    Args:
        store: refreshed for this call; ask before the query, so that the query sees no less than this.
        run_dirs: runs that the answer is about.
    """
    total = store.as_of()
    as_of = msgspec.to_builtins(total)
    named = {name: msgspec.to_builtins(store.as_of([name])) for name in run_dirs[:NAMED_RUNS]}
    for entry in named.values():
        del entry["at"]
    if named:
        as_of["runs"] = named
    of = {name: entry["bad_lines"] for name, entry in named.items()} or {"all runs": total.bad_lines}
    missing = _missing_events(store, total.bytes)
    if named:
        missing = {name: count for name, count in missing.items() if name in named}
    warnings = [
        f"{count} line{'' if count == 1 else 's'} of {name} could not be read: see ingest_errors"
        for name, count in of.items()
        if count
    ]
    warnings += [
        f"{count} event{'' if count == 1 else 's'} of {name} missing from the files"
        f"{' (unreadable lines may be among them)' if total.bad_lines else ''}: see event_gaps"
        for name, count in missing.items()
    ]
    damaged = store.damaged(run_dirs)
    warnings += [f"events can't be read, an archive is damaged: {damage}" for damage in damaged]
    return Standing(as_of, warnings)


def standing_of_rows(store: Store, run_dir: str | None) -> Standing:
    """As ``standing``, for an answer that lists or sums every row of one run, or of all.

    Args:
        store: as there.
        run_dir: the run; all if None.
    """
    from esper.karn.store.copies import copies_in_rows

    state = standing(store, [] if run_dir is None else [run_dir])
    if run_dir is not None and (copies := copies_in_rows(store, run_dir)) is not None:
        state.warnings.append(copies)
    return state


_known_gaps: WeakKeyDictionary[Store, tuple[int, dict[str, int]]] = WeakKeyDictionary()


def _missing_events(store: Store, size: int) -> dict[str, int]:
    """Missing events by run; counted anew only when the files have grown."""
    known = _known_gaps.get(store)
    if known is not None and known[0] == size:
        return known[1]
    # The exact count sorts every event; that most files have none is seen from two aggregates.
    suspects = sorted(
        {run for run, count, end in store.select(_FILES).rows if end is not None and count != end}
    )
    missing = dict(store.select(_MISSING, [suspects]).rows) if suspects else {}
    _known_gaps[store] = (size, missing)
    return missing
