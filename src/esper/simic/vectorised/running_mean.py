"""RunningMean of samples that come many at a time."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["VectorRunningMean"]


class VectorRunningMean:
    """The average of RunningMean: v <- (1 - alpha) v + alpha x for each in order.

    Args:
        alpha: weight of a new sample.
        device: where it is.
        dtype: of the average.
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.alpha = alpha
        self.value = torch.zeros((), dtype=dtype, device=device)
        """The average, 0.0 before the first sample; a tensor without dimensions."""
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        """Samples taken in."""

    def update(self, samples: Tensor, mask: Tensor) -> None:
        """Take in the samples where ``mask`` is True and that are finite, in the order of their index.

        After M of them, v = (1 - alpha)^M v0 + sum of w_j (1 - alpha)^(M - m_j) x_j, where m_j counts
        the samples up to j, and w_j is alpha, or 1 for the very first sample.

        Args:
            samples: [n], of this average's dtype.
            mask: bool [n].
        """
        taken = mask & torch.isfinite(samples)
        nth = torch.cumsum(taken, 0)
        total = nth[-1]
        # Not ``where`` of two numbers, which would round alpha to 32 bits.
        first = (self.count + nth == 1).to(self.value.dtype)
        weight = (first * (1 - self.alpha) + self.alpha) * self._kept(total - nth)
        # A product with 0 would keep a NaN.
        added = torch.where(taken, samples * weight, 0.0).sum()
        self.value.mul_(self._kept(total)).add_(added)
        self.count.add_(total)

    def _kept(self, later: Tensor) -> Tensor:
        return torch.pow(1 - self.alpha, later.to(self.value.dtype))

    def reset(self) -> None:
        """Forget every sample."""
        self.value.zero_()
        self.count.zero_()
