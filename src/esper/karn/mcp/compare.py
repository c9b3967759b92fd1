"""A comparison of two runs as a tool's answer: every number, within a budget, and a page of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from esper.karn.diagnosis.comparison import Comparison
from esper.karn.diagnosis.comparison_words import comparison_text
from esper.karn.mcp.harmless import MAX_NAME, cut_texts, line
from esper.karn.mcp.standing import standing
from esper.karn.mcp.table import as_of_text

if TYPE_CHECKING:
    from esper.karn.store.database import Store

MAX_BLUEPRINTS = 20
MAX_ENVIRONMENTS = 32
"""Of each run, in the structured content."""

COMPARISON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "gates": {"type": "array", "items": {"type": "object"}},
        "columns": {"type": "array"},
        "rows": {"type": "array"},
        "as_of": {"type": "object"},
        "warnings": {"type": "array"},
    },
    "required": ["answer", "gates", "columns", "rows", "as_of", "warnings"],
}

_COLUMNS = [
    "figure",
    "unit",
    "n_of",
    *[f"{side}{part}" for side in ("control", "treatment") for part in ("", "_low", "_high", "_n")],
    "difference",
    "difference_low",
    "difference_high",
]


class CompareAnswer(msgspec.Struct):
    """A comparison in both forms."""

    text: str
    structured: dict[str, Any]


def compare_answer(store: Store, control: str, treatment: str) -> CompareAnswer:
    """What a treatment changed against its control, and its exit gates.

    Raises:
        NotFoundError: on an unknown run; names the nearest.
    """
    from esper.karn.store.compare import compare_runs

    for name in (control, treatment):
        store.check_run(name)
    state = standing(store, list(dict.fromkeys((control, treatment))))
    comparison = compare_runs(store, control, treatment)
    warnings = [*comparison.notes, *state.warnings]
    sides = ("control", "treatment")
    structured = cut_texts(
        {
            "control": control,
            "treatment": treatment,
            "answer": comparison.answer,
            "gates": msgspec.to_builtins(comparison.gates),
            "columns": _COLUMNS,
            "rows": _rows(comparison),
            "blueprints": msgspec.to_builtins(comparison.blueprints[:MAX_BLUEPRINTS]),
            "environments": {
                side: msgspec.to_builtins(ends[:MAX_ENVIRONMENTS])
                for side, ends in zip(sides, comparison.environments, strict=True)
            },
        }
    )
    lists = {
        "blueprints": (len(comparison.blueprints), MAX_BLUEPRINTS, "seed_lifecycle"),
        "environments of the control": (len(comparison.environments[0]), MAX_ENVIRONMENTS, "epochs"),
        "environments of the treatment": (len(comparison.environments[1]), MAX_ENVIRONMENTS, "epochs"),
    }
    for name, (found, shown, view) in lists.items():
        if found > shown:
            warnings.append(f"{name}: the first {shown} of {found}; query {view} for all")
    structured |= {"as_of": state.as_of, "warnings": [line(warning) for warning in warnings]}
    text = [comparison_text(_harmless(comparison)), *[f"note: {line(text)}" for text in state.warnings]]
    return CompareAnswer("\n".join([*text, as_of_text(state.as_of)]), structured)


def _rows(comparison: Comparison) -> list[list[Any]]:
    return [
        [
            figure.name,
            figure.unit,
            figure.n_of,
            *msgspec.structs.astuple(figure.control),
            figure.n_control,
            *msgspec.structs.astuple(figure.treatment),
            figure.n_treatment,
            *msgspec.structs.astuple(figure.difference),
        ]
        for figure in comparison.figures
    ]


def _harmless(comparison: Comparison) -> Comparison:
    """The comparison with names that can be shown in a line of text."""
    return msgspec.structs.replace(
        comparison,
        control=line(comparison.control, MAX_NAME),
        treatment=line(comparison.treatment, MAX_NAME),
        blueprints=[
            msgspec.structs.replace(share, blueprint=line(share.blueprint, MAX_NAME))
            for share in comparison.blueprints
        ],
        notes=[line(note, 2 * MAX_NAME) for note in comparison.notes],
    )
