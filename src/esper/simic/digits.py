"""The task: scikit-learn's digits, 1,797 real 8x8 images of ten classes, shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from esper.simic.config import VALIDATION_IMAGES

__all__ = ["CLASSES", "Digits", "load_digits"]

CLASSES = 10
SPLIT_SEED = 8


@dataclass(frozen=True, slots=True)
class Digits:
    """Images are float32 ``(n, 1, 8, 8)`` in 0 to 1, labels int64 ``(n,)`` in 0 to 9."""

    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor


@cache
def load_digits(train_images: int) -> Digits:
    """The digits, split the same way in every training whatever its seed, so that runs compare.

    Args:
        train_images: images to train on, at most 1,397; the validation images are always the same 400.
    """
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    val, train = order[:VALIDATION_IMAGES], order[VALIDATION_IMAGES : VALIDATION_IMAGES + train_images]
    return Digits(images[train], labels[train], images[val], labels[val])
