"""CounterfactualTracker for all environments at once. Observational only.

Nothing in reward code may import this module, for the reason that counterfactual_tracker.py gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.vectorised.checks import check_size, check_slots, check_tensor
from esper.simic.vectorised.running_mean import VectorRunningMean

__all__ = ["VectorCounterfactualTracker"]

_GROW, _SHRINK = int(LifecycleOp.GROW_INTERNAL), int(LifecycleOp.SHRINK_INTERNAL)
_WHOLE = ("epoch", "from_level", "to_level")
_REAL = ("loss_before", "accuracy_before", "op_probability")


class VectorCounterfactualTracker:
    """Remembers the state before each internal op and compares it with the state an epoch later.

    Its rules are CounterfactualTracker's; nothing in it waits for the device.

    Args:
        n_envs: environments, the first dimension.
        slot_ids: names of the slots, the second dimension.
        device: where the state is; every tensor given must be there.
        dtype: of losses, accuracies and baselines. float64 equals the scalar tracker, but for the
            baselines' last digits: a sum over environments rounds in another order.

    Raises:
        TelemetryUsageError: if a size is below 1 or a slot comes twice.
    """

    def __init__(
        self,
        n_envs: int,
        slot_ids: Sequence[str],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.n_envs = check_size("n_envs", n_envs)
        self.slot_ids = check_slots(slot_ids)
        self.shape = (n_envs, len(self.slot_ids))
        self.device = torch.device(device)
        self.dtype = dtype
        self.pending = torch.zeros(self.shape, dtype=torch.bool, device=self.device)
        """bool [envs, slots]: ops that wait for their outcome."""
        self.superseded_ops = torch.zeros((), dtype=torch.int64, device=self.device)
        """Ops whose outcome was never seen because another followed on the same slot first."""
        self._before = {name: self._zeros(torch.int64) for name in (*_WHOLE, "params_before")}
        self._before |= {name: self._zeros(dtype) for name in _REAL}
        self._has_params = torch.zeros_like(self.pending)
        self._loss_delta, self._accuracy_delta = (
            VectorRunningMean(device=self.device, dtype=dtype) for _ in range(2)
        )

    def _zeros(self, dtype: torch.dtype) -> Tensor:
        return torch.zeros(self.shape, dtype=dtype, device=self.device)

    def record_op_start(
        self,
        mask: Tensor,
        epoch: Tensor | int,
        from_level: Tensor,
        to_level: Tensor,
        loss: Tensor,
        accuracy: Tensor,
        params: Tensor | None = None,
        *,
        op_probability: Tensor | None = None,
    ) -> None:
        """Record the state before internal ops; an op pending on the same slot is superseded.

        Args:
            mask: bool [envs, slots], True where an op was done; all else is read only there.
            epoch: the epoch just completed, within the episode: one for all, or an integer tensor [envs].
            from_level: integer [envs, slots], before the op.
            to_level: integer [envs, slots], after it; above ``from_level`` for a GROW.
            loss: validation loss before it, [envs].
            accuracy: validation accuracy before it, [envs], a fraction.
            params: active parameters before it, integer [envs] or [envs, slots].
            op_probability: the policy's probability of what it did, [envs] or [envs, slots].

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong.
        """
        mask = self._check("mask", mask, "bool", self.shape)
        given = {
            "epoch": self._epoch(epoch),
            "from_level": self._check("from_level", from_level, "integer", self.shape),
            "to_level": self._check("to_level", to_level, "integer", self.shape),
            "loss_before": self._per_env("loss", loss),
            "accuracy_before": self._per_env("accuracy", accuracy),
            "params_before": self._params(params),
            "op_probability": self._of_slots("op_probability", op_probability, "float"),
        }
        self.superseded_ops.add_((mask & self.pending).sum())
        self.pending.logical_or_(mask)
        has_params = torch.full_like(mask, params is not None)
        torch.where(mask, has_params, self._has_params, out=self._has_params)
        for name, kept in self._before.items():
            value = given[name]
            missing = torch.nan if kept.dtype.is_floating_point else 0
            new = torch.full_like(kept, missing) if value is None else value.to(kept.dtype)
            kept.copy_(torch.where(mask, new, kept))

    def record_op_outcome(
        self,
        loss: Tensor,
        accuracy: Tensor,
        params: Tensor | None = None,
        *,
        epoch: Tensor | int | None = None,
        env_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The outcomes of the ops that were pending; call it once per epoch, before ``clear_env``.

        Args:
            loss: validation loss now, [envs].
            accuracy: validation accuracy now, [envs], a fraction.
            params: active parameters now, integer [envs] or [envs, slots].
            epoch: the epoch just completed, one for all or an integer tensor [envs]; while it is not
                after an op's, that op stays pending. None takes every outcome.
            env_mask: bool [envs], the environments that completed one; None for all.

        Returns:
            New tensors [envs, slots], to be read where ``mask`` is True, named as the fields of
            CounterfactualDeltaPayload; ``op_probability`` is NaN where it was not given,
            ``has_params_before`` says where ``params_before`` was. ``baseline_*`` have no dimensions.
            ``params_after`` and ``epochs_elapsed`` are missing where ``params`` or ``epoch`` was None.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong.
        """
        loss, accuracy = self._per_env("loss", loss), self._per_env("accuracy", accuracy)
        after = self._params(params)
        now = None if epoch is None else self._epoch(epoch)
        mask = self.pending.clone()
        if now is not None:
            mask &= now > self._before["epoch"]
        if env_mask is not None:
            mask &= self._check("env_mask", env_mask, "bool", (self.n_envs,)).unsqueeze(1)
        self.pending &= ~mask
        outcome = {"mask": mask, "has_params_before": self._has_params.clone()}
        outcome |= {name: kept.clone() for name, kept in self._before.items()}
        grew = outcome["to_level"] > outcome["from_level"]
        outcome |= {
            "op": torch.where(grew, _GROW, _SHRINK),
            "loss_after": loss.expand(self.shape).clone(),
            "accuracy_after": accuracy.expand(self.shape).clone(),
            "loss_delta": loss - outcome["loss_before"],
            "accuracy_delta": accuracy - outcome["accuracy_before"],
            "baseline_loss_delta": self._loss_delta.value.clone(),
            "baseline_accuracy_delta": self._accuracy_delta.value.clone(),
            "baseline_sample_count": self._loss_delta.count.clone(),
        }
        if after is not None:
            outcome["params_after"] = after.expand(self.shape).clone()
        if now is not None:
            outcome["epochs_elapsed"] = now - outcome["epoch"]
        return outcome

    def record_noop_outcome(
        self, loss_delta: Tensor, accuracy_delta: Tensor, env_mask: Tensor | None = None
    ) -> None:
        """Take the changes over one epoch after NOOPs into the baseline, environment 0 first.

        Args:
            loss_delta: [envs]; what is not finite is skipped and not counted.
            accuracy_delta: [envs], likewise.
            env_mask: bool [envs], the environments that were left alone; None for all.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong.
        """
        deltas = [self._per_env("loss_delta", loss_delta), self._per_env("accuracy_delta", accuracy_delta)]
        if env_mask is None:
            mask = torch.ones(self.n_envs, dtype=torch.bool, device=self.device)
        else:
            mask = self._check("env_mask", env_mask, "bool", (self.n_envs,))
        for mean, delta in zip((self._loss_delta, self._accuracy_delta), deltas, strict=True):
            mean.update(delta.squeeze(1), mask)

    def clear_slot(self, mask: Tensor) -> None:
        """Forget ops pending on slots whose seed was removed: bool [envs, slots]."""
        self.pending &= ~self._check("mask", mask, "bool", self.shape)

    def clear_env(self, env_mask: Tensor) -> None:
        """Forget every pending op of the environments whose episode ended: bool [envs]."""
        self.pending &= ~self._check("env_mask", env_mask, "bool", (self.n_envs,)).unsqueeze(1)

    def reset(self) -> None:
        """Forget everything; call it when a training starts anew."""
        self.pending.zero_()
        self.superseded_ops.zero_()
        self._loss_delta.reset()
        self._accuracy_delta.reset()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs: copies of the tensors, on this tracker's device."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken, on any device; what was recorded before is forgotten.

        Raises:
            TelemetryUsageError: if it was taken from a tracker of another size.
        """
        own = self._state()
        if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in own.items()}:
            raise TelemetryUsageError(
                f"this state is not of {self.n_envs} environments with {self.shape[1]} slots"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _state(self) -> dict[str, Tensor]:
        return {
            "pending": self.pending,
            "has_params_before": self._has_params,
            "superseded_ops": self.superseded_ops,
            "baseline_loss_delta": self._loss_delta.value,
            "baseline_loss_count": self._loss_delta.count,
            "baseline_accuracy_delta": self._accuracy_delta.value,
            "baseline_accuracy_count": self._accuracy_delta.count,
            **self._before,
        }

    def _check(self, name: str, tensor: Tensor, kind: str, *shapes: tuple[int, ...]) -> Tensor:
        return check_tensor(name, tensor, kind, self.device, *shapes)

    def _per_env(self, name: str, tensor: Tensor) -> Tensor:
        """A number of each environment as [envs, 1]."""
        return self._check(name, tensor, "float", (self.n_envs,)).to(self.dtype).unsqueeze(1)

    def _of_slots(self, name: str, tensor: Tensor | None, kind: str) -> Tensor | None:
        if tensor is None:
            return None
        tensor = self._check(name, tensor, kind, (self.n_envs,), self.shape)
        return tensor.unsqueeze(1) if tensor.dim() == 1 else tensor

    def _params(self, params: Tensor | None) -> Tensor | None:
        return self._of_slots("params", params, "integer")

    def _epoch(self, epoch: Tensor | int) -> Tensor:
        if isinstance(epoch, Tensor):
            return self._check("epoch", epoch, "integer", (self.n_envs,)).to(torch.int64).unsqueeze(1)
        return torch.full((self.n_envs, 1), epoch, dtype=torch.int64, device=self.device)
