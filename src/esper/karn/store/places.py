"""Environments and slots that are asked for by name: known, without an internal op, or unknown."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NoReturn

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


def refuse_place(
    now: Snapshot, run_dir: str, named: str, what: str, wanted: Any, known: Collection[Any]
) -> NoReturn:
    """Say why there is nothing to tell of an environment or a slot.

    Args:
        now: the tables.
        run_dir: the run.
        named: the run, as the error calls it.
        what: ``environment`` or ``slot``.
        wanted: the one that was asked for.
        known: those with an internal op.

    Raises:
        NotFoundError: always.
    """
    if wanted in {name for (name,) in now.select(_MENTIONED[what], [run_dir]).rows}:
        raise NotFoundError(
            f"{what} {wanted} of {named} has no internal op (GROW or SHRINK), so nothing to judge"
        )
    raise unknown_name(f"{what} in {named}:", str(wanted), sorted(str(name) for name in known))
