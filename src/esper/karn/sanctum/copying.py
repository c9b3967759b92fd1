"""The SQL and the MCP call behind what is on the screen, to be asked again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from textual.app import App

from esper.karn.sanctum.state import Position, SlotKey
from esper.karn.sanctum.view import Query
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.thresholds import BASELINE_WARM_VERDICT

Subject = Literal["levels", "slot", "changes", "effects", "comparison"]

CLIPBOARD_BYTES = 70_000
"""Terminals drop a longer text, most of them without a word: 100,000 bytes of base64 are a common limit."""
ROWS_ASKED = 1_000
"""Most rows that one MCP answer may be asked for."""
EVERYTHING = Query()
"""No filter."""


@dataclass(frozen=True)
class View:
    """What the screen shows, as far as a query can say it."""

    subject: Subject
    """levels: the table; slot: one slot's op history; changes: the event log; effects: what GROW and SHRINK
    did; comparison: two runs side by side."""
    run_dir: str
    treatment: str | None = None
    """The second run of a comparison."""
    slot: SlotKey | None = None
    """Of a slot page."""
    query: Query = EVERYTHING
    """The filter of the table; a word in it is looked for in the slot's name, its blueprint and its band,
    since no view knows the verdict's label."""
    moment: Position | None = None
    """Only what had happened by then; the whole run if None."""


@dataclass(frozen=True)
class McpCall:
    """A call of one of Karn's MCP tools; ``str`` is how people write it."""

    tool: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        # JSON in ASCII: nothing in a name can end the text, or steer the terminal it is pasted into.
        given = ", ".join(f"{name}={json.dumps(value)}" for name, value in self.arguments.items())
        return f"{self.tool}({given})"


def sql_for(view: View) -> str:
    """One SELECT over Karn's views, for ``karn sql`` or the tool ``query_sql``.

    The table's rows are those of slots that had an op; the screen also shows seeds that had none yet. Its
    intervals are not corrected for the number of slots, as the view ``slot_thrash`` says.
    """
    match view.subject:
        case "levels":
            return _levels(view) if view.moment is None else _levels_at(view, view.moment)
        case "slot":
            return _changes([_is("run_dir", view.run_dir), *_in_slot(view)], view.moment)
        case "changes":
            return _changes([_is("run_dir", view.run_dir)], view.moment, latest_first=True)
        case "effects":
            return _effects(view)
        case "comparison":
            return _comparison(view)


def mcp_call_for(view: View) -> McpCall:
    """The tool that answers the same; ``query_sql`` where no other can say the filter, or the moment."""
    run: dict[str, Any] = {"run_dir": view.run_dir}
    whole_run = view.moment is None
    match view.subject:
        case "levels" if whole_run and view.query == EVERYTHING:
            # In full: the concise answer holds fewer slots than the screen.
            return McpCall("thrash_verdict", run | {"detail": "full"})
        case "slot" if whole_run and view.slot is not None and view.slot[0] is not None:
            place = {"env_id": view.slot[0], "slot_id": view.slot[1], "limit": ROWS_ASKED}
            return McpCall("seed_internal_levels", run | place)
        case "changes" if whole_run:
            latest = {"order": "timestamp desc, seq desc", "limit": ROWS_ASKED}
            return McpCall("seed_internal_levels", run | latest)
        case "effects" if whole_run:
            return McpCall("counterfactual_by_op", run | {"min_baseline_samples": BASELINE_WARM_VERDICT})
        case "comparison":
            return McpCall("compare_runs", {"control": view.run_dir, "treatment": view.treatment})
        case _:
            return McpCall("query_sql", {"sql": sql_for(view), "limit": ROWS_ASKED})


def copy_text(app: App[Any], text: str) -> None:
    """Put a text into the clipboard of the terminal that is looked at, over ssh too (OSC 52).

    A terminal does not say whether it took it; some ask the user, and some are told to refuse.

    Raises:
        TelemetryUsageError: if it is longer than terminals take.
    """
    size = len(text.encode())
    if size > CLIPBOARD_BYTES:
        raise TelemetryUsageError(
            f"{size:,} bytes are too many for a terminal's clipboard ({CLIPBOARD_BYTES:,}); export them"
        )
    app.copy_to_clipboard(text)


def quoted(text: str) -> str:
    """An SQL string literal; what is not printable is written as ``chr(n)``, safe to paste anywhere."""
    parts: list[str] = [""]
    for character in text:
        if character.isprintable():
            parts[-1] += character.replace("'", "''")
        else:
            # Half a surrogate pair, from a folder whose name is no UTF-8, is no character of SQL's.
            code = 0xFFFD if 0xD800 <= ord(character) <= 0xDFFF else ord(character)
            parts += [f"chr({code})", ""]
    literals = [part if index % 2 else f"'{part}'" for index, part in enumerate(parts)]
    return " || ".join(literal for literal in literals if literal != "''") or "''"


def _levels(view: View) -> str:
    return _select(
        "*",
        "slot_thrash",
        [_is("run_dir", view.run_dir), *_matching(view)],
        "ORDER BY free_low DESC NULLS LAST, reversal_rate DESC NULLS LAST, env_id, slot_id",
    )


def _levels_at(view: View, moment: Position) -> str:
    """The view ``slot_thrash`` holds whole runs; pairs of ops can be counted up to any moment."""
    columns = [
        "env_id",
        "slot_id",
        "any_value(rank) AS rank",
        "count(*) AS n_pairs",
        "count(*) FILTER (reversal) AS n_reversals",
        "n_reversals / n_pairs AS reversal_rate",
        "count(*) FILTER (free) AS n_free_pairs",
        "count(*) FILTER (free AND reversal) AS n_free_reversals",
        "band(reversal_rate, n_pairs) AS band",
    ]
    counted = _select(
        ",\n    ".join(columns),
        "op_pairs",
        [_is("run_dir", view.run_dir), _until(moment)],
        "GROUP BY env_id, slot_id",
    )
    conditions = _matching(view) or ["true"]
    order = "ORDER BY reversal_rate DESC, env_id, slot_id"
    return _select("*", f"({counted})", conditions, order)


def _changes(conditions: Sequence[str], moment: Position | None, *, latest_first: bool = False) -> str:
    columns = "timestamp, env_id, slot_id, seed_id, episode_idx, epoch, from_level, to_level, max_level"
    # Within a rank by sequence, never by time; what happened last on any rank only time can say.
    order = "timestamp DESC, seq DESC" if latest_first else "rank, seq, file_offset"
    until = [] if moment is None else [_until(moment)]
    return _select(columns, "seed_internal_levels", [*conditions, *until], f"ORDER BY {order}")


def _effects(view: View) -> str:
    columns = [
        "op_name",
        "count(*) AS n_all",
        "count(loss_advantage) FILTER (warm) AS n",
        "avg(loss_advantage) FILTER (warm) AS loss_advantage",
        "avg(accuracy_advantage) FILTER (warm) AS accuracy_advantage",
    ]
    warm = f"(SELECT *, baseline_sample_count >= {BASELINE_WARM_VERDICT} AS warm FROM counterfactual_deltas)"
    conditions = [_is("run_dir", view.run_dir), "op_name IS NOT NULL"]
    if view.moment is not None:
        conditions.append(_until(view.moment))
    return _select(",\n    ".join(columns), warm, conditions, "GROUP BY op_name\nORDER BY op_name")


def _comparison(view: View) -> str:
    columns = [
        "run_dir",
        "count(*) AS n_slots",
        "sum(n_ops)::BIGINT AS n_ops",
        "sum(n_pairs)::BIGINT AS n_pairs",
        "sum(n_reversals) / nullif(sum(n_pairs), 0) AS reversal_rate",
        "sum(n_free_pairs)::BIGINT AS n_free_pairs",
        "sum(n_free_reversals) / nullif(sum(n_free_pairs), 0) AS free_reversal_rate",
        "sum(n_undone) / sum(n_ops) AS undone_within_5",
    ]
    runs = [view.run_dir] if view.treatment is None else [view.run_dir, view.treatment]
    return _select(
        ",\n    ".join(columns),
        "slot_thrash",
        [_one_of("run_dir", runs)],
        "GROUP BY run_dir\nORDER BY run_dir",
    )


def _matching(view: View) -> list[str]:
    query = view.query
    conditions: list[str] = []
    for column, wanted in (("env_id", query.env), ("rank", query.rank)):
        if wanted is not None:
            conditions.append(f"{column}::VARCHAR = {quoted(wanted)}")
    if query.slot:
        conditions.append(_holds("slot_id", query.slot))
    if query.blueprint:
        conditions.append(_has_blueprint(view, query.blueprint))
    if query.bands is not None:
        conditions.append(_one_of("band", query.bands))
    for word in query.words:
        places = (_holds("slot_id", word), _holds("band", word), _has_blueprint(view, word))
        conditions.append(f"({' OR '.join(places)})")
    return conditions


def _has_blueprint(view: View, text: str) -> str:
    """Whether the slot's latest seed is of a blueprint, as the screen looks at that one alone."""
    columns = "env_id, slot_id, blueprint_id, episode_idx, epoch, timestamp"
    conditions = [_is("run_dir", view.run_dir), *([] if view.moment is None else [_until(view.moment)])]
    moved = _select(columns, "seed_internal_levels", conditions, "")
    sown = _select(columns, "seed_lifecycle", [*conditions, _is("event_type", "SEED_GERMINATED")], "")
    latest = "arg_max(blueprint_id, (episode_idx, epoch, timestamp))"
    seeds = f"SELECT (env_id, slot_id) FROM ({moved}UNION ALL {sown})\nGROUP BY env_id, slot_id"
    return f"(env_id, slot_id) IN ({seeds} HAVING {_holds(latest, text)})"


def _in_slot(view: View) -> list[str]:
    assert view.slot is not None, "a slot page has a slot"
    env_id, slot_id = view.slot
    return ["env_id IS NULL" if env_id is None else f"env_id = {env_id}", _is("slot_id", slot_id)]


def _select(columns: str, source: str, conditions: Sequence[str], rest: str) -> str:
    return f"SELECT\n    {columns}\nFROM {source}\nWHERE {' AND '.join(conditions)}\n{rest}"


def _is(column: str, text: str) -> str:
    return f"{column} = {quoted(text)}"


def _holds(column: str, text: str) -> str:
    return f"contains(lower({column}), lower({quoted(text)}))"


def _one_of(column: str, texts: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(map(quoted, texts))})" if texts else "false"


def _until(moment: Position) -> str:
    return f"(episode_idx, epoch) <= ({moment[0]}, {moment[1]})"
