"""The way in for any training loop: say what happened, in any framework, and the events follow."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec

from esper.leyline.actions import LifecycleOp, SeedInternalKind
from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import EventSink, RankSink, TelemetryEventType
from esper.leyline.payloads import (
    DecisionPayload,
    EpisodeOutcomePayload,
    EpochCompletedPayload,
    InternalOpMetricsPayload,
    SeedFossilizedPayload,
    SeedGerminatedPayload,
    SeedInternalLevelChangedPayload,
    SeedPrunedPayload,
    SeedStageChangedPayload,
    TrainingFinishedPayload,
    TrainingStartedPayload,
)
from esper.simic.training.counterfactual_tracker import CounterfactualTracker
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.training.recorder_state import EnvState, HeldDecision, SlotState

__all__ = ["FOSSILIZED", "InternalOpRecorder"]

FOSSILIZED = "fossilized"
"""The ``reason`` of ``seed_removed`` that makes a seed a lasting part of its host."""


class InternalOpRecorder:
    """Turns what a training loop reports into telemetry, in the right order and with every clear.

    It owns one InternalOpTracker per environment, the counterfactual tracker with its NOOP baseline,
    the ops whose outcome is still to come, and the decisions whose reward is. In each environment a
    loop reports, for every epoch: ``decision``, then what it did (``level_changed``, ``seed_added`` or
    ``seed_removed``), then ``epoch_end`` once the next epoch was trained; and ``episode_end`` last.

    Args:
        sink: where events go, for example a TelemetryCollector.
        window_size: ops that the anti-thrash metrics look back on.
        intervention_cost: what each internal op takes off the reward, if it is the same for all.

    Used as a context manager it writes TRAINING_FINISHED on a clean exit, provided that
    ``training_started`` was called.
    """

    def __init__(
        self, sink: RankSink, *, window_size: int = 50, intervention_cost: float | None = None
    ) -> None:
        InternalOpTracker(window_size)  # a wrong size is refused here, not at the first op
        self._sink = sink
        self._window_size = window_size
        self._intervention_cost = intervention_cost
        self._envs: dict[int, EnvState] = {}
        self._env_sinks: dict[int, EventSink] = {}
        self._counterfactual = CounterfactualTracker()
        self._running = False
        self._episodes_completed = 0

    def training_started(self, **fields: Any) -> None:
        """Record that training began; takes the fields of TrainingStartedPayload, all optional.

        After a resume give ``resumed_from_episode`` and ``resumed_from_epoch``, the last epoch that
        the checkpoint holds, and call ``load_state_dict``.

        Raises:
            TypeError: on a field that TrainingStartedPayload does not have; put others into ``config``.
        """
        fields.setdefault("intervention_cost", self._intervention_cost)
        self._sink.emit(TelemetryEventType.TRAINING_STARTED, TrainingStartedPayload(**fields))
        self._running = True

    def training_finished(self, outcome: str = "completed") -> None:
        """Record that training ended by itself."""
        self._release_all()
        self._sink.emit(
            TelemetryEventType.TRAINING_FINISHED,
            TrainingFinishedPayload(outcome=outcome, episodes_completed=self._episodes_completed),
        )
        self._running = False

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
            ValueError: if only one of level and max_level is given, or level is not in 0 to max_level.
        """
        if (level is None) != (max_level is None) or (
            level is not None and max_level is not None and not 0 <= level <= max_level
        ):
            raise TelemetryUsageError(
                f"slot {slot!r}: level {level} of max_level {max_level} can't be; give both, "
                "0 <= level <= max_level, or neither for a seed without levels"
            )
        state = self._env(env)
        state.seeds_planted += 1
        kind = SeedInternalKind.NONE if max_level is None else SeedInternalKind.CONV_LADDER
        added = SlotState(
            seed_id=seed_id or f"ep{state.episode}-{slot}-{state.seeds_planted}",
            level=level,
            max_level=max_level,
            blueprint=blueprint,
            kind=int(kind),
            active_params=params,
            added_at=state.epoch,
        )
        state.slots[slot] = added
        state.germinated += 1
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

    def decision(
        self,
        env: int,
        slot: str | None,
        op: LifecycleOp,
        *,
        probability: float | None = None,
        entropy: float | None = None,
        legal_ops: int | None = None,
        reward: float | None = None,
        intervention_cost: float | None = None,
        op_probs: Mapping[str, float] | None = None,
        slot_probs: Mapping[str, float] | None = None,
        value_estimate: float | None = None,
        success: bool | None = True,
    ) -> None:
        """Record one decision of the policy, a NOOP too: without NOOPs there is no baseline.

        Call it before reporting what the decision did, so that the state before is the one the policy
        saw. A decision without its reward is held until ``epoch_end`` brings it.

        Args:
            env: this rank's environment index, from 0.
            slot: the slot chosen, None where a NOOP chose none.
            op: the op chosen.
            probability: joint probability of op and slot under the policy.
            entropy: of the op distribution, in nats.
            legal_ops: number of ops that the mask allowed.
            reward: what the policy was paid for it, costs already taken off.
            intervention_cost: the cost within that reward; the recorder's own for internal ops if None.
            op_probs: probability of each op by name.
            slot_probs: probability of each slot by name.
            value_estimate: the critic's value of the state.
            success: False if the environment refused the op.
        """
        state = self._env(env)
        if intervention_cost is None and self._intervention_cost is not None:
            intervention_cost = self._intervention_cost if LifecycleOp(op).is_internal else 0.0
        held = HeldDecision(
            payload=DecisionPayload(
                action_name=LifecycleOp(op).name,
                episode_idx=state.episode,
                inner_epoch=state.epoch,
                slot_id=slot,
                action_success=success,
                op_probability=probability,
                op_probs=None if op_probs is None else dict(op_probs),
                slot_probs=None if slot_probs is None else dict(slot_probs),
                op_entropy=entropy,
                legal_ops=legal_ops,
                reward=reward,
                intervention_cost=intervention_cost,
                ladder_present=any(seed.max_level is not None for seed in state.slots.values()),
                value_estimate=value_estimate,
                loss_before=state.loss,
                accuracy_before=state.accuracy,
                params_before=state.params,
                level_before=state.slots[slot].level if slot in state.slots else None,
            ),
            seed_id=state.slots[slot].seed_id if slot in state.slots else None,
        )
        state.decisions += 1
        state.noops += op == LifecycleOp.NOOP
        if slot is not None:
            state.last_probability[slot] = probability
        if reward is None:
            state.held.append(held)
        else:
            self._release(env, state, held)

    def level_changed(
        self, env: int, slot: str, from_level: int, to_level: int, *, active_params: int | None = None
    ) -> None:
        """Record an internal op that was carried out, and the slot's metrics after it.

        Args:
            env: this rank's environment index, from 0.
            slot: the slot; ``seed_added`` named its max_level.
            from_level: level before.
            to_level: level after, 0 to max_level.
            active_params: the seed's active parameters after.

        Raises:
            ValueError: if the slot holds no seed with levels, or the levels can't be.
        """
        state = self._env(env)
        seed = state.slots.get(slot)
        if seed is None or seed.max_level is None:
            raise TelemetryUsageError(
                f"env {env} has no seed with levels in slot {slot!r}: call "
                f"seed_added({env}, {slot!r}, level, max_level) first"
            )
        if not (0 <= from_level <= seed.max_level and 0 <= to_level <= seed.max_level):
            raise TelemetryUsageError(
                f"slot {slot!r}: levels {from_level} and {to_level} must lie in 0 to {seed.max_level}"
            )
        op = LifecycleOp.from_levels(from_level, to_level)
        metrics = state.tracker.record_internal_op(slot, op, from_level, to_level, epoch=state.epoch)
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
        self._emit(
            env,
            TelemetryEventType.SEED_INTERNAL_LEVEL_CHANGED,
            SeedInternalLevelChangedPayload(
                slot_id=slot,
                from_level=from_level,
                to_level=to_level,
                max_level=seed.max_level,
                episode_idx=state.episode,
                blueprint_id=seed.blueprint,
                internal_kind=SeedInternalKind(seed.kind),
                active_params=active_params,
            ),
            slot,
            seed.seed_id,
        )
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

    def epoch_end(
        self,
        env: int,
        epoch: int,
        loss: float,
        accuracy: float,
        *,
        params: int | None = None,
        reward: float | None = None,
        train_loss: float | None = None,
        train_accuracy: float | None = None,
    ) -> None:
        """Record the end of an epoch, and the outcome of what was decided before it.

        Args:
            env: this rank's environment index, from 0.
            epoch: the epoch just completed, counted from the episode's start.
            loss: validation loss.
            accuracy: validation accuracy, a fraction.
            params: active parameters of the whole model.
            reward: of the decisions that were reported without one since the last epoch.
            train_loss: training loss.
            train_accuracy: training accuracy, a fraction.
        """
        state = self._env(env)
        self._release_held(env, state, reward)
        for slot in self._counterfactual.pending_slots(env):
            self._record_outcome(env, state, slot, epoch, loss, accuracy)
        if state.decisions and state.decisions == state.noops:
            if state.loss is not None and state.accuracy is not None:
                self._counterfactual.record_noop_outcome(loss - state.loss, accuracy - state.accuracy)
        state.epoch, state.loss, state.accuracy, state.params = epoch, loss, accuracy, params
        state.decisions = state.noops = 0
        state.last_probability.clear()
        self._emit(
            env,
            TelemetryEventType.EPOCH_COMPLETED,
            EpochCompletedPayload(
                episode_idx=state.episode,
                inner_epoch=epoch,
                loss=loss,
                accuracy=accuracy,
                params=params,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
            ),
        )

    def seed_removed(
        self, env: int, slot: str, reason: str = "", *, improvement: float | None = None
    ) -> None:
        """Record that a seed left its slot: pruned for ``reason``, or ``reason="fossilized"``.

        Raises:
            ValueError: if the slot holds no seed.
        """
        state = self._env(env)
        seed = state.slots.pop(slot, None)
        if seed is None:
            raise TelemetryUsageError(f"env {env} has no seed in slot {slot!r}; seed_added comes first")
        state.tracker.clear_slot(slot)
        self._counterfactual.clear_slot(slot, env)
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

    def episode_end(self, env: int, *, outcome: str | None = None, keep_seeds: bool = False) -> None:
        """Record the end of an environment's episode; the next one starts at epoch 0.

        Args:
            env: this rank's environment index, from 0.
            outcome: how it ended, for example "timeout".
            keep_seeds: True if the seeds live on into the next episode, so that nobody adds them again.
        """
        state = self._env(env)
        self._release_held(env, state, None)
        self._emit(
            env,
            TelemetryEventType.EPISODE_OUTCOME,
            EpisodeOutcomePayload(
                episode_idx=state.episode,
                accuracy=state.accuracy,
                loss=state.loss,
                params=state.params,
                episode_reward=state.episode_reward,
                episode_length=state.epoch,
                outcome_type=outcome,
                germinate_count=state.germinated,
                prune_count=state.pruned,
                fossilize_count=state.fossilized,
                grow_count=state.grown,
                shrink_count=state.shrunk,
            ),
        )
        self._counterfactual.clear_env(env)
        state.next_episode(keep_seeds=keep_seeds)
        self._episodes_completed += 1

    @property
    def superseded_ops(self) -> int:
        """Ops without an outcome because another followed on the same slot within the epoch."""
        return self._counterfactual.superseded_ops

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs, as plain lists, dicts and numbers."""
        return {
            "counterfactual": self._counterfactual.state_dict(),
            "episodes_completed": self._episodes_completed,
            "envs": [[env, state.state_dict()] for env, state in self._envs.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken; what was recorded here before is forgotten."""
        self._counterfactual.load_state_dict(state["counterfactual"])
        self._episodes_completed = state["episodes_completed"]
        self._envs = {env: EnvState.from_state_dict(saved, self._window_size) for env, saved in state["envs"]}

    def __enter__(self) -> InternalOpRecorder:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release_all()
        if error_type is None and self._running:
            self.training_finished()

    def _env(self, env: int) -> EnvState:
        state = self._envs.get(env)
        if state is None:
            state = self._envs[env] = EnvState(InternalOpTracker(self._window_size))
        return state

    def _emit(
        self,
        env: int,
        event_type: TelemetryEventType,
        payload: Any,
        slot: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
    ) -> None:
        sink = self._env_sinks.get(env)
        if sink is None:
            sink = self._env_sinks[env] = self._sink.for_env(env)
        at = self._envs[env].epoch if epoch is None else epoch
        sink.emit(event_type, payload, slot_id=slot, seed_id=seed_id, epoch=at)

    def _record_outcome(
        self, env: int, state: EnvState, slot: str, epoch: int, loss: float, accuracy: float
    ) -> None:
        seed = state.slots[slot]
        delta = self._counterfactual.record_op_outcome(
            slot, env, loss, accuracy, seed.active_params, epoch=epoch
        )
        if delta is not None:
            # The tracker's env is this rank's own index; the sink knows the one that is unique.
            delta = msgspec.structs.replace(delta, env_id=None, episode_idx=state.episode)
            self._emit(
                env,
                TelemetryEventType.COUNTERFACTUAL_DELTA,
                delta,
                slot,
                seed.seed_id,
                epoch=delta.epoch,
            )

    def _release(self, env: int, state: EnvState, held: HeldDecision) -> None:
        payload = held.payload
        state.episode_reward += payload.reward or 0.0
        self._emit(
            env,
            TelemetryEventType.ANALYTICS_SNAPSHOT,
            payload,
            payload.slot_id,
            held.seed_id,
            epoch=payload.inner_epoch,
        )

    def _release_held(self, env: int, state: EnvState, reward: float | None) -> None:
        for held in state.held:
            if reward is not None:
                held.payload = msgspec.structs.replace(held.payload, reward=reward)
            self._release(env, state, held)
        state.held.clear()

    def _release_all(self) -> None:
        for env, state in self._envs.items():
            self._release_held(env, state, None)
