"""The host: a small convolutional network with a slot after each of its stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from esper.kasmina import SeedObserver, SeedSlot
from esper.simic.digits import CLASSES

__all__ = ["SlottedHost"]


class SlottedHost(nn.Module):
    """One 3x3 convolution and one slot per stage, then average pooling to 2x2 and a linear head.

    Args:
        slot_ids: names of the slots, in the order in which an image passes them.
        channels: width of every feature map.
        max_level: of the ladders planted in the slots.
        observer: told of everything that happens in a slot.
    """

    def __init__(
        self, slot_ids: Sequence[str], channels: int, max_level: int, observer: SeedObserver
    ) -> None:
        super().__init__()
        widths = [1] + [channels] * (len(slot_ids) - 1)
        self.stages = nn.ModuleList(_convolution(width, channels) for width in widths)
        self.head = nn.Linear(4 * channels, CLASSES)
        # Counted, and handed to the optimizer, while the slots are still empty.
        self.own_parameters = list(self.parameters())
        self.own_param_count = sum(parameter.numel() for parameter in self.own_parameters)
        self.slots = nn.ModuleDict(
            {slot_id: SeedSlot(slot_id, channels, max_level, observer) for slot_id in slot_ids}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(batch, 1, 8, 8)`` to logits ``(batch, 10)``."""
        x = images
        for stage, slot in zip(self.stages, self.slots.values(), strict=True):
            x = slot(torch.relu(stage(x)))
        logits: Tensor = self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return logits

    def slot(self, slot_id: str) -> SeedSlot:
        """The slot of that name."""
        slot = self.slots[slot_id]
        assert isinstance(slot, SeedSlot)
        return slot

    def seed_param_count(self) -> int:
        """Scalars that train now in all seeds, fossilized ones included."""
        seeds = [self.slot(slot_id).seed for slot_id in self.slots]
        return sum(seed.active_param_count() for seed in seeds if seed is not None)


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    # torch's own default is too small for ReLU: training would stall for its first epochs.
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution
