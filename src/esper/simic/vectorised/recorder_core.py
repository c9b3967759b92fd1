"""The part of the vectorised recorder that its reports stand on: what waits, and how it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esper.leyline.errors import TelemetryUsageError
from esper.leyline.events import RankSink
from esper.simic.training.recorder import InternalOpRecorder
from esper.simic.vectorised.checks import check_size, check_tensor
from esper.simic.vectorised.internal_ops import VectorInternalOpTracker
from esper.simic.vectorised.replay import Replay
from esper.simic.vectorised.transfer import Report, rows_of

__all__ = ["Number", "VectorRecorderCore"]

Number = Tensor | float | int | bool | None
"""One for all, a tensor with one for each, or none."""
_STATE = ("_epoch", "_has_epoch", "_occupied", "_max_level")


class VectorRecorderCore:
    """Reports that wait on the device, the state that tells which of them can be, and the way out.

    See VectorInternalOpRecorder for the arguments.
    """

    def __init__(
        self,
        sink: RankSink,
        n_envs: int,
        slot_ids: Sequence[str],
        *,
        window_size: int = 50,
        intervention_cost: float | None = None,
        capacity: int = 64,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.internal_ops = VectorInternalOpTracker(n_envs, slot_ids, window_size, device=device, dtype=dtype)
        """The tracker behind ``metrics``."""
        self.device = self.internal_ops.device
        self.capacity = check_size("capacity", capacity)
        self._envs, self._slots = (n_envs,), self.internal_ops.shape
        self._host = InternalOpRecorder(sink, window_size=window_size, intervention_cost=intervention_cost)
        self._replay = Replay(self._host, self.internal_ops.slot_ids)
        self._waiting: list[Report] = []
        self._n_waiting: Counter[str] = Counter()
        # What tells which reports can be, so that the metrics leave out what the events leave out.
        self._epoch = torch.zeros(self._envs, dtype=torch.int64, device=self.device)
        self._has_epoch = torch.zeros(self._envs, dtype=torch.bool, device=self.device)
        self._occupied = torch.zeros(self._slots, dtype=torch.bool, device=self.device)
        self._max_level = torch.full(self._slots, -1, dtype=torch.int64, device=self.device)

    @property
    def metrics(self) -> dict[str, Tensor]:
        """Every slot's metrics now: tensors [envs, slots]; see VectorInternalOpTracker.record."""
        return self.internal_ops.metrics

    @property
    def waiting(self) -> int:
        """Reports that wait for ``emit``."""
        return len(self._waiting)

    def emit(self) -> None:
        """Bring what waits to the host and write its events. The one place that waits for the device.

        Raises:
            TelemetryUsageError: if a value that was reported can't be; everything else is written.
        """
        reports, self._waiting = self._waiting, []
        self._n_waiting.clear()
        self._replay(rows_of(reports))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs. It emits first, so that file and checkpoint agree."""
        self.emit()
        state = {name.removeprefix("_"): getattr(self, name).clone() for name in _STATE}
        return {**state, "host": self._host.state_dict(), "internal_ops": self.internal_ops.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken, on any device; what was recorded before is forgotten.

        Raises:
            TelemetryUsageError: if reports wait for ``emit``, or the state is of another size or window.
        """
        if self._waiting:
            raise TelemetryUsageError(
                f"{len(self._waiting)} reports wait: call emit() before load_state_dict"
            )
        self.internal_ops.load_state_dict(state["internal_ops"])
        self._host.load_state_dict(state["host"])
        for name in _STATE:
            setattr(self, name, state[name.removeprefix("_")].to(self.device, copy=True))

    def _vacate(self, mask: Tensor) -> None:
        self._occupied = self._occupied & ~mask
        self._max_level = self._max_level.masked_fill(mask, -1)

    def _report(
        self,
        kind: str,
        shape: tuple[int, ...],
        mask: Tensor | None,
        columns: dict[str, Tensor],
        same: dict[str, Any],
    ) -> None:
        if self._n_waiting[kind] >= self.capacity:
            raise TelemetryUsageError(
                f"{self.capacity} reports of {kind} wait on the device, and there is room for no more: call "
                f"emit() at least every {self.capacity} steps, or ask for more capacity"
            )
        self._n_waiting[kind] += 1
        # Copies, for the loop may use its tensors again.
        copies = {name: column.clone() for name, column in columns.items()}
        self._waiting.append(Report(kind, shape, None if mask is None else mask.clone(), copies, same))

    def _split(
        self, columns: dict[str, Tensor], shape: tuple[int, ...], kind: str, given: dict[str, Number]
    ) -> dict[str, Any]:
        """Add the tensors among ``given`` to ``columns``; returns what is the same for all rows."""
        same: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, Tensor):
                columns[name] = self._check(name, value, kind, shape)
            elif value is not None:
                same[name] = value
        return same

    def _tensor(self, value: Tensor | int) -> Tensor:
        """An integer tensor; a number is filled in by the device, where a copy would wait for it."""
        if isinstance(value, Tensor):
            return value.to(torch.int64)
        return torch.full((), value, dtype=torch.int64, device=self.device)

    def _mask(self, mask: Tensor | None) -> Tensor | None:
        return None if mask is None else self._check("env_mask", mask, "bool", self._envs)

    def _check(self, name: str, tensor: Tensor, kind: str, shape: tuple[int, ...]) -> Tensor:
        return check_tensor(name, tensor, kind, self.device, shape)
