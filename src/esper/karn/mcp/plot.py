"""Levels over epochs as a tool's answer: a sparkline that suffices alone, the points, and a picture."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent

from esper.karn.mcp.harmless import MAX_NAME, cut_texts, line
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import as_of_text
from esper.karn.plotting.curves import RunLevels, SlotLevels
from esper.karn.plotting.sparkline import sparkline_text

if TYPE_CHECKING:
    from esper.karn.store.database import Store

BUDGET_BYTES = 28_000
"""Points and reversals of all slots, as JSON."""
_POINT_BYTES = 12
"""At most, of nearly all points and reversals."""

NO_MATPLOTLIB = "no picture: pip install 'karn-telemetry[plot]'"
NOT_DRAWN = "no picture: matplotlib can't be loaded, or needs more memory than a query may take"

LEVELS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run_dir": {"type": "string"},
        "slots": {"type": "array", "items": {"type": "object"}},
        "as_of": {"type": "object"},
        "warnings": {"type": "array"},
    },
    "required": ["run_dir", "slots", "as_of", "warnings"],
}


class PlotAnswer(msgspec.Struct):
    """The levels in every form."""

    text: str
    structured: dict[str, Any]
    png: bytes | None
    """None where there is nothing to draw, or no matplotlib to draw it with."""


def plot_answer(store: Store, run_dir: str | None, env_id: int | None, slot_id: str | None) -> PlotAnswer:
    """The levels of a run's worst slots over time.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    from esper.karn.store.levels import run_levels

    name = store.check_run(run_dir)
    state = standing(store, [name])
    levels = run_levels(store, name, env_id, slot_id)
    png, lack = _picture(levels)
    notes = levels.notes if lack is None else [*levels.notes, lack]
    warnings = list(dict.fromkeys([*notes, *state.warnings]))
    slots, cut = _slots(levels)
    if cut:
        warnings.append(f"points: the last ones only of {cut} slots; query seed_internal_levels for all")
    structured = cut_texts({"run_dir": name, "label": levels.label, "slots": slots})
    structured |= {"as_of": state.as_of, "warnings": [line(warning) for warning in warnings]}
    text = sparkline_text(_harmless(levels, notes))
    return PlotAnswer(f"{text}\n{as_of_text(state.as_of)}", structured, png)


def picture_result(answer: PlotAnswer) -> CallToolResult:
    """The text, then the picture if there is one."""
    content: list[ContentBlock] = [TextContent(type="text", text=answer.text)]
    if answer.png is not None:
        data = base64.b64encode(answer.png).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/png"))
    return CallToolResult(content=content, structured_content=answer.structured)


def _picture(levels: RunLevels) -> tuple[bytes | None, str | None]:
    """The picture, or why there is none."""
    from esper.karn.plotting.picture import picture

    if not levels.slots:
        return None, None
    try:
        return picture(levels), None
    except (ImportError, MemoryError) as error:  # the text and the points are not to be lost with it
        return None, NO_MATPLOTLIB if _is_missing(error, "matplotlib") else NOT_DRAWN


def _is_missing(error: Exception, package: str) -> bool:
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package


def _slots(levels: RunLevels) -> tuple[list[dict[str, Any]], int]:
    """Each slot's points within its part of the budget, and how many slots were cut."""
    kept = BUDGET_BYTES // _POINT_BYTES // 2 // max(1, len(levels.slots))
    slots, cut = [], 0
    for slot in levels.slots:
        steps = slot.steps()
        cut += len(steps) > kept or len(slot.reversals) > kept
        slots.append(
            {
                "env_id": slot.env_id,
                "slot_id": slot.slot_id,
                "label": slot.label,
                "max_level": slot.max_level,
                "points": [list(step) for step in steps[-kept:]],
                "reversals": [[reversal.x, reversal.level] for reversal in slot.reversals[-kept:]],
                "since": slot.since,
                "since_text": slot.since_text,
                "episode_starts": [episode.start for episode in slot.episodes[-kept // 2 :]],
                "end": slot.end,
            }
        )
    return slots, cut


def _harmless(levels: RunLevels, notes: list[str]) -> RunLevels:
    """The levels with names and notes that can be shown in a line of text."""

    def named(slot: SlotLevels) -> SlotLevels:
        return msgspec.structs.replace(slot, slot_id=line(str(slot.slot_id), MAX_NAME))

    return msgspec.structs.replace(
        levels,
        run_dir=line(levels.run_dir, MAX_NAME),
        slots=[named(slot) for slot in levels.slots],
        notes=[line(note) for note in notes],
    )
