"""The part of the recorder that its reports stand on: environments, emitting, outcomes, checkpoints."""

from __future__ import annotations

from typing import Any

import msgspec

from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import EventSink, RankSink, TelemetryEventType
from esper.leyline.payloads import Payload
from esper.simic.training.counterfactual_tracker import CounterfactualTracker
from esper.simic.training.internal_op_tracker import InternalOpTracker
from esper.simic.training.recorder_state import EnvState, HeldDecision, SlotState

__all__ = ["RecorderCore"]


class RecorderCore:
    """What each environment's last state was, which outcomes are still to come, and the way to the sink.

    Args:
        sink: where events go.
        window_size: ops that the anti-thrash metrics look back on.
        intervention_cost: what each internal op takes off the reward, if it is the same for all.

    Raises:
        ValueError: if the sink is none, or ``window_size`` is below 1.
    """

    def __init__(
        self, sink: RankSink, *, window_size: int = 50, intervention_cost: float | None = None
    ) -> None:
        if not isinstance(sink, RankSink):
            raise TelemetryUsageError(
                f"a {type(sink).__name__} can't be the recorder's sink: it needs emit and for_env, as a "
                "TelemetryCollector has"
            )
        InternalOpTracker(window_size)  # a wrong size is refused here, not at the first op
        self._sink = sink
        self._window_size = window_size
        self._intervention_cost = intervention_cost
        self._envs: dict[int, EnvState] = {}
        self._env_sinks: dict[int, EventSink] = {}
        self._counterfactual = CounterfactualTracker()
        self._episodes_completed = 0
        self._said_levels = False

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

    def _env(self, env: int) -> EnvState:
        state = self._envs.get(env)
        if state is None:
            self._env_sink(env)  # an environment that the sink does not have leaves no trace here
            state = self._envs[env] = EnvState(InternalOpTracker(self._window_size))
        return state

    def _seed(self, env: int, slot: str) -> SlotState:
        seed = self._env(env).slots.get(slot)
        if seed is None:
            raise TelemetryUsageError(
                f"env {env} has no seed in slot {slot!r}: call seed_added({env}, {slot!r}, ...) first"
            )
        return seed

    def _env_sink(self, env: int) -> EventSink:
        sink = self._env_sinks.get(env)
        if sink is None:
            sink = self._env_sinks[env] = self._sink.for_env(env)
        return sink

    def _emit(
        self,
        env: int,
        event_type: TelemetryEventType,
        payload: Payload,
        slot: str | None = None,
        seed_id: str | None = None,
        epoch: int | None = None,
    ) -> None:
        at = self._envs[env].epoch if epoch is None else epoch
        self._env_sink(env).emit(event_type, payload, slot_id=slot, seed_id=seed_id, epoch=at)

    def _record_outcomes(
        self, env: int, state: EnvState, epoch: int, loss: float | None, accuracy: float | None
    ) -> None:
        """Emit what became of each op that was pending before this epoch, then feed the baseline."""
        if loss is None or accuracy is None:
            # A later epoch's values would not be the outcome an epoch later, so there is none.
            self._counterfactual.clear_env(env)
            return
        for slot, seed in state.slots.items():
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
        if state.was_left_alone and state.loss is not None and state.accuracy is not None:
            self._counterfactual.record_noop_outcome(loss - state.loss, accuracy - state.accuracy)

    def _release(self, env: int, held: HeldDecision) -> None:
        payload = held.payload
        self._emit(
            env,
            TelemetryEventType.ANALYTICS_SNAPSHOT,
            payload,
            payload.slot_id,
            held.seed_id,
            epoch=payload.inner_epoch,
        )

    def _release_held(self, env: int, state: EnvState, reward: float | None) -> None:
        """Emit the decisions that waited for their reward; one reward for all counts once."""
        if reward is not None and state.held:
            state.episode_reward += reward
        for held in state.held:
            if reward is not None:
                held.payload = msgspec.structs.replace(held.payload, reward=reward)
            self._release(env, held)
        state.held.clear()

    def _release_all(self) -> None:
        for env, state in self._envs.items():
            self._release_held(env, state, None)
