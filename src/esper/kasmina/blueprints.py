"""What can be planted in a slot: every seed maps ``(batch, channels, height, width)`` to the same shape.

A new seed starts as the identity, so that planting one never disturbs what its host has learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from esper.leyline.errors import TelemetryUsageError, unknown_name

__all__ = ["BLUEPRINTS", "ConvLadderSeed", "ConvLightSeed", "Seed", "make_seed"]


class Seed(nn.Module):
    """Base of all seeds: a module with the shape of its input, with or without internal levels."""

    level: int | None = None
    """Internal level, 0 to ``max_level``; None where the seed has no levels."""
    max_level: int | None = None
    """Highest level; None where the seed has no levels."""

    def active_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that train now."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def active_param_count(self) -> int:
        """Scalars that train now."""
        return sum(parameter.numel() for parameter in self.active_parameters())

    def __call__(self, x: Tensor) -> Tensor:
        """Same as ``forward``; here for its types."""
        output: Tensor = super().__call__(x)
        return output


class ConvLadderSeed(Seed):
    """A ladder of residual 3x3 convolutions, of which level n uses the first n.

    ``h_0 = x``, ``h_k = h_(k-1) + conv_k(relu(h_(k-1)))``, and the output is ``x + proj(h_n)`` with a
    1x1 convolution ``proj``; at level 0 it is ``x`` itself. ``proj`` and each ``conv_k`` start at zero: a new
    seed is the identity, and a block that never trained changes nothing when it joins. A block that
    leaves keeps its weights for the day it comes back. The residual form is that of K. He et al.,
    "Identity mappings in deep residual networks", ECCV 2016.

    Args:
        channels: of input and output.
        max_level: blocks on the ladder, at least 1.
        level: blocks in use at first, 0 to max_level.

    Raises:
        TelemetryUsageError: if an argument can't be.
    """

    level: int
    max_level: int

    def __init__(self, channels: int, max_level: int = 4, level: int = 1) -> None:
        super().__init__()
        if channels < 1 or max_level < 1:
            raise TelemetryUsageError(
                f"a ladder needs at least 1 channel and 1 level, not {channels} and {max_level}"
            )
        self.blocks = nn.ModuleList(
            _zero(nn.Conv2d(channels, channels, 3, padding=1)) for _ in range(max_level)
        )
        self.proj = _zero(nn.Conv2d(channels, channels, 1))
        self.max_level = max_level
        self.set_level(level)

    def set_level(self, level: int) -> None:
        """Use the first ``level`` blocks from now on, and train only those.

        Raises:
            TelemetryUsageError: if ``level`` is not in 0 to max_level.
        """
        if not 0 <= level <= self.max_level:
            raise TelemetryUsageError(f"level {level} of a ladder must lie in 0 to {self.max_level}")
        self.level = level
        _set_active(self.proj, level > 0)
        for index, block in enumerate(self.blocks):
            _set_active(block, index < level)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        if self.level == 0:
            return x
        h = x
        for block in self.blocks[: self.level]:
            h = h + block(torch.relu(h))
        out: Tensor = x + self.proj(h)
        return out


class ConvLightSeed(Seed):
    """One 3x3 convolution per channel and a zero-initialised 1x1 projection; no levels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        out: Tensor = x + self.proj(torch.relu(self.depthwise(x)))
        return out


BLUEPRINTS: dict[str, Callable[[int, int], Seed]] = {
    "conv_ladder": lambda channels, max_level: ConvLadderSeed(channels, max_level),
    "conv_light": lambda channels, max_level: ConvLightSeed(channels),
}
"""Every kind of seed by name; called with channels and the ladder's max_level."""


def make_seed(blueprint: str, channels: int, max_level: int) -> Seed:
    """A new seed.

    Raises:
        NotFoundError: if there is no such blueprint.
    """
    if blueprint not in BLUEPRINTS:
        raise unknown_name("blueprint", blueprint, BLUEPRINTS)
    return BLUEPRINTS[blueprint](channels, max_level)


def _zero(convolution: nn.Conv2d) -> nn.Conv2d:
    assert convolution.bias is not None
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


def _set_active(module: nn.Module, active: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(active)
        if not active:
            # An optimizer goes on moving a frozen parameter by its momentum for as long as it has a gradient.
            parameter.grad = None
