"""Which fields of which event type become typed columns: one table per event type.

A field is written ``name TYPE``, or ``name TYPE path`` where it lies deeper in ``data``. Fields that the
envelope also has get the prefix ``data_``. Fields that only the predecessor (esper-lite) writes are here
too, so that its files answer the same questions; the longer lists of them stand in ``predecessor_tables``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import msgspec

from esper.karn.store import predecessor_tables as predecessor

ENVELOPE = (
    ("event_id", "VARCHAR"),
    ("event_type", "VARCHAR"),
    ("timestamp", "TIMESTAMP"),
    ("seed_id", "VARCHAR"),
    ("slot_id", "VARCHAR"),
    ("epoch", "BIGINT"),
    ("group_id", "VARCHAR"),
    ("message", "VARCHAR"),
    ("data", "JSON"),
    ("severity", "VARCHAR"),
    ("filename", "VARCHAR"),
    ("run_dir", "VARCHAR"),
    ("rank", "INTEGER"),
    ("seq", "BIGINT"),
    ("schema", "INTEGER"),
    ("attempt", "INTEGER"),
    ("file_offset", "BIGINT"),
)
"""Columns that every table begins with: the line's own, then where it stood."""

PROBLEMS = (
    ("run_dir", "VARCHAR"),
    ("filename", "VARCHAR"),
    ("line_number", "BIGINT"),
    ("file_offset", "BIGINT"),
    ("kind", "VARCHAR"),
    ("reason", "VARCHAR"),
    ("snippet", "VARCHAR"),
)
"""Columns of the table of what is wrong with lines."""

_Finite = Annotated[float, msgspec.Meta(ge=-1.7976931348623157e308, le=1.7976931348623157e308)]
_Int = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _PhaseTimes(msgspec.Struct):
    wall_ms: _Finite | None = None
    python_cpu_ms: _Finite | None = None
    python_cpu_ratio: _Finite | None = None


_MAPS = {
    "COUNTS": "MAP(VARCHAR, INTEGER)",
    "PHASES": "MAP(VARCHAR, STRUCT(wall_ms DOUBLE, python_cpu_ms DOUBLE, python_cpu_ratio DOUBLE))",
}
"""SQL types of objects whose keys are data, by their names in the lists of fields."""

_READERS: dict[str, Any] = {
    "VARCHAR": str,
    "BOOLEAN": bool,
    "INTEGER": _Int,
    "BIGINT": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "UBIGINT": Annotated[int, msgspec.Meta(ge=0)],
    "HUGEINT": Annotated[int, msgspec.Meta(ge=-(2**63))],
    "DOUBLE": _Finite,
    "JSON": Any,
    _MAPS["COUNTS"]: dict[str, _Int | None],
    _MAPS["PHASES"]: dict[str, _PhaseTimes | None],
}

WIDE_MAX = 2**64 - 1
"""Largest value of a UBIGINT or HUGEINT field: random seeds are 64 bits, with or without a sign."""


_ABOUT_ONE_SLOT = ("SEED_INTERNAL_LEVEL_CHANGED", "INTERNAL_OP_METRICS", "COUNTERFACTUAL_DELTA")


class Field(NamedTuple):
    """A typed column and where it comes from."""

    column: str
    sql_type: str
    path: tuple[str, ...]


class EventTable:
    """The typed columns of one event type.

    Args:
        event_type: as in the files; ``None`` for the table of all types that have no fields here.
        fields: comma-separated ``name TYPE [path]``; TYPE is one of DuckDB's or COUNTS or PHASES.
    """

    def __init__(self, event_type: str | None, fields: str) -> None:
        self.event_type = event_type
        self.name = "other" if event_type is None else event_type.lower()
        self.fields = [_field(text.split()) for text in fields.split(",") if text.strip()]
        if self.fields:
            self.fields.append(Field("non_finite", "JSON", ("non_finite",)))

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Name and SQL type of every column."""
        return [*ENVELOPE, *((field.column, field.sql_type) for field in self.fields)]

    @property
    def slot_column(self) -> str | None:
        """The column of the slot that an event is about, as the envelope or else its data says.

        Told apart once, as it is taken in: to ask it of both columns costs every query that groups by slots.
        """
        return "data_slot_id" if self.event_type in _ABOUT_ONE_SLOT else None

    @cached_property
    def nested(self) -> frozenset[str]:
        """Names in ``data`` of objects that hold fields."""
        return frozenset(field.path[0] for field in self.fields if len(field.path) > 1)

    @cached_property
    def top_names(self) -> frozenset[str]:
        """Names in ``data`` of all fields, or of the objects that hold them."""
        return frozenset(field.path[0] for field in self.fields)

    @cached_property
    def structure(self) -> str:
        """``structure_of`` all fields."""
        return self.structure_of(self.fields)

    def structure_of(self, fields: Sequence[Field]) -> str:
        """The nested JSON that ``json_transform`` takes for a whole line of this type."""
        data: dict[str, Any] = {}
        for field in fields:
            place = data
            for step in field.path[:-1]:
                place = place.setdefault(step, {})
            place[field.path[-1]] = field.sql_type
        own = {name: kind for name, kind in ENVELOPE[:15] if name not in ("data", "filename", "run_dir")}
        own["timestamp"] = "VARCHAR"
        return msgspec.json.encode({**own, "data": data} if data else own).decode()

    @cached_property
    def reader(self) -> msgspec.json.Decoder[Any]:
        """Decodes ``data`` and raises ValidationError if a typed field has another type.

        What passes here, ``json_transform`` reads exactly: it rounds 3.7 to 4 without a word, and
        makes 1 of true.
        """
        return msgspec.json.Decoder(self.reader_type, strict=False)

    @cached_property
    def wide(self) -> list[str]:
        """Fields of up to WIDE_MAX, which ``reader`` can't check: its bounds have 63 bits."""
        return [field.path[0] for field in self.fields if field.sql_type in ("UBIGINT", "HUGEINT")]

    @cached_property
    def reader_type(self) -> Any:
        """The class that ``reader`` decodes to."""
        return _reader_type(self.name, [(field.path, field.sql_type) for field in self.fields]) | None


def _field(words: list[str]) -> Field:
    name, sql_type, *path = words
    column = f"data_{name}" if any(name == own for own, _ in ENVELOPE) else name
    return Field(column, _MAPS.get(sql_type, sql_type), tuple(path[0].split(".")) if path else (name,))


def _reader_type(name: str, fields: list[tuple[tuple[str, ...], str]]) -> Any:
    members: list[tuple[str, Any, Any]] = []
    nested: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for path, sql_type in fields:
        if len(path) > 1:
            nested.setdefault(path[0], []).append((path[1:], sql_type))
        else:
            members.append((path[0], _READERS[sql_type] | None if sql_type != "JSON" else Any, None))
    for step, inner in nested.items():
        members.append((step, _reader_type(f"{name}_{step}", inner) | None, None))
    return msgspec.defstruct(f"Reader_{name}", members, kw_only=True, gc=False)


TABLES = [
    EventTable(
        "SEED_INTERNAL_LEVEL_CHANGED",
        """slot_id VARCHAR, from_level INTEGER, to_level INTEGER, max_level INTEGER, env_id INTEGER,
        episode_idx INTEGER, blueprint_id VARCHAR, internal_kind INTEGER, active_params BIGINT""",
    ),
    EventTable(
        "INTERNAL_OP_METRICS",
        """slot_id VARCHAR, internal_op_density DOUBLE, net_level_change DOUBLE, reversal_rate DOUBLE,
        n_ops INTEGER, window_size INTEGER, internal_op_rate DOUBLE, env_id INTEGER, episode_idx INTEGER""",
    ),
    EventTable(
        "COUNTERFACTUAL_DELTA",
        """slot_id VARCHAR, env_id INTEGER, epoch BIGINT, op INTEGER, from_level INTEGER, to_level INTEGER,
        loss_before DOUBLE, accuracy_before DOUBLE, params_before BIGINT, loss_after DOUBLE,
        accuracy_after DOUBLE, params_after BIGINT, loss_delta DOUBLE, accuracy_delta DOUBLE,
        baseline_loss_delta DOUBLE, baseline_accuracy_delta DOUBLE, baseline_sample_count BIGINT,
        epochs_elapsed INTEGER, episode_idx INTEGER, op_probability DOUBLE""",
    ),
    EventTable(
        "TRAINING_STARTED",
        """episode_id VARCHAR, task VARCHAR, reward_mode VARCHAR, policy VARCHAR, seed HUGEINT,
        n_envs INTEGER, n_episodes INTEGER, max_epochs INTEGER, max_batches INTEGER, lr DOUBLE,
        entropy_coef DOUBLE, clip_ratio DOUBLE, param_budget INTEGER, policy_device VARCHAR,
        amp_enabled BOOLEAN, amp_dtype VARCHAR, host_params INTEGER, slot_ids JSON,
        intervention_cost DOUBLE, rank INTEGER, world_size INTEGER, resumed_from_episode INTEGER,
        resumed_from_epoch INTEGER, config JSON, proof_baseline_mode VARCHAR,
        proof_baseline_pair_id VARCHAR, proof_baseline_lifecycle_policy VARCHAR,
        proof_baseline_schedule_id VARCHAR, proof_baseline_schedule_hash VARCHAR,
        proof_baseline_schedule_version INTEGER, proof_baseline_schedule_action_count INTEGER""",
    ),
    EventTable(
        "TRAINING_FINISHED",
        "outcome VARCHAR, episodes_completed INTEGER, rank INTEGER, world_size INTEGER",
    ),
    EventTable("TRAINING_FAILED", "reason VARCHAR"),
    EventTable(
        "EPOCH_COMPLETED",
        """env_id INTEGER, episode_idx INTEGER, inner_epoch INTEGER, loss DOUBLE, accuracy DOUBLE,
        train_loss DOUBLE, train_accuracy DOUBLE, params BIGINT, val_loss DOUBLE, val_accuracy DOUBLE""",
    ),
    EventTable(
        "EPISODE_OUTCOME",
        """env_id INTEGER, episode_idx INTEGER, accuracy DOUBLE, loss DOUBLE, params BIGINT,
        episode_reward DOUBLE, episode_length INTEGER, outcome_type VARCHAR, germinate_count INTEGER,
        prune_count INTEGER, fossilize_count INTEGER, grow_count INTEGER, shrink_count INTEGER, """
        + predecessor.OUTCOME_FIELDS,
    ),
    EventTable(
        "SEED_GERMINATED",
        """slot_id VARCHAR, env_id INTEGER, episode_idx INTEGER, blueprint_id VARCHAR, params INTEGER,
        internal_kind INTEGER, level INTEGER, max_level INTEGER, alpha DOUBLE, grad_ratio DOUBLE,
        has_vanishing BOOLEAN, has_exploding BOOLEAN, epochs_in_stage INTEGER,
        blend_tempo_epochs INTEGER, alpha_curve VARCHAR, """
        + predecessor.MORPHOLOGY_FIELDS,
    ),
    EventTable(
        "SEED_STAGE_CHANGED",
        """slot_id VARCHAR, env_id INTEGER, episode_idx INTEGER, from_stage VARCHAR, to_stage VARCHAR,
        epochs_in_stage INTEGER, accuracy_delta DOUBLE, alpha DOUBLE, grad_ratio DOUBLE,
        has_vanishing BOOLEAN, has_exploding BOOLEAN, alpha_curve VARCHAR, """
        + predecessor.MORPHOLOGY_FIELDS,
    ),
    EventTable(
        "SEED_PRUNED",
        """slot_id VARCHAR, env_id INTEGER, episode_idx INTEGER, blueprint_id VARCHAR, reason VARCHAR,
        initiator VARCHAR, epochs_total INTEGER, improvement DOUBLE, counterfactual DOUBLE,
        blending_delta DOUBLE, auto_pruned BOOLEAN, """
        + predecessor.MORPHOLOGY_FIELDS,
    ),
    EventTable(
        "SEED_FOSSILIZED",
        """slot_id VARCHAR, env_id INTEGER, episode_idx INTEGER, blueprint_id VARCHAR,
        params_added INTEGER, epochs_total INTEGER, improvement DOUBLE, counterfactual DOUBLE,
        blending_delta DOUBLE, alpha DOUBLE, """
        + predecessor.MORPHOLOGY_FIELDS,
    ),
    EventTable(
        "PPO_UPDATE_COMPLETED",
        """policy_loss DOUBLE, value_loss DOUBLE, entropy DOUBLE, kl_divergence DOUBLE,
        clip_fraction DOUBLE, explained_variance DOUBLE, grad_norm DOUBLE, lr DOUBLE,
        entropy_coef DOUBLE, batch INTEGER, env_id INTEGER, episode_idx INTEGER, inner_epoch INTEGER,
        episodes_completed INTEGER, """
        + predecessor.UPDATE_FIELDS,
    ),
    EventTable(
        "ANALYTICS_SNAPSHOT",
        """kind VARCHAR, env_id INTEGER, episode_idx INTEGER, inner_epoch INTEGER, action_name VARCHAR,
        action_success BOOLEAN, total_reward DOUBLE, value_estimate DOUBLE, action_confidence DOUBLE,
        decision_entropy DOUBLE, slot_id VARCHAR, blueprint_id VARCHAR, style VARCHAR, blend_id VARCHAR,
        tempo_idx INTEGER, alpha_target DOUBLE, alpha_speed VARCHAR, alpha_curve VARCHAR,
        alpha_algorithm VARCHAR, alpha_algorithm_selected VARCHAR, op_masked BOOLEAN,
        slot_masked BOOLEAN, blueprint_masked BOOLEAN, style_masked BOOLEAN, tempo_masked BOOLEAN,
        alpha_target_masked BOOLEAN, alpha_speed_masked BOOLEAN, alpha_curve_masked BOOLEAN,
        slot_states JSON, alternatives JSON, op_probability DOUBLE, op_probs JSON, slot_probs JSON,
        op_entropy DOUBLE, legal_ops INTEGER, reward DOUBLE, intervention_cost DOUBLE,
        ladder_present BOOLEAN, loss_before DOUBLE, accuracy_before DOUBLE, params_before BIGINT,
        level_before INTEGER, intended_op VARCHAR, intended_slot_id VARCHAR, holdout_probability DOUBLE, """
        + ", ".join(
            (predecessor.DECISION_HEAD_FIELDS, predecessor.REWARD_FIELDS, predecessor.SNAPSHOT_FIELDS)
        ),
    ),
    EventTable("EVENTS_DROPPED", "count BIGINT, first_seq BIGINT, last_seq BIGINT, reason VARCHAR"),
    *(EventTable(event_type, fields) for event_type, fields in predecessor.EVENT_TYPES.items()),
    EventTable(None, ""),
]
"""Every table. A test holds that each payload field of leyline has its column here."""

TABLE_OF = {table.event_type: table for table in TABLES}
"""Tables by event type; ``TABLE_OF[None]`` takes the types that are not here."""

LIFECYCLE = ("SEED_GERMINATED", "SEED_STAGE_CHANGED", "SEED_FOSSILIZED", "SEED_PRUNED")
"""The types of which ``live.seed_lifecycle`` is the union."""
