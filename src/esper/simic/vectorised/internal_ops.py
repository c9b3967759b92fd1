"""InternalOpTracker for all environments at once; see there for what each metric means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esper.leyline.errors import TelemetryUsageError
from esper.simic.vectorised.checks import check_size, check_slots, check_tensor

__all__ = ["VectorInternalOpTracker"]

EPOCH_LIMIT = {torch.float64: 2**29, torch.float32: 2**23}
"""Epochs are below it. Two times the epoch plus a bit must fit into 32 bits, and twice the limit into the
whole numbers that the metrics' dtype can hold."""
_LARGEST_WINDOW = 2**15 - 2
"""Ops; one more, before the oldest is dropped, must fit into 16 bits."""
_QUOTIENTS = ("internal_op_density", "reversal_rate", "internal_op_rate")
_STATE = (
    "_ring",
    "_counts",
    "_start",
    "_last",
    "_first_bit",
    "_last_end",
    "_quotients",
    "_net",
    "_n_ops",
)


class VectorInternalOpTracker:
    """Rolling metrics of internal ops for every slot of every environment, on one device.

    What it computes equals one InternalOpTracker per environment. The state is a ring of each slot's
    last ops, with running sums, so a step costs the same for any window; no operation waits for the
    device, selects by a mask or allocates memory. Counts are kept in 16 bits: on a CPU, memory traffic
    is what a step costs.

    Args:
        n_envs: environments, the first dimension of every tensor.
        slot_ids: names of the slots, the second dimension.
        window_size: ops of one slot that the metrics look back on, 1 to 32,766.
        device: where the state is; every tensor given must be there.
        dtype: of the metrics. In float64 they equal the scalar tracker's; in float32 they are those,
            rounded. Use float32 on a device without float64.

    Raises:
        TelemetryUsageError: if a size is below 1, window_size above 32,766, a slot comes twice, or
            environments times slots times window come near 2**31.
    """

    def __init__(
        self,
        n_envs: int,
        slot_ids: Sequence[str],
        window_size: int = 50,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.n_envs = check_size("n_envs", n_envs)
        self.slot_ids = check_slots(slot_ids)
        self.window_size = check_size("window_size", window_size)
        if window_size > _LARGEST_WINDOW:
            raise TelemetryUsageError(f"window_size must be at most {_LARGEST_WINDOW} ops, not {window_size}")
        self.device = torch.device(device)
        self.shape = (n_envs, len(self.slot_ids))
        if n_envs * len(self.slot_ids) << window_size.bit_length() >= 2**31:  # places count in 32 bits
            raise TelemetryUsageError(
                f"{n_envs} environments with {len(self.slot_ids)} slots and a window of {window_size} ops "
                "are too many for one tracker: make several"
            )
        if dtype not in EPOCH_LIMIT:
            raise TelemetryUsageError(f"dtype must be float32 or float64, not {dtype}")
        self.epoch_limit = EPOCH_LIMIT[dtype]
        self.dtype = dtype
        with torch.inference_mode(False):  # ordinary tensors, wherever the tracker is made
            self._allocate(n_envs * len(self.slot_ids))
        self.metrics: dict[str, Tensor] = {
            name: row.view(self.shape) for name, row in zip(_QUOTIENTS, self._quotients, strict=True)
        } | {"net_level_change": self._net.view(self.shape), "n_ops": self._n_ops.view(self.shape)}
        """What the last ``record`` returned."""

    def _allocate(self, size: int) -> None:
        """All the memory there will be: a step allocates none."""
        places = 1 << self.window_size.bit_length()

        def zeros(*shape: int, of: torch.dtype = torch.int16) -> Tensor:
            return torch.zeros(shape, dtype=of, device=self.device)

        def constant(value: float, of: torch.dtype = torch.int16) -> Tensor:
            # Of the right dtype and place: a number would be made into such a tensor at each use.
            return torch.tensor(value, dtype=of, device=self.device)

        word, real = torch.int32, self.dtype
        # The state. In the ring all slots' first places come first, then all second ones: slots that act
        # together are neighbours in memory. It has a place more than the window at least: there, a slot
        # without an op writes what nobody reads.
        self._ring = zeros(size * places, of=word)
        # Neighbours, so that one operation takes several of them.
        self._counts, signs = zeros(4, size), zeros(4, size)
        self._n_ever, self._n, self._reversals, self._shrinks = self._counts
        self._both_n, self._n_and_reversals, self._sums = (self._counts[i : i + 2] for i in range(3))
        self._acted, self._turn, self._d, self._last = signs
        self._products, self._moves, self._factors = (signs[i : i + 2] for i in range(3))
        self._seam, self._gone = zeros(2, size), zeros(2, size)
        self._reversed_first, self._first_bit = self._seam
        self._start = zeros(size)
        self._last_end = torch.full((size,), -self.epoch_limit, dtype=real, device=self.device)
        # Constants.
        self._slot = torch.arange(size, dtype=word, device=self.device)
        self._window, self._places_mask = constant(self.window_size), constant(places - 1)
        self._one_word, self._one_short, self._one = constant(1, word), constant(1), constant(1, real)
        # Room for what a step computes on its way.
        self._place_short = zeros(2, size)
        self._dropped, self._bit, self._short = (zeros(size) for _ in range(3))
        self._next_short, self._oldest_short = self._place_short
        self._word, self._first = zeros(size, of=word), zeros(size, of=word)
        self._place = zeros(2, size, of=word)
        self._next, self._oldest = self._place
        self._index = zeros(size, of=torch.int64)
        self._epoch_first, self._epoch_end = zeros(*self.shape, of=word), zeros(*self.shape, of=real)
        self._weight, self._net = zeros(size, of=real), zeros(size, of=real)
        self._numerators, self._denominators = zeros(3, size, of=real), zeros(3, size, of=real)
        self._counted = self._numerators[:2]
        self._n_real, self._known = self._numerators[0], self._numerators[2]
        self._pairs, self._epochs = self._denominators[1:]
        self._denominators[0].fill_(self.window_size)
        self._quotients = zeros(3, size, of=real)
        self._quotients[2].fill_(torch.nan)
        self._n_ops = zeros(size, of=word)

    def record(self, directions: Tensor, epoch: Tensor | int | None = None) -> dict[str, Tensor]:
        """Record at most one internal op in each slot and return the metrics of all.

        Args:
            directions: int8 [envs, slots]; above 0 a GROW, below 0 a SHRINK, 0 no op. The level's
                change will do.
            epoch: epoch within the episode, 0 to 2**23 - 1 (2**29 - 1 where dtype is float64): one for
                all, or an integer tensor [envs]. None, or in a tensor any other number, where it is not
                known.

        Returns:
            Tensors [envs, slots], the same ones each time, overwritten by the next call: clone what you
            keep. ``internal_op_density``, ``net_level_change``, ``reversal_rate``, ``internal_op_rate``
            (NaN where the scalar tracker says None) and ``n_ops`` (int32); see InternalOpTracker. Slots
            without an op have 0, 0, 0, NaN and 0.

        Raises:
            TelemetryUsageError: if a shape, dtype or device is wrong, or a number ``epoch`` is out of
                range.
        """
        directions = check_tensor("directions", directions, "integer", self.device, self.shape)
        if directions.dtype != torch.int8:
            raise TelemetryUsageError(f"directions must be int8, not {directions.dtype}")
        # Without autograd's bookkeeping an operation is called for less; the metrics are ordinary tensors.
        with torch.inference_mode():
            first, end = self._epoch(epoch)
            self._count(directions.reshape(-1))
            self._turn_over(first)
            self._drop(end)
            self._measure()
        return self.metrics

    def _epoch(self, epoch: Tensor | int | None) -> tuple[Tensor, Tensor]:
        """Two times the epoch as a window's first, and one past it as a window's last.

        Not known is the limit for a first and minus the limit for a last: whatever the other one is,
        their difference is then negative.
        """
        limit = self.epoch_limit
        if isinstance(epoch, Tensor):
            epoch = check_tensor("epoch", epoch, "integer", self.device, (self.n_envs,)).to(torch.int64)
            known = (epoch >= 0) & (epoch < limit)
            self._epoch_first.copy_(torch.where(known, epoch * 2, 2 * limit).unsqueeze(1))
            # In a window of one op no rate is ever known.
            end = torch.where(known & (self.window_size > 1), epoch + 1, -limit)
            self._epoch_end.copy_(end.unsqueeze(1))
        else:
            if epoch is not None and not 0 <= epoch < limit:
                raise TelemetryUsageError(f"epoch must be in 0 to {limit - 1}, not {epoch}")
            self._epoch_first.fill_(2 * (limit if epoch is None else epoch))
            self._epoch_end.fill_(-limit if epoch is None or self.window_size == 1 else epoch + 1)
        return self._epoch_first.view(-1), self._epoch_end.view(-1)

    def _count(self, directions: Tensor) -> None:
        """Take up the new ops. In here, 1 is a SHRINK and -1 a GROW, and ``_last`` is the opposite."""
        self._d.copy_(directions).clamp_(-1, 1).neg_()
        torch.mul(self._factors, self._d, out=self._products)  # d * d acted, d * last reverses where 1
        self._last.addcmul_(self._last, self._acted, value=-1).sub_(self._d)
        self._weight.copy_(self._turn)
        self._moves.relu_()
        self._sums.add_(self._moves)
        torch.bitwise_and(self._n_ever, self._places_mask, out=self._next_short)
        self._both_n.add_(self._acted)  # n_ever modulo 2**16: the number of places is a divisor of it
        torch.sub(self._n, self._window, out=self._dropped).relu_()
        self._n.sub_(self._dropped)
        self._start.add_(self._dropped)
        torch.bitwise_and(self._start, self._places_mask, out=self._oldest_short)

    def _turn_over(self, epoch: Tensor) -> None:
        """Write each op as 2 * epoch + 1 for a SHRINK, and read the first one still in the window."""
        torch.add(self._slot, self._place_short, alpha=self._slot.numel(), out=self._place)
        self._word.copy_(self._d)
        self._word.add_(epoch)
        self._index.copy_(self._next)
        self._ring.scatter_(0, self._index, self._word)
        torch.index_select(self._ring, 0, self._oldest, out=self._first)

    def _drop(self, end: Tensor) -> None:
        """Take out of the sums what left the window, and take up the last op's epoch."""
        self._bit.copy_(self._first)
        self._bit.bitwise_and_(self._one_short)
        torch.bitwise_xor(self._first_bit, self._bit, out=self._reversed_first)
        torch.bitwise_and(self._seam, self._dropped, out=self._gone)
        self._sums.sub_(self._gone)
        self._first_bit.copy_(self._bit)
        # A slot's first op has no turn and leaves its last epoch unknown: one op has no rate.
        self._last_end.lerp_(end, self._weight.abs_())

    def _measure(self) -> None:
        self._n_ops.copy_(self._n)
        self._counted.copy_(self._n_and_reversals)
        torch.sub(self._n, self._shrinks, alpha=2, out=self._short)
        self._net.copy_(self._short)
        torch.sub(self._n_real, self._one, out=self._pairs).clamp_(min=1)
        # Epochs from the window's first op to its last, at least 1 where known; else 0 / 0 is NaN.
        self._first.bitwise_right_shift_(self._one_word)
        self._weight.copy_(self._first)
        torch.sub(self._last_end, self._weight, out=self._epochs).relu_()
        torch.clamp(self._epochs, max=1, out=self._known).mul_(self._n_real)
        # By tensors: a GPU divides by a number by multiplying with its inverse, which is not the same.
        torch.div(self._numerators, self._denominators, out=self._quotients)

    def clear(self, mask: Tensor) -> None:
        """Forget slots; call it when their seeds were pruned or fossilized.

        Args:
            mask: bool [envs, slots], True where to forget. ``metrics`` are those of no op there at once.
        """
        self._forget(check_tensor("mask", mask, "bool", self.device, self.shape).reshape(-1))

    def reset(self, env_mask: Tensor | None = None) -> None:
        """Forget every slot of the environments whose episode ended: bool [envs]; None for all."""
        if env_mask is None:
            self._forget(torch.ones_like(self._d, dtype=torch.bool))
        else:
            mask = check_tensor("env_mask", env_mask, "bool", self.device, (self.n_envs,))
            self._forget(mask.unsqueeze(1).expand(self.shape).reshape(-1))

    def _forget(self, mask: Tensor) -> None:
        # The sums of no op are 0, and a place in the ring is written before it is read again.
        for tensor in (self._counts, self._start, self._last, self._first_bit):
            tensor.masked_fill_(mask, 0)
        self._last_end.masked_fill_(mask, -self.epoch_limit)
        for tensor in (self._quotients[:2], self._net, self._n_ops):
            tensor.masked_fill_(mask, 0)
        self._quotients[2].masked_fill_(mask, torch.nan)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs: the window's size, and copies of the tensors."""
        copies = {name.removeprefix("_"): getattr(self, name).clone() for name in _STATE}
        return {"window_size": self.window_size, **copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken, on any device; what was recorded before is forgotten.

        Raises:
            TelemetryUsageError: if it was taken from a tracker of another size or window.
        """
        own = {name.removeprefix("_"): getattr(self, name) for name in _STATE}
        if state["window_size"] != self.window_size or any(
            state[name].shape != tensor.shape for name, tensor in own.items()
        ):
            raise TelemetryUsageError(
                f"this state is not of {self.n_envs} environments with {len(self.slot_ids)} slots and a "
                f"window of {self.window_size} ops"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])
