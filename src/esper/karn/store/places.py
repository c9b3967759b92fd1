"""Environments and slots that are asked for by name: known, without an internal op, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from esper.karn.store.database import Snapshot
from esper.leyline.errors import NotFoundError, unknown_name

_MENTIONED = {
    "environment": """
        SELECT env_id FROM epochs WHERE run_dir = $1
        UNION SELECT env_id FROM decisions WHERE run_dir = $1
        UNION SELECT env_id FROM seed_lifecycle WHERE run_dir = $1""",
    "slot": """
        SELECT slot_id FROM decisions WHERE run_dir = $1
        UNION SELECT slot_id FROM seed_lifecycle WHERE run_dir = $1""",
}
"""Where a run speaks of one, besides its internal ops."""


def check_places(
    now: Snapshot,
    run_dir: str,
    env_id: int | None,
    slot_id: str | None,
    known: Iterable[Sequence[Any]],
    named: Callable[[], str],
) -> None:
    """Say why there is nothing to tell of an environment or a slot that has no internal op.

    Args:
        now: the tables.
        run_dir: the run.
        env_id: the environment that was asked for, if one was.
        slot_id: the slot likewise.
        known: environment and slot of everything with an internal op.
        named: gives the run as the error calls it.

    Raises:
        NotFoundError: if the run has no internal op there; names the nearest where it never speaks of it.
    """
    places = list(known)
    for column, (what, wanted) in enumerate((("environment", env_id), ("slot", slot_id))):
        names = {place[column] for place in places}
        if wanted is None or wanted in names:
            continue
        if wanted in {name for (name,) in now.select(_MENTIONED[what], [run_dir]).rows}:
            raise NotFoundError(
                f"{what} {wanted} of {named()} has no internal op (GROW or SHRINK), so nothing to judge"
            )
        raise unknown_name(f"{what} in {named()}:", str(wanted), sorted(map(str, names)))
