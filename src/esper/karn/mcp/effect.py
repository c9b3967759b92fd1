"""An op's effect as a tool's answer: in a few lines that suffice alone, and as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from esper.karn.diagnosis.effect_words import answer_lines
from esper.karn.mcp.harmless import MAX_NAME, cut_texts, line
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import as_of_text

if TYPE_CHECKING:
    from esper.karn.store.database import Store

OpName = Literal["GROW_INTERNAL", "SHRINK_INTERNAL"]

EFFECT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run_dir": {"type": "string"},
        "effects": {"type": "array", "items": {"type": "object"}},
        "naive": {"type": "object"},
        "as_of": {"type": "object"},
        "warnings": {"type": "array"},
    },
    "required": ["run_dir", "effects", "naive", "as_of", "warnings"],
}


class EffectAnswer(msgspec.Struct):
    """An effect in both forms."""

    text: str
    structured: dict[str, Any]


def effect_answer(
    store: Store, run_dir: str | None, op: OpName, env_id: int | None, slot_id: str | None, horizon: int
) -> EffectAnswer:
    """What an op did in a run, the latest if none is named.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    from esper.karn.store.effects import op_answer

    name = store.check_run(run_dir)
    state = standing(store, [name])
    answer = op_answer(store, name, op, env_id, slot_id, horizon)
    structured: dict[str, Any] = cut_texts(msgspec.to_builtins(answer))
    structured |= {"as_of": state.as_of, "warnings": state.warnings}
    # The names are cut where they stand in a sentence, as all texts from telemetry.
    told = msgspec.structs.replace(
        answer, run_dir=line(name, MAX_NAME), slot_id=answer.slot_id and line(answer.slot_id, MAX_NAME)
    )
    text = [
        *answer_lines(told),
        *[f"note: {line(warning)}" for warning in state.warnings],
        as_of_text(state.as_of),
    ]
    return EffectAnswer("\n".join(text), structured)
