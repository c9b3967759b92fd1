"""An op's effect as a tool's answer: in a few lines that suffice alone, and as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from esper.karn.diagnosis.effect_words import WHY_THEY_DIFFER, effect_lines
from esper.karn.mcp.harmless import MAX_NAME, cut_texts, line
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import as_of_text
from esper.karn.textout import quoted

if TYPE_CHECKING:
    from esper.karn.store.database import Store
    from esper.karn.store.effects import NaiveEffect, OpAnswer

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
    text = [
        f"run {quoted(line(name, MAX_NAME))}{_where(answer)}",
        *effect_lines(answer.effects),
        _naive_line(answer.naive),
        *[f"note: {line(warning)}" for warning in state.warnings],
        as_of_text(state.as_of),
    ]
    return EffectAnswer("\n".join(text), structured)


def _where(answer: OpAnswer) -> str:
    env = "" if answer.env_id is None else f", env {answer.env_id}"
    return env if answer.slot_id is None else f"{env}, slot {quoted(line(answer.slot_id, MAX_NAME))}"


def _naive_line(naive: NaiveEffect) -> str:
    if naive.loss_advantage is None or naive.accuracy_advantage is None:
        return "naive: no op has an outcome with a warm baseline"
    return (
        f"naive loss_advantage {naive.loss_advantage:+.4f} (positive is worse), accuracy "
        f"{naive.accuracy_advantage:+.4f} over 1 epoch (n = {naive.n}, baselines of "
        f"{naive.baseline_at_least} NOOPs). {WHY_THEY_DIFFER}"
    )
