"""The host's half of the vectorised recorder: it tells the scalar recorder what the device was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.training.recorder import InternalOpRecorder
from esper.simic.vectorised.transfer import Report, Row

__all__ = ["Replay"]

_OP_NAMES = [op.name for op in LifecycleOp]


class Replay:
    """Reports of all environments, one row after the other, to a recorder of one environment's reports.

    So the events are those of the scalar recorder, and there is one place that knows them.

    Args:
        recorder: what writes the events.
        slot_ids: names of the slots.
    """

    def __init__(self, recorder: InternalOpRecorder, slot_ids: Sequence[str]) -> None:
        self._recorder = recorder
        self._slot_ids = slot_ids
        self._tell: dict[str, Callable[..., None]] = {
            "decisions": self._decision,
            "seeds_added": self._of_slot(recorder.seed_added),
            "levels_changed": self._of_slot(recorder.level_changed),
            "stages_changed": self._of_slot(recorder.stage_changed),
            "seeds_removed": self._of_slot(recorder.seed_removed),
            "epoch_end": recorder.epoch_end,
            "episode_end": recorder.episode_end,
        }

    def __call__(self, reports: Iterator[tuple[Report, Iterator[Row]]]) -> None:
        """Write what was reported, environment after environment within each report.

        Raises:
            TelemetryUsageError: if the recorder refused a row; all the others are written.
        """
        refused: list[str] = []
        for report, rows in reports:
            tell = self._tell[report.kind]
            for place, values in rows:
                try:
                    tell(place, **values)
                except ValueError as error:
                    refused.append(f"{report.kind}, {self._named(report, place)}: {error}")
        if refused:
            more = f" (and {len(refused) - 1} more of what was reported)" if len(refused) > 1 else ""
            raise TelemetryUsageError(f"refused, and left out of the events: {refused[0]}{more}")

    def _named(self, report: Report, place: int) -> str:
        if len(report.shape) == 1:
            return f"env {place}"
        env, slot = divmod(place, len(self._slot_ids))
        return f"env {env}, slot {self._slot_ids[slot]!r}"

    def _of_slot(self, tell: Callable[..., None]) -> Callable[..., None]:
        def tell_of_slot(place: int, **values: Any) -> None:
            env, slot = divmod(place, len(self._slot_ids))
            tell(env, self._slot_ids[slot], **values)

        return tell_of_slot

    def _decision(
        self,
        env: int,
        op: int,
        slot: int = -1,
        intended_op: int = -1,
        intended_slot: int = -1,
        op_probs: Sequence[float] | None = None,
        slot_probs: Sequence[float] | None = None,
        **values: Any,
    ) -> None:
        self._recorder.decision(
            env,
            self._slot(slot),
            _op(op),
            intended_op=None if intended_op == -1 else _op(intended_op),
            intended_slot=self._slot(intended_slot),
            op_probs=None if op_probs is None else dict(zip(_OP_NAMES, op_probs, strict=True)),
            slot_probs=None if slot_probs is None else dict(zip(self._slot_ids, slot_probs, strict=True)),
            **values,
        )

    def _slot(self, slot: int) -> str | None:
        if not -1 <= slot < len(self._slot_ids):
            raise TelemetryUsageError(
                f"slot {slot} is not in 0 to {len(self._slot_ids) - 1}, nor -1 for none"
            )
        return None if slot == -1 else self._slot_ids[slot]


def _op(op: int) -> LifecycleOp:
    if not 0 <= op < len(_OP_NAMES):
        raise TelemetryUsageError(f"op {op} is no LifecycleOp: those are 0 to {len(_OP_NAMES) - 1}")
    return LifecycleOp(op)
