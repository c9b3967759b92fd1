"""The way in for any training loop: say what happened, in any framework, and the events follow."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import KarnError, TelemetryUsageError
from esper.leyline.events import RankSink, TelemetryEventType
from esper.leyline.payloads import (
    DecisionPayload,
    EpisodeOutcomePayload,
    EpochCompletedPayload,
    PPOUpdateCompletedPayload,
    TrainingFailedPayload,
    TrainingFinishedPayload,
    TrainingStartedPayload,
)
from esper.simic.training.recorder_checks import (
    check_probabilities,
    check_probability,
    env_index,
    number,
    numbers,
    plain,
    slot_name,
    whole,
)
from esper.simic.training.recorder_seeds import FOSSILIZED, SeedReports
from esper.simic.training.recorder_state import HeldDecision

__all__ = ["FOSSILIZED", "InternalOpRecorder"]

MAX_REASON = 500
"""Characters kept of an error that ended a training."""


class InternalOpRecorder(SeedReports):
    """Turns what a training loop reports into telemetry, in the right order and with every clear.

    It owns one InternalOpTracker per environment, the counterfactual tracker with its NOOP baseline,
    the ops whose outcome is still to come, and the decisions whose reward is. In each environment a
    loop reports, for every epoch: ``decision``, then what it did (``level_changed``, ``seed_added`` or
    ``seed_removed``), then ``epoch_end`` once the next epoch was trained; and ``episode_end`` last.

    Args:
        sink: where events go, for example a TelemetryCollector.
        window_size: ops that the anti-thrash metrics look back on.
        intervention_cost: what each internal op takes off the reward, if it is the same for all.

    Used as a context manager it writes TRAINING_FINISHED on a clean exit and TRAINING_FAILED on an
    exception, provided that ``training_started`` was called. One thread at a time.
    """

    def __init__(
        self, sink: RankSink, *, window_size: int = 50, intervention_cost: float | None = None
    ) -> None:
        super().__init__(sink, window_size=window_size, intervention_cost=intervention_cost)
        self._running = False

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
        blueprint: str | None = None,
        success: bool | None = True,
        intended_op: LifecycleOp | None = None,
        intended_slot: str | None = None,
        holdout_probability: float | None = None,
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
            blueprint: the kind of seed that a GERMINATE chose; that of the slot's seed if None.
            success: False if the environment refused the op.
            intended_op: where a holdout is on, the internal op that the policy chose; ``op`` is NOOP if it
                was held back, and ``probability`` and ``op_probs`` are those after the holdout.
            intended_slot: the slot that it chose for it.
            holdout_probability: with which it was held back.

        Raises:
            ValueError: if ``op`` is no LifecycleOp, or ``probability``, ``holdout_probability`` or one of
                ``op_probs`` does not lie in 0 to 1 (NaN does no harm and is recorded as ``non_finite``), or
                ``env`` is no whole number, a slot no text, or another value no number.
        """
        env, op = env_index(env), LifecycleOp(op)
        if slot is not None:
            slot = slot_name(env, "slot", slot)
        if intended_slot is not None:
            intended_slot = slot_name(env, "intended_slot", intended_slot)
        probability = check_probability(env, "probability", probability)
        holdout_probability = check_probability(env, "holdout_probability", holdout_probability)
        plain_probs = check_probabilities(env, "op_probs", op_probs)
        plain_slot_probs = numbers(env, "slot_probs", slot_probs)
        reward, entropy = number(env, "reward", reward), number(env, "entropy", entropy)
        legal_ops = number(env, "legal_ops", legal_ops)
        value_estimate = number(env, "value_estimate", value_estimate)
        intervention_cost = number(env, "intervention_cost", intervention_cost)
        state = self._env(env)
        if intervention_cost is None and self._intervention_cost is not None:
            intervention_cost = self._intervention_cost if op.is_internal else 0.0
        seed = None if slot is None else state.slots.get(slot)
        held = HeldDecision(
            payload=DecisionPayload(
                action_name=op.name,
                episode_idx=state.episode,
                inner_epoch=state.epoch,
                slot_id=slot,
                blueprint_id=blueprint if blueprint is not None or seed is None else seed.blueprint,
                action_success=plain(success),
                op_probability=probability,
                op_probs=plain_probs,
                slot_probs=plain_slot_probs,
                op_entropy=entropy,
                legal_ops=legal_ops,
                reward=reward,
                intervention_cost=intervention_cost,
                ladder_present=any(other.max_level is not None for other in state.slots.values()),
                value_estimate=value_estimate,
                loss_before=state.loss,
                accuracy_before=state.accuracy,
                params_before=state.params,
                level_before=None if seed is None else seed.level,
                intended_op=None if intended_op is None else LifecycleOp(intended_op).name,
                intended_slot_id=intended_slot,
                holdout_probability=holdout_probability,
            ),
            seed_id=None if seed is None else seed.seed_id,
        )
        state.decisions += 1
        state.noops += op == LifecycleOp.NOOP
        if slot is not None:
            state.last_probability[slot] = probability
        if reward is None:
            state.held.append(held)
        else:
            state.episode_reward += reward
            self._release(env, held)

    def epoch_end(
        self,
        env: int,
        epoch: int,
        loss: float | None,
        accuracy: float | None,
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
            loss: validation loss; None where it was not measured in this epoch, which then is the outcome
                of no op and of no NOOP.
            accuracy: validation accuracy, a fraction; None likewise.
            params: active parameters of the whole model.
            reward: of the decisions that were reported without one since the last epoch.
            train_loss: training loss.
            train_accuracy: training accuracy, a fraction.

        Raises:
            ValueError: if the epoch does not follow the last one of this episode, or a value is no number.
        """
        env = env_index(env)
        epoch, params = whole(env, "epoch", epoch), number(env, "params", params)
        loss, accuracy = number(env, "loss", loss), number(env, "accuracy", accuracy)
        reward = number(env, "reward", reward)
        train_loss = number(env, "train_loss", train_loss)
        train_accuracy = number(env, "train_accuracy", train_accuracy)
        state = self._env(env)
        if epoch < 0 or (state.epochs and epoch <= state.epoch):
            raise TelemetryUsageError(
                f"env {env}: epoch {epoch} can't follow epoch {state.epoch}; count up within an episode, "
                f"and call episode_end({env}) when it is over"
            )
        self._release_held(env, state, reward)
        self._record_outcomes(env, state, epoch, loss, accuracy)
        state.next_epoch(epoch, loss, accuracy, params)
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

    def episode_end(self, env: int, *, outcome: str | None = None, keep_seeds: bool = False) -> None:
        """Record the end of an environment's episode; the next one starts at epoch 0.

        Args:
            env: this rank's environment index, from 0.
            outcome: how it ended, for example "timeout".
            keep_seeds: True if the seeds live on into the next episode, so that nobody adds them again.
        """
        env = env_index(env)
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
                episode_length=state.epochs,
                outcome_type=outcome,
                germinate_count=state.germinated,
                prune_count=state.pruned,
                fossilize_count=state.fossilized,
                grow_count=state.grown,
                shrink_count=state.shrunk,
            ),
        )
        self._counterfactual.clear_env(env)
        self._envs[env] = state.next_episode(keep_seeds=keep_seeds)
        self._episodes_completed += 1

    def policy_updated(self, update: PPOUpdateCompletedPayload) -> None:
        """Record that the policy learned from what it did."""
        self._sink.emit(TelemetryEventType.PPO_UPDATE_COMPLETED, update, epoch=update.inner_epoch)

    def __enter__(self) -> InternalOpRecorder:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release_all()
        if error is None and self._running:
            self.training_finished()
        elif isinstance(error, Exception) and self._running:
            # Tells this process from one that was killed, which has no time for a word.
            reason = str(error) if isinstance(error, KarnError) else f"{type(error).__name__}: {error}"
            failed = TrainingFailedPayload(reason=reason.removesuffix(": ")[:MAX_REASON])
            self._sink.emit(TelemetryEventType.TRAINING_FAILED, failed, severity="error")
            self._running = False
