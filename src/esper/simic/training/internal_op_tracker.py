"""Anti-thrash metrics over the last internal ops of each slot of one environment."""

from __future__ import annotations

from collections import deque

from esper.leyline.actions import LifecycleOp

__all__ = ["InternalOpTracker"]

_GROW = LifecycleOp.GROW_INTERNAL
_SHRINK = LifecycleOp.SHRINK_INTERNAL


class _Window:
    """The last ops of one slot with their sums, so that an op costs the same for any window size."""

    __slots__ = ("directions", "epochs", "last", "metrics", "n_ops", "net", "reversals")

    def __init__(self, size: int) -> None:
        self.directions: deque[int] = deque(maxlen=size)
        self.epochs: deque[int | None] = deque(maxlen=size)
        self.n_ops = 0
        self.net = 0
        self.reversals = 0
        self.last = 0
        """Direction of the newest op."""
        # Kept, because copying a dict of six is much cheaper than making one.
        self.metrics: dict[str, float | None] = {
            "internal_op_density": 0.0,
            "net_level_change": 0.0,
            "reversal_rate": 0.0,
            "internal_op_rate": None,
            "n_ops": 0,
            "window_size": size,
        }


class InternalOpTracker:
    """Rolling metrics of internal ops per slot, for thrash detection.

    Use one tracker per environment: slot names repeat in every environment, and a shared tracker would
    report reversals that never happened.

    Args:
        window_size: ops of one slot that the metrics look back on, at least 1.
        max_slots: slots held at once; one more drops the slot that was used least recently.

    Raises:
        ValueError: if an argument is below 1.
    """

    def __init__(self, window_size: int = 50, max_slots: int = 256) -> None:
        if window_size < 1:
            raise ValueError(f"window_size must be at least 1 op, not {window_size}")
        if max_slots < 1:
            raise ValueError(f"max_slots must be at least 1, not {max_slots}")
        self.window_size = window_size
        self.max_slots = max_slots
        # In order of last use, the least recent first.
        self._windows: dict[str, _Window] = {}

    def record_internal_op(
        self,
        slot_id: str,
        op: LifecycleOp,
        from_level: int,
        to_level: int,
        *,
        epoch: int | None = None,
    ) -> dict[str, float | None]:
        """Record one GROW_INTERNAL or SHRINK_INTERNAL and return the slot's metrics.

        Args:
            slot_id: the slot, unique within this tracker's environment.
            op: what the policy did.
            from_level: level before the op.
            to_level: level after it; above ``from_level`` for GROW, below it for SHRINK.
            epoch: epoch within the episode; without it ``internal_op_rate`` is None.

        Returns:
            What ``_compute_metrics`` returns.

        Raises:
            ValueError: if the op is not an internal one, or contradicts the levels.
        """
        if to_level > from_level and op == _GROW:
            direction = 1
        elif to_level < from_level and op == _SHRINK:
            direction = -1
        else:
            raise ValueError(_contradiction(slot_id, op, from_level, to_level))
        windows = self._windows
        window = windows.pop(slot_id, None)
        if window is None:
            if len(windows) >= self.max_slots:
                del windows[next(iter(windows))]
            window = _Window(self.window_size)
        windows[slot_id] = window
        directions, epochs, metrics = window.directions, window.epochs, window.metrics
        n_ops, size = window.n_ops, self.window_size
        if n_ops < size:
            n_ops += 1
            window.n_ops = metrics["n_ops"] = n_ops
            metrics["internal_op_density"] = n_ops / size
        else:  # the append below drops the oldest, and its pair with the next
            oldest = directions[0]
            window.net -= oldest
            if n_ops > 1 and directions[1] != oldest:
                window.reversals -= 1
        directions.append(direction)
        epochs.append(epoch)
        window.net += direction
        metrics["net_level_change"] = float(window.net)
        if n_ops > 1:
            if direction != window.last:
                window.reversals += 1
            metrics["reversal_rate"] = window.reversals / (n_ops - 1)
            if epoch is not None and (first := epochs[0]) is not None and epoch >= first:
                metrics["internal_op_rate"] = n_ops / (epoch - first + 1)
            else:
                metrics["internal_op_rate"] = None
        window.last = direction
        return metrics.copy()

    def clear_slot(self, slot_id: str) -> None:
        """Forget a slot; call it when its seed was pruned or fossilized."""
        self._windows.pop(slot_id, None)

    def reset(self) -> None:
        """Forget every slot; call it when an episode ends."""
        self._windows.clear()

    def _compute_metrics(self, slot_id: str) -> dict[str, float | None]:
        """The metrics of a slot over its last ``window_size`` ops.

        Returns:
            ``internal_op_density``: ops in the window / window_size. It reaches 1.0 after window_size
            ops and stays there: how much evidence there is, not how often the policy acts.
            ``net_level_change``: sum of directions, +1 a GROW, -1 a SHRINK.
            ``reversal_rate``: share of consecutive pairs with different directions; 0.0 under two ops.
            ``internal_op_rate``: ops per epoch from the window's first op to its last, None under two
            ops or without epochs.
            ``n_ops``: ops in the window. ``window_size``: the window.

        Raises:
            KeyError: if the slot has no op.
        """
        return self._windows[slot_id].metrics.copy()

    def state_dict(self) -> dict[str, list[list[int | None]]]:
        """Every slot's window, for a checkpoint: ``{slot_id: [directions, epochs]}``."""
        return {
            slot_id: [list(window.directions), list(window.epochs)]
            for slot_id, window in self._windows.items()
        }

    def load_state_dict(self, state: dict[str, list[list[int | None]]]) -> None:
        """Take up where ``state_dict`` was taken; what was recorded here before is forgotten."""
        self._windows.clear()
        for slot_id, (directions, epochs) in state.items():
            for direction, epoch in zip(directions, epochs, strict=True):
                op, to_level = (_GROW, 1) if direction == 1 else (_SHRINK, -1)
                self.record_internal_op(slot_id, op, 0, to_level, epoch=epoch)


def _contradiction(slot_id: str, op: LifecycleOp, from_level: int, to_level: int) -> str:
    name = getattr(op, "name", op)
    if op not in (_GROW, _SHRINK):
        return f"slot {slot_id!r}: {name} is not an internal op; record GROW_INTERNAL or SHRINK_INTERNAL"
    if to_level == from_level:
        return f"slot {slot_id!r}: {name} left the level at {to_level}; record only ops that changed it"
    way = "above" if op == _GROW else "below"
    return f"slot {slot_id!r}: {name} must end {way} level {from_level}, not at {to_level}"
