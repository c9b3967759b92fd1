"""What the vectorised recorder is told of seeds: planted, grown, shrunk, in another stage, removed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from esper.leyline.errors import TelemetryUsageError
from esper.simic.vectorised.recorder_core import Number, VectorRecorderCore

__all__ = ["VectorSeedReports"]


class VectorSeedReports(VectorRecorderCore):
    """The reports about seeds, and every clear that they bring with them."""

    def seeds_added(
        self,
        mask: Tensor,
        level: Tensor | int | None = None,
        max_level: Tensor | int | None = None,
        *,
        blueprint: str | None = None,
        params: Number = None,
    ) -> None:
        """Record germinations; see InternalOpRecorder.seed_added.

        Args:
            mask: bool [envs, slots], where a seed was planted.
            level: their internal level, one for all or integer [envs, slots]; None with ``max_level``
                None where they have no levels.
            max_level: their highest level, likewise.
            blueprint: what kind of seeds they are.
            params: their active parameters, one number or integer [envs, slots].

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, only one of level and max_level is
                given, or ``capacity`` reports wait.
        """
        mask = self._check("mask", mask, "bool", self._slots)
        if (level is None) != (max_level is None):
            raise TelemetryUsageError("give both level and max_level, or neither for seeds without levels")
        columns: dict[str, Tensor] = {}
        numbers = {"level": level, "max_level": max_level, "params": params}
        same = {"blueprint": blueprint} | self._split(columns, self._slots, "integer", numbers)
        self._report("seeds_added", self._slots, mask, columns, same)
        added = mask & ~self._occupied
        if level is not None and max_level is not None:
            lowest, highest = self._tensor(level), self._tensor(max_level)
            added &= (lowest >= 0) & (lowest <= highest)
            self._max_level = torch.where(added, highest, self._max_level)
        self._occupied = self._occupied | added

    def levels_changed(
        self, from_levels: Tensor, to_levels: Tensor, *, active_params: Number = None
    ) -> dict[str, Tensor]:
        """Record internal ops that were carried out, in every slot whose levels differ.

        Args:
            from_levels: integer [envs, slots], before.
            to_levels: integer [envs, slots], after; 0 to the max_level that ``seeds_added`` named.
            active_params: the seeds' active parameters after, one number or integer [envs, slots].

        Returns:
            The metrics of all slots after it; see VectorInternalOpTracker.record.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        old = self._check("from_levels", from_levels, "integer", self._slots)
        new = self._check("to_levels", to_levels, "integer", self._slots)
        columns = {"from_level": old, "to_level": new}
        same = self._split(columns, self._slots, "integer", {"active_params": active_params})
        changed = old != new
        self._report("levels_changed", self._slots, changed, columns, same)
        can_be = (torch.minimum(old, new) >= 0) & (torch.maximum(old, new) <= self._max_level)
        direction = (new > old).to(torch.int8) - (new < old).to(torch.int8)
        return self.internal_ops.record(direction * can_be, self._epoch)

    def stages_changed(
        self, mask: Tensor, from_stage: str, to_stage: str, *, accuracy_delta: Number = None
    ) -> None:
        """Record that the seeds at ``mask``, bool [envs, slots], went from one stage to the next.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        mask = self._check("mask", mask, "bool", self._slots)
        columns: dict[str, Tensor] = {}
        same: dict[str, Any] = {"from_stage": from_stage, "to_stage": to_stage}
        same |= self._split(columns, self._slots, "number", {"accuracy_delta": accuracy_delta})
        self._report("stages_changed", self._slots, mask, columns, same)

    def seeds_removed(self, mask: Tensor, reason: str = "", *, improvement: Number = None) -> None:
        """Record that seeds left their slots: pruned for ``reason``, or ``reason="fossilized"``.

        Args:
            mask: bool [envs, slots], where one did.
            reason: why, for all of them.
            improvement: what each brought, one number or [envs, slots].

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or ``capacity`` reports wait.
        """
        mask = self._check("mask", mask, "bool", self._slots)
        columns: dict[str, Tensor] = {}
        numbers = {"improvement": improvement}
        same = {"reason": reason} | self._split(columns, self._slots, "number", numbers)
        self._report("seeds_removed", self._slots, mask, columns, same)
        self._vacate(mask)
        self.internal_ops.clear(mask)
