"""What can be told of a tensor without looking at its values, so without waiting for its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from esper.leyline.errors import TelemetryUsageError

__all__ = ["INTEGERS", "check_size", "check_slots", "check_tensor", "is_on"]

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BOOLEANS = (torch.bool,)
_KINDS = {"bool": BOOLEANS, "integer": INTEGERS, "float": FLOATS, "number": (*FLOATS, *INTEGERS)}


def check_tensor(
    name: str, tensor: object, kind: str, device: torch.device, *shapes: tuple[int, ...]
) -> Tensor:
    """The tensor without its graph, if it may be what it is given for.

    Args:
        name: of the argument, for the error.
        tensor: what was given.
        kind: ``bool``, ``integer``, ``float`` or ``number`` (either of the latter two).
        device: where it must be; a copy from elsewhere would wait for the device.
        shapes: any one of these.

    Raises:
        TelemetryUsageError: if it is none, or its shape, dtype or device is another.
    """
    wanted = (
        f"{name} must be a tensor of {kind}s of shape {' or '.join(map(str, map(list, shapes)))} on {device}"
    )
    if not isinstance(tensor, Tensor):
        raise TelemetryUsageError(f"{wanted}, not a {type(tensor).__name__}")
    if tensor.dtype not in _KINDS[kind] or tuple(tensor.shape) not in shapes or not is_on(tensor, device):
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise TelemetryUsageError(f"{wanted}, not {dtype} {list(tensor.shape)} on {tensor.device}")
    return tensor.detach() if tensor.requires_grad else tensor


def is_on(tensor: Tensor, device: torch.device) -> bool:
    """Whether a tensor is on a device; ``cuda`` means any of them, as in torch."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def check_size(name: str, size: int) -> int:
    """A size that is at least 1.

    Raises:
        TelemetryUsageError: if it is not.
    """
    if size < 1:
        raise TelemetryUsageError(f"{name} must be at least 1, not {size}")
    return size


def check_slots(slot_ids: Sequence[str]) -> tuple[str, ...]:
    """The slots' names, in the order of the second dimension.

    Raises:
        TelemetryUsageError: if there is none, or one comes twice.
    """
    names = (slot_ids,) if isinstance(slot_ids, str) else tuple(slot_ids)
    if isinstance(slot_ids, str) or not names or len(set(names)) < len(names):
        raise TelemetryUsageError(f"slot_ids must be a list of names that differ, not {slot_ids!r}")
    return names
