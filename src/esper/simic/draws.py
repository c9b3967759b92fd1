"""What a draw by Python's own random numbers needs: its state in a checkpoint, the entropy of its odds."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

__all__ = ["draws_state", "entropy_of", "restore_draws"]


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
