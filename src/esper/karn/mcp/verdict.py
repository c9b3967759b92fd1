"""The verdict as a tool's answer: every number, within a budget, and the same in a page of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from esper.karn.diagnosis import RunVerdict, verdict_text
from esper.karn.mcp.harmless import MAX_NAME, cut_texts, line
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import as_of_text
from esper.karn.mcp.tool import TEXT_OR_NULL

if TYPE_CHECKING:
    from esper.karn.store.database import Store

Detail = Literal["concise", "full"]

_BUDGETS = {"slots": 16_000, "evidence": 8_000, "environments": 4_000, "ranks": 2_000}
"""Bytes of JSON that each list may take; the rest of a verdict is short."""
_TIMES = {"concise": 1, "full": 3}

VERDICT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run_dir": {"type": "string"},
        "label": {"type": "string"},
        "answer": {"type": "string"},
        "band": {"type": "string"},
        "indicator": TEXT_OR_NULL,
        "slots": {"type": "array", "items": {"type": "object"}},
        "evidence": {"type": "array", "items": {"type": "object"}},
        "next": {"type": "array", "items": {"type": "string"}},
        "as_of": {"type": "object"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["run_dir", "label", "answer", "band", "indicator", "slots", "evidence", "as_of", "warnings"],
}


class VerdictAnswer(msgspec.Struct):
    """A verdict in both forms."""

    text: str
    structured: dict[str, Any]


def verdict_answer(
    store: Store, run_dir: str | None, env_id: int | None, slot_id: str | None, detail: Detail
) -> VerdictAnswer:
    """The verdict on a run, the latest if none is named.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    from esper.karn.store.evidence import thrash_verdict

    name = store.check_run(run_dir)
    state = standing(store, [name])
    verdict = thrash_verdict(store, name, env_id, slot_id)
    structured: dict[str, Any] = cut_texts(msgspec.to_builtins(verdict))
    structured["environments"].sort(key=lambda env: -env["thrashing"])
    warnings = list(state.warnings)
    for part, budget in _BUDGETS.items():
        kept = _first_that_fit(structured[part], budget * _TIMES[detail])
        if len(kept) < len(structured[part]):
            more = "query slot_thrash for all" if detail == "full" else "detail 'full' shows more"
            warnings.append(f"{part}: the first {len(kept)} of {len(structured[part])}; {more}")
        structured[part] = kept
    following = _next_calls(verdict)
    structured |= {"next": following, "as_of": state.as_of, "warnings": warnings}
    shown = verdict_text(_harmless(verdict), detail)
    text = f"{shown}\nnext: {line('; '.join(following))}\n{as_of_text(state.as_of)}"
    return VerdictAnswer(text, structured)


def _first_that_fit(entries: list[Any], budget_bytes: int) -> list[Any]:
    used = 0
    for index, entry in enumerate(entries):
        used += len(msgspec.json.encode(entry))
        if used > budget_bytes and index:
            return entries[:index]
    return entries


def _harmless(verdict: RunVerdict) -> RunVerdict:
    """The verdict with names and notes that can be shown in a line of text."""
    return msgspec.structs.replace(
        verdict,
        run_dir=line(verdict.run_dir, MAX_NAME),
        answer=line(verdict.answer),
        slots=[
            slot
            if slot.slot_id is None
            else msgspec.structs.replace(slot, slot_id=line(slot.slot_id, MAX_NAME))
            for slot in verdict.slots
        ],
        notes=[line(note) for note in verdict.notes],
    )


def _next_calls(verdict: RunVerdict) -> list[str]:
    """The calls that show the evidence of a verdict, or find what it lacks; names in them as JSON."""
    run = f"run_dir={_json(verdict.run_dir)}"
    if verdict.label == "insufficient_data":
        return [f"internal_op_usage({run}) says whether internal ops are used at all"]
    worst = next((slot for slot in verdict.slots if slot.slot_id is not None), None)
    calls = []
    if worst is not None and len(worst.slot_id or "") <= MAX_NAME:
        where = f"{run}, env_id={_json(worst.env_id)}, slot_id={_json(worst.slot_id)}"
        calls = [
            f"plot_levels({where}) draws its worst slot",
            f"seed_internal_levels({where}) lists its changes",
        ]
    return [*calls, f"op_effect({run}) says whether GROW helps"]


def _json(value: str | int | None) -> str:
    return msgspec.json.encode(value).decode()
