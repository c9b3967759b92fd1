"""InternalOpRecorder for a loop that steps thousands of environments at once, on any device."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from esper.leyline.actions import LifecycleOp
from esper.leyline.payloads import PPOUpdateCompletedPayload
from esper.simic.vectorised.recorder_core import Number
from esper.simic.vectorised.recorder_seeds import VectorSeedReports

__all__ = ["VectorInternalOpRecorder"]


class VectorInternalOpRecorder(VectorSeedReports):
    """Takes a training loop's reports for all environments at once, and writes them when asked to.

    A report stays on its device, in bounded memory, and nothing waits for the device, until ``emit``
    brings over what happened since the last one and writes the events that InternalOpRecorder would
    have written. Call it at least every ``capacity`` steps. Each environment's events come in the order
    of its reports: ``decisions``, then what they did (``levels_changed``, ``seeds_added``,
    ``seeds_removed``), then ``epoch_end``; and ``episode_end`` last.

    What can be told without looking at values (shapes, dtypes, devices) is checked at once. A value
    that can't be, such as a level above max_level, is left out of the metrics, and of the events, and a
    decision with a probability above 1 of the events; ``emit`` writes everything else and then raises an
    error that names its environment and slot.

    Args:
        sink: where events go, for example a TelemetryCollector.
        n_envs: this rank's environments, the first dimension of every tensor.
        slot_ids: names of the slots, the second dimension.
        window_size: ops that the anti-thrash metrics look back on.
        intervention_cost: what each internal op takes off the reward, if it is the same for all.
        capacity: reports of each kind that may wait for ``emit``; every report copies its tensors.
        device: where every tensor given must be.
        dtype: of ``metrics``.

    Raises:
        TelemetryUsageError: if a size is below 1, a slot comes twice, or the sink is none.

    Used as a context manager it emits what is left, and writes TRAINING_FINISHED on a clean exit or
    TRAINING_FAILED on another, provided that ``training_started`` was called. One thread at a time.
    """

    def training_started(self, **fields: Any) -> None:
        """Record that training began; see InternalOpRecorder. It emits what waits first."""
        self.emit()
        self._host.training_started(**fields)

    def training_finished(self, outcome: str = "completed") -> None:
        """Record that training ended by itself; it emits what waits first."""
        self.emit()
        self._host.training_finished(outcome)

    def policy_updated(self, update: PPOUpdateCompletedPayload) -> None:
        """Record that the policy learned from what it did; it emits what waits first."""
        self.emit()
        self._host.policy_updated(update)

    def decisions(
        self,
        ops: Tensor,
        slots: Tensor | None = None,
        *,
        probability: Number = None,
        entropy: Number = None,
        legal_ops: Number = None,
        reward: Number = None,
        intervention_cost: Number = None,
        op_probs: Tensor | None = None,
        slot_probs: Tensor | None = None,
        value_estimate: Number = None,
        blueprint: str | None = None,
        success: Number = True,
        intended_ops: Tensor | None = None,
        intended_slots: Tensor | None = None,
        holdout_probability: Number = None,
        env_mask: Tensor | None = None,
    ) -> None:
        """Record one decision of each environment, NOOPs too; see InternalOpRecorder.decision.

        Args:
            ops: integer [envs], values of LifecycleOp.
            slots: integer [envs], index of the slot chosen; -1 where a NOOP chose none.
            op_probs: [envs, 6], probability of each LifecycleOp.
            slot_probs: [envs, slots].
            intended_ops: integer [envs], what the policy chose where a holdout is on; -1 where none is.
            intended_slots: integer [envs], likewise.
            env_mask: bool [envs], the environments that decided; None for all.

        The others are one number for all, or [envs].

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        columns = {"op": self._check("ops", ops, "integer", self._envs)}
        for name, argument, tensor in (
            ("slot", "slots", slots),
            ("intended_op", "intended_ops", intended_ops),
            ("intended_slot", "intended_slots", intended_slots),
        ):
            if tensor is not None:
                columns[name] = self._check(argument, tensor, "integer", self._envs)
        for name, tensor, width in (
            ("op_probs", op_probs, len(LifecycleOp)),
            ("slot_probs", slot_probs, self._slots[1]),
        ):
            if tensor is not None:
                columns[name] = self._check(name, tensor, "float", (*self._envs, width))
        numbers = {
            "probability": probability,
            "entropy": entropy,
            "legal_ops": legal_ops,
            "reward": reward,
            "intervention_cost": intervention_cost,
            "value_estimate": value_estimate,
            "holdout_probability": holdout_probability,
        }
        same = {"blueprint": blueprint} | self._split(columns, self._envs, "number", numbers)
        same |= self._split(columns, self._envs, "bool", {"success": success})
        self._report("decisions", self._envs, self._mask(env_mask), columns, same)

    def epoch_end(
        self,
        loss: Tensor,
        accuracy: Tensor,
        *,
        epoch: Tensor | int | None = None,
        params: Number = None,
        reward: Number = None,
        train_loss: Number = None,
        train_accuracy: Number = None,
        env_mask: Tensor | None = None,
    ) -> None:
        """Record the end of an epoch in each environment; see InternalOpRecorder.epoch_end.

        Args:
            loss: validation loss, [envs].
            accuracy: validation accuracy, [envs], a fraction.
            epoch: the epoch just completed, one for all or integer [envs]; None counts from 1 in each
                episode.
            params: active parameters of the whole model, one number or integer [envs].
            reward: of the decisions that were reported without one, one number or [envs].
            train_loss: training loss, likewise.
            train_accuracy: training accuracy, likewise.
            env_mask: bool [envs], the environments that completed one; None for all.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        columns = {
            "loss": self._check("loss", loss, "float", self._envs),
            "accuracy": self._check("accuracy", accuracy, "float", self._envs),
        }
        same = self._split(columns, self._envs, "integer", {"params": params, "epoch": epoch})
        numbers = {"reward": reward, "train_loss": train_loss, "train_accuracy": train_accuracy}
        same |= self._split(columns, self._envs, "number", numbers)
        mask = self._mask(env_mask)
        if epoch is None:
            columns["epoch"] = new = self._epoch + 1
        else:
            new = self._tensor(epoch)
        self._report("epoch_end", self._envs, mask, columns, same)
        done = (new >= 0) & ((new > self._epoch) | ~self._has_epoch)
        if mask is not None:
            done &= mask
        self._epoch = torch.where(done, new, self._epoch)
        self._has_epoch = self._has_epoch | done

    def episode_end(
        self, env_mask: Tensor | None = None, *, outcome: str | None = None, keep_seeds: bool = False
    ) -> None:
        """Record the end of environments' episodes; their next ones start at epoch 0.

        Args:
            env_mask: bool [envs], the environments whose episode ended; None for all.
            outcome: how they ended, for example "timeout".
            keep_seeds: True if the seeds live on into the next episode, so that nobody adds them again.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        mask = self._mask(env_mask)
        same = {"outcome": outcome, "keep_seeds": keep_seeds}
        self._report("episode_end", self._envs, mask, {}, same)
        ended = torch.ones_like(self._has_epoch) if mask is None else mask
        self._epoch = self._epoch * ~ended
        self._has_epoch = self._has_epoch & ~ended
        if not keep_seeds:
            self._vacate(ended.unsqueeze(1))
        self.internal_ops.reset(ended)

    def __enter__(self) -> VectorInternalOpRecorder:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.emit()
        except BaseException as failure:
            self._host.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._host.__exit__(error_type, error, traceback)
