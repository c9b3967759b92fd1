"""Gathers what effects are made of from the views, and brings it to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from esper.karn.diagnosis.intervals import Interval
from esper.karn.diagnosis.op_effect import (
    RANDOMISED,
    WEIGHTED,
    EpisodeSums,
    NaiveEffect,
    OpAnswer,
    OpEffect,
    no_state,
    refusal,
    support_of,
)
from esper.karn.store import effects_sql as sql
from esper.karn.store.copies import ONE_OF_MANY
from esper.karn.store.database import Snapshot, Store
from esper.karn.store.places import check_places
from esper.leyline.thresholds import BASELINE_WARM_QUERY, BASELINE_WARM_VERDICT


def op_answer(
    store: Store,
    run_dir: str | None,
    op_name: str,
    env_id: int | None = None,
    slot_id: str | None = None,
    horizon: int = 1,
) -> OpAnswer:
    """What an op did in a run, by each method.

    Args:
        store: the store, refreshed by the caller.
        run_dir: the run; the latest if None.
        op_name: GROW_INTERNAL or SHRINK_INTERNAL.
        env_id: only in this environment.
        slot_id: only in slots of this name.
        horizon: recorded epochs over which changes are taken, at least 1; they end within the episode.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    name = store.check_run(run_dir)
    with store.snapshot() as now:
        if env_id is not None or slot_id is not None:
            places = now.select(sql.PLACES, [name]).rows
            check_places(now, name, env_id, slot_id, places, lambda: f"run {name}")
        facts = now.select(sql.FACTS, [name, env_id, op_name, slot_id]).dicts()[0]
        groups = _groups(now, name, env_id, slot_id, horizon)
        effects = [
            _effect(op_name, method, groups.get((method, op_name), _NO_GROUP), horizon, facts, slot_id)
            for method in (RANDOMISED, WEIGHTED)
            if method == WEIGHTED or facts["with_holdout"]
        ]
        return OpAnswer(
            run_dir=name,
            op_name=op_name,
            env_id=env_id,
            slot_id=slot_id,
            effects=effects,
            naive=_naive(now, [name, env_id, op_name, slot_id]),
        )


def told_effects(now: Snapshot, run_dir: str) -> tuple[list[OpEffect], list[str]]:
    """For each op the best effect over a whole run and the next epoch, where one can be told.

    Returns:
        The effects; and of ops that a holdout held back to no avail, why it tells nothing.
    """
    found: dict[str, OpEffect] = {}
    held: dict[str, str] = {}
    for (method, op_name), group in _groups(now, run_dir, None, None, 1).items():
        episodes = group.episodes
        # In their order: randomised comes first.
        if op_name not in found and (effect := _computed(op_name, method, group, 1)) is not None:
            found[op_name] = effect
        elif method == RANDOMISED:
            support = support_of(episodes)
            held[op_name] = (no_state(episodes, 1) if support is None else refusal(method, support)) or ""
    told = [found[op_name] for op_name in sorted(found)]
    return told, [
        f"{op_name.removesuffix('_INTERNAL')}: {why}" for op_name, why in held.items() if op_name not in found
    ]


class _Group(NamedTuple):
    """What the episodes of one method and op add up to."""

    episodes: list[EpisodeSums]
    holdout: float | None
    """The least."""
    stride: int
    """Epochs from one that is recorded to the next."""


_NO_GROUP = _Group([], None, 1)


def _groups(
    now: Snapshot, run_dir: str, env_id: int | None, slot_id: str | None, horizon: int
) -> dict[tuple[str, str], _Group]:
    """The sums of each episode, and the least holdout, by method and op."""
    groups: dict[tuple[str, str], _Group] = {}
    # An environment's number already names one rank's.
    rank = now.select(ONE_OF_MANY, [run_dir]).rows[0][0] if env_id is None else None
    for row in now.select(sql.EPISODE_SUMS, [run_dir, env_id, horizon, slot_id, rank]).dicts():
        key = (row.pop("method"), row.pop("op_name"))
        holdout, stride = row.pop("holdout"), row.pop("stride")
        episodes, least, _ = groups.get(key, _Group([], holdout, stride))
        episodes.append(EpisodeSums(**row))
        both = None if holdout is None or least is None else min(holdout, least)
        groups[key] = _Group(episodes, both, stride)
    return groups


def _computed(op_name: str, method: str, group: _Group, horizon: int) -> OpEffect | None:
    """The effect; None where it is refused, and then nothing numerical is loaded."""
    support = support_of(group.episodes)
    if support is None or refusal(method, support) is not None:
        return None
    from esper.karn.effects import op_effect

    return op_effect(op_name, method, group.episodes, horizon=horizon * group.stride, holdout=group.holdout)


def _effect(
    op_name: str,
    method: str,
    group: _Group,
    horizon: int,
    facts: dict[str, Any],
    slot_id: str | None,
) -> OpEffect:
    episodes = group.episodes
    refused = None
    if method == WEIGHTED and slot_id is not None and facts["n_op_elsewhere"]:
        refused = "a slot's own probability is known only where the op was chosen, so a slot needs a holdout"
    elif (computed := _computed(op_name, method, group, horizon)) is not None:
        return computed
    support = support_of(episodes)
    if refused is None:
        refused = (
            _no_state(op_name, episodes, horizon, facts) if support is None else refusal(method, support)
        )
    return OpEffect(
        op_name=op_name,
        method=method,
        horizon=horizon * group.stride,
        holdout=group.holdout,
        refused=refused,
        accuracy=Interval(None),
        loss=Interval(None),
        support=support,
    )


def _no_state(op_name: str, episodes: Sequence[EpisodeSums], horizon: int, facts: dict[str, Any]) -> str:
    if not facts["decisions"]:
        return "no decision was recorded"
    if not facts["with_op_probs"] and not facts["with_holdout"]:
        return "the decisions carry no op_probs, and no holdout was on"
    if not facts["n_op"]:
        return f"the policy never carried out {op_name}"
    if (why := no_state(episodes, horizon)) is not None:
        return why
    return f"no decision names the probabilities of both {op_name} and NOOP"


def _naive(now: Snapshot, where: list[Any]) -> NaiveEffect:
    row = now.select(sql.NAIVE, [*where, BASELINE_WARM_VERDICT, BASELINE_WARM_QUERY]).dicts()[0]
    early = "" if row["n"] else "_early"
    return NaiveEffect(
        n=row[f"n{early}"],
        loss_advantage=row[f"loss{early}"],
        accuracy_advantage=row[f"accuracy{early}"],
        baseline_at_least=BASELINE_WARM_QUERY if early else BASELINE_WARM_VERDICT,
    )
