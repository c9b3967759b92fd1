"""Completions: runs, views and slots that begin with what was typed, or at least hold it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from mcp_types import CompleteRequestParams, CompleteResult, Completion, ResourceTemplateReference

from esper.karn.mcp.state import ServerState
from esper.leyline.errors import KarnError

if TYPE_CHECKING:
    from esper.karn.store.database import Store

MAX_VALUES = 100
"""The protocol allows no more."""
RUN_ARGUMENTS = ("run_dir", "control", "treatment")
_SLOTS = """
    SELECT DISTINCT slot_id FROM slot_thrash
    WHERE run_dir = coalesce($run_dir, run_dir) AND slot_id IS NOT NULL ORDER BY ALL"""


async def complete(state: ServerState, params: CompleteRequestParams) -> CompleteResult:
    """Offer values for an argument of a prompt or a resource template."""
    argument, given = params.argument.name, (params.context.arguments if params.context else None) or {}
    of_run = isinstance(params.ref, ResourceTemplateReference) and "{run_dir}" in params.ref.uri
    names: list[str] = []
    with suppress(KarnError):  # whoever types wants values, and no error where there are none
        if argument in RUN_ARGUMENTS:
            names = await state.worker.run(run_names)
        elif argument == "view":
            names = run_views(state) if of_run else [*state.views, *state.queries]
        elif argument == "slot_id":
            names = await state.worker.run(slot_names, given.get("run_dir"))
    found = matching(names, params.argument.value)
    return CompleteResult(
        completion=Completion(values=found[:MAX_VALUES], total=len(found), has_more=len(found) > MAX_VALUES)
    )


def matching(names: Iterable[str], typed: str) -> list[str]:
    """Names that begin with what was typed, then those that hold it; each in the order it came."""
    text = typed.casefold()
    holding = [name for name in names if text in name.casefold()]
    return sorted(holding, key=lambda name: not name.casefold().startswith(text))


def run_views(state: ServerState) -> list[str]:
    """Views whose rows say which run they are of."""
    return [name for name, view in state.views.items() if "run_dir" in view.columns]


def run_names(store: Store) -> list[str]:
    """Every run, the latest first."""
    return store.run_names()[::-1]


def slot_names(store: Store, run_dir: str | None) -> list[str]:
    """Slots of a run, of all runs if None."""
    return [str(row[0]) for row in store.select(_SLOTS, {"run_dir": run_dir}).rows]
