"""What random draws need: a seed of their own, their state in a checkpoint, the entropy of their odds."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable
from typing import Any

__all__ = ["derived_seed", "draws_state", "entropy_of", "restore_draws"]


def derived_seed(seed: int, what: str, index: int) -> int:
    """A seed of its own for each part of a training; neighbouring ones have nothing in common."""
    digest = hashlib.blake2b(f"{seed}/{what}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def draws_state(draws: random.Random) -> dict[str, Any]:
    """The state of the draws, as plain lists and numbers for a checkpoint."""
    version, internal, gauss = draws.getstate()
    return {"random": [version, list(internal), gauss]}


def restore_draws(draws: random.Random, state: dict[str, Any]) -> None:
    """Take up where ``draws_state`` was taken."""
    version, internal, gauss = state["random"]
    draws.setstate((version, tuple(internal), gauss))


def entropy_of(probabilities: Iterable[float]) -> float:
    """In nats; what has probability 0 adds nothing."""
    return -sum(share * math.log(share) for share in probabilities if share > 0)
