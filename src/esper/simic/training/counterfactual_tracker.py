"""What happened after internal ops, beside what happened after NOOPs. Observational only.

Nothing in reward code may import this module: the NOOP baseline is biased, because NOOPs are chosen
near an optimum, where deltas are small, and GROW and SHRINK away from one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from esper.leyline.actions import LifecycleOp
from esper.leyline.payloads import CounterfactualDeltaPayload

__all__ = ["CounterfactualTracker", "RunningMean"]


@dataclass
class RunningMean:
    """Exponential moving average that starts at its first sample: v <- (1 - alpha) v + alpha x.

    With alpha 0.01 the first sample still weighs 0.91 after 10 samples and 0.37 after 100.
    Samples that are not finite are skipped and not counted.
    """

    alpha: float = 0.01
    _value: float = 0.0
    _count: int = 0

    @property
    def value(self) -> float:
        """The average, 0.0 before the first sample."""
        return self._value

    @property
    def count(self) -> int:
        """Samples taken in."""
        return self._count

    def update(self, x: float) -> None:
        """Take in one sample."""
        if not math.isfinite(x):
            return
        self._value = x if self._count == 0 else (1 - self.alpha) * self._value + self.alpha * x
        self._count += 1

    def reset(self) -> None:
        """Forget every sample."""
        self._value = 0.0
        self._count = 0


@dataclass(slots=True)
class _PendingOp:
    """The state that a policy saw when it chose an internal op."""

    epoch: int
    op: int
    from_level: int
    to_level: int
    loss: float
    accuracy: float
    params: int | None
    op_probability: float | None


class CounterfactualTracker:
    """Remembers the state before each internal op and compares it with the state an epoch later."""

    def __init__(self) -> None:
        self._pending_ops: dict[tuple[str, int], _PendingOp] = {}
        self._baseline_loss_delta = RunningMean()
        self._baseline_accuracy_delta = RunningMean()
        self.superseded_ops = 0
        """Ops whose outcome was never seen because another followed on the same slot first."""

    def record_op_start(
        self,
        slot_id: str,
        env_id: int,
        epoch: int,
        op: LifecycleOp,
        from_level: int,
        to_level: int,
        loss: float,
        accuracy: float,
        params: int | None,
        *,
        op_probability: float | None = None,
    ) -> None:
        """Record the state before an internal op; a pending op on the same slot is superseded.

        Args:
            slot_id: the slot.
            env_id: its environment.
            epoch: the epoch just completed, within the episode.
            op: GROW_INTERNAL or SHRINK_INTERNAL.
            from_level: level before the op.
            to_level: level after it.
            loss: validation loss before the op.
            accuracy: validation accuracy before it, a fraction.
            params: active parameters before it.
            op_probability: the policy's probability of what it did.
        """
        key = (slot_id, env_id)
        if key in self._pending_ops:
            self.superseded_ops += 1
        self._pending_ops[key] = _PendingOp(
            epoch, int(op), from_level, to_level, loss, accuracy, params, op_probability
        )

    def record_op_outcome(
        self,
        slot_id: str,
        env_id: int,
        loss: float,
        accuracy: float,
        params: int | None,
        *,
        epoch: int | None = None,
    ) -> CounterfactualDeltaPayload | None:
        """The outcome of the op pending on a slot, or None if there is none yet.

        Call it once per epoch and slot, before ``clear_env``.

        Args:
            slot_id: the slot.
            env_id: its environment.
            loss: validation loss now.
            accuracy: validation accuracy now, a fraction.
            params: active parameters now.
            epoch: the epoch just completed; while it is not after the op's, the op stays pending.
        """
        key = (slot_id, env_id)
        pending = self._pending_ops.get(key)
        if pending is None or (epoch is not None and epoch <= pending.epoch):
            return None
        del self._pending_ops[key]
        return CounterfactualDeltaPayload(
            slot_id=slot_id,
            env_id=env_id,
            epoch=pending.epoch,
            op=pending.op,
            from_level=pending.from_level,
            to_level=pending.to_level,
            loss_before=pending.loss,
            accuracy_before=pending.accuracy,
            params_before=pending.params,
            loss_after=loss,
            accuracy_after=accuracy,
            params_after=params,
            loss_delta=loss - pending.loss,
            accuracy_delta=accuracy - pending.accuracy,
            baseline_loss_delta=self._baseline_loss_delta.value,
            baseline_accuracy_delta=self._baseline_accuracy_delta.value,
            baseline_sample_count=self._baseline_loss_delta.count,
            epochs_elapsed=None if epoch is None else epoch - pending.epoch,
            op_probability=pending.op_probability,
        )

    def record_noop_outcome(self, loss_delta: float, accuracy_delta: float) -> None:
        """Take the change over one epoch after a NOOP into the baseline."""
        self._baseline_loss_delta.update(loss_delta)
        self._baseline_accuracy_delta.update(accuracy_delta)

    def pending_slots(self, env_id: int) -> list[str]:
        """Slots of an environment whose op waits for its outcome."""
        return [slot_id for slot_id, env in self._pending_ops if env == env_id]

    def clear_slot(self, slot_id: str, env_id: int) -> None:
        """Forget the op pending on a slot: its seed was removed, so it has no outcome."""
        self._pending_ops.pop((slot_id, env_id), None)

    def clear_env(self, env_id: int) -> None:
        """Forget every pending op of an environment; call it when its episode ends."""
        for slot_id in self.pending_slots(env_id):
            del self._pending_ops[slot_id, env_id]

    def reset(self) -> None:
        """Forget everything; call it when a training starts anew."""
        self._pending_ops.clear()
        self._baseline_loss_delta = RunningMean()
        self._baseline_accuracy_delta = RunningMean()
        self.superseded_ops = 0

    def state_dict(self) -> dict[str, Any]:
        """Pending ops and baselines, as plain lists and dicts, for a checkpoint."""
        return {
            "pending": [[slot, env, asdict(op)] for (slot, env), op in self._pending_ops.items()],
            "baseline_loss_delta": asdict(self._baseline_loss_delta),
            "baseline_accuracy_delta": asdict(self._baseline_accuracy_delta),
            "superseded_ops": self.superseded_ops,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken; what was recorded here before is forgotten."""
        self._pending_ops = {(slot, env): _PendingOp(**op) for slot, env, op in state["pending"]}
        self._baseline_loss_delta = RunningMean(**state["baseline_loss_delta"])
        self._baseline_accuracy_delta = RunningMean(**state["baseline_accuracy_delta"])
        self.superseded_ops = state["superseded_ops"]
