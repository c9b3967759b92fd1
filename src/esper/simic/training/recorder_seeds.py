"""What the recorder writes of a seed's life: planted, grown, shrunk, in another stage, removed."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from esper.leyline.actions import LifecycleOp, SeedInternalKind
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import TelemetryEventType
from esper.leyline.payloads import (
    InternalOpMetricsPayload,
    SeedFossilizedPayload,
    SeedGerminatedPayload,
    SeedInternalLevelChangedPayload,
    SeedPrunedPayload,
    SeedStageChangedPayload,
)
from esper.simic.training.recorder_checks import env_index, number, slot_name, whole
from esper.simic.training.recorder_core import RecorderCore
from esper.simic.training.recorder_state import SlotState

__all__ = ["FOSSILIZED", "SeedReports"]

_log = logging.getLogger("karn")

FOSSILIZED = "fossilized"
"""The ``reason`` of ``seed_removed`` that makes a seed a lasting part of its host."""


class SeedReports(RecorderCore):
    """The reports about seeds, and every clear that they bring with them."""

    def seed_added(
        self,
        env: int,
        slot: str,
        level: int | None = None,
        max_level: int | None = None,
        *,
        blueprint: str | None = None,
        params: int | None = None,
        seed_id: str | None = None,
    ) -> None:
        """Record a germination.

        Args:
            env: this rank's environment index, from 0.
            slot: the slot that the seed is in.
            level: its internal level; None with ``max_level`` None where it has no levels.
            max_level: its highest level.
            blueprint: what kind of seed it is.
            params: its active parameters.
            seed_id: its name; made up where None.

        Raises:
            ValueError: if only one of level and max_level is given, level is not in 0 to max_level, or
                the slot holds a seed already; or if one of them or ``env`` is no whole number, or the slot
                no text.
        """
        env = env_index(env)
        slot, params = slot_name(env, "slot", slot), number(env, "params", params)
        level = None if level is None else whole(env, "level", level)
        max_level = None if max_level is None else whole(env, "max_level", max_level)
        if (level is None) != (max_level is None) or (
            level is not None and max_level is not None and not 0 <= level <= max_level
        ):
            raise TelemetryUsageError(
                f"slot {slot!r}: level {level} of max_level {max_level} can't be; give both, "
                "0 <= level <= max_level, or neither for a seed without levels"
            )
        state = self._env(env)
        if slot in state.slots:
            raise TelemetryUsageError(
                f"env {env} has a seed in slot {slot!r} already: call seed_removed({env}, {slot!r}, reason) "
                "or episode_end first"
            )
        state.seeds_planted += 1
        kind = SeedInternalKind.NONE if max_level is None else SeedInternalKind.CONV_LADDER
        added = SlotState(
            seed_id=seed_id or f"env{env}-ep{state.episode}-{slot}-{state.seeds_planted}",
            level=level,
            max_level=max_level,
            blueprint=blueprint,
            kind=int(kind),
            active_params=params,
            added_at=state.epoch,
        )
        state.slots[slot] = added
        state.germinated += 1
        state.changes += 1
        self._emit(
            env,
            TelemetryEventType.SEED_GERMINATED,
            SeedGerminatedPayload(
                slot_id=slot,
                episode_idx=state.episode,
                blueprint_id=blueprint,
                params=params,
                internal_kind=kind,
                level=level,
                max_level=max_level,
            ),
            slot,
            added.seed_id,
        )

    def level_changed(
        self, env: int, slot: str, from_level: int, to_level: int, *, active_params: int | None = None
    ) -> None:
        """Record an internal op that was carried out, and the slot's metrics after it.

        Where ``from_level`` is not the level that was told of the seed last, one line is logged, once per
        recorder: the events then say something else than what happened.

        Args:
            env: this rank's environment index, from 0.
            slot: the slot; ``seed_added`` named its max_level.
            from_level: level before.
            to_level: level after, 0 to max_level.
            active_params: the seed's active parameters after.

        Raises:
            ValueError: if the slot holds no seed with levels, or the levels can't be or are no whole numbers.
        """
        env = env_index(env)
        slot, active_params = slot_name(env, "slot", slot), number(env, "active_params", active_params)
        from_level, to_level = whole(env, "from_level", from_level), whole(env, "to_level", to_level)
        seed = self._seed(env, slot)
        max_level = seed.max_level
        if max_level is None:
            raise TelemetryUsageError(
                f"the seed in slot {slot!r} of env {env} has no levels: seed_added({env}, {slot!r}, level, "
                "max_level) gives it some"
            )
        if not (0 <= from_level <= max_level and 0 <= to_level <= max_level) or from_level == to_level:
            raise TelemetryUsageError(
                f"slot {slot!r}: levels {from_level} and {to_level} must differ and lie in 0 to {max_level}"
            )
        if from_level != seed.level and not self._said_levels:
            self._say_levels(env, slot, seed.level, from_level)
        state = self._env(env)
        op = LifecycleOp.from_levels(from_level, to_level)
        if state.loss is not None and state.accuracy is not None:
            self._counterfactual.record_op_start(
                slot,
                env,
                state.epoch,
                op,
                from_level,
                to_level,
                state.loss,
                state.accuracy,
                seed.active_params,
                op_probability=state.last_probability.get(slot),
            )
        seed.level, seed.active_params = to_level, active_params
        state.grown += op == LifecycleOp.GROW_INTERNAL
        state.shrunk += op == LifecycleOp.SHRINK_INTERNAL
        state.changes += 1
        self._emit(
            env,
            TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
            SeedInternalLevelChangedPayload(
                slot_id=slot,
                from_level=from_level,
                to_level=to_level,
                max_level=max_level,
                episode_idx=state.episode,
                blueprint_id=seed.blueprint,
                internal_kind=SeedInternalKind(seed.kind),
                active_params=active_params,
            ),
            slot,
            seed.seed_id,
        )
        metrics = state.tracker.record_internal_op(slot, op, from_level, to_level, epoch=state.epoch)
        self._emit(
            env,
            TelemetryEventType.INTERNAL_OP_METRICS,
            InternalOpMetricsPayload(slot_id=slot, episode_idx=state.episode, **metrics),  # type: ignore[arg-type]
            slot,
            seed.seed_id,
        )

    def stage_changed(
        self, env: int, slot: str, from_stage: str, to_stage: str, *, accuracy_delta: float | None = None
    ) -> None:
        """Record that the seed in a slot went from one stage of its life to the next."""
        env = env_index(env)
        slot = slot_name(env, "slot", slot)
        accuracy_delta = number(env, "accuracy_delta", accuracy_delta)
        state = self._env(env)
        seed = state.slots.get(slot)
        self._emit(
            env,
            TelemetryEventType.SEED_STAGE_CHANGED,
            SeedStageChangedPayload(
                slot_id=slot,
                from_stage=from_stage,
                to_stage=to_stage,
                episode_idx=state.episode,
                accuracy_delta=accuracy_delta,
            ),
            slot,
            None if seed is None else seed.seed_id,
        )

    def seed_removed(
        self, env: int, slot: str, reason: str = "", *, improvement: float | None = None
    ) -> None:
        """Record that a seed left its slot: pruned for ``reason``, or ``reason="fossilized"``.

        Raises:
            ValueError: if the slot holds no seed.
        """
        env = env_index(env)
        slot, improvement = slot_name(env, "slot", slot), number(env, "improvement", improvement)
        seed = self._seed(env, slot)
        state = self._env(env)
        del state.slots[slot]
        state.last_probability.pop(slot, None)
        state.tracker.clear_slot(slot)
        self._counterfactual.clear_slot(slot, env)
        state.changes += 1
        common: dict[str, Any] = {
            "slot_id": slot,
            "episode_idx": state.episode,
            "blueprint_id": seed.blueprint,
            "epochs_total": max(0, state.epoch - seed.added_at),
            "improvement": improvement,
        }
        if reason == FOSSILIZED:
            state.fossilized += 1
            payload = SeedFossilizedPayload(params_added=seed.active_params, **common)
            self._emit(env, TelemetryEventType.SEED_FOSSILIZED, payload, slot, seed.seed_id)
        else:
            state.pruned += 1
            self._emit(
                env,
                TelemetryEventType.SEED_PRUNED,
                SeedPrunedPayload(reason=reason, **common),
                slot,
                seed.seed_id,
            )

    def _say_levels(self, env: int, slot: str, known: int | None, told: int) -> None:
        self._said_levels = True
        with contextlib.suppress(Exception):  # a log handler that fails is no reason to stop a training
            _log.warning(
                "env %d slot %r: level_changed was told from_level %d, but the level known is %s: a level "
                "change or an episode_end was not reported, so the verdict may be wrong (said once)",
                env,
                slot,
                told,
                known,
            )
