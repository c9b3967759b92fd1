"""Every hyperparameter of the reference trainer, in one place."""

from __future__ import annotations

import math

import msgspec

from esper.leyline.errors import TelemetryUsageError

__all__ = ["VALIDATION_IMAGES", "TrainConfig"]

DIGITS_IMAGES = 1797
"""Images in scikit-learn's digits."""
VALIDATION_IMAGES = 400
"""Images held back to measure accuracy, so that one image is exactly 0.0025 of it."""


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a training is made of; the same config on the same machine gives the same training.

    Raises:
        TelemetryUsageError: if a value can't be; one line names every such field.
    """

    policy: str = "heuristic"
    """Name of the policy; see ``esper.simic.policies.POLICIES``."""
    seed: int = 0
    """From which every random number follows, 0 to 2**63 - 1."""
    n_envs: int = 2
    """Environments of each rank; they advance in lockstep."""
    n_episodes: int = 4
    """Episodes of each environment; each starts with a new host and empty slots."""
    max_epochs: int = 34
    """Epochs of an episode; the policy decides once before each, in each environment."""
    n_slots: int = 3
    """Slots of a host, named r0c0, r0c1, ..."""
    max_level: int = 4
    """Blocks on each ladder."""
    channels: int = 8
    """Width of the host's feature maps."""
    lr: float = 0.003
    """Learning rate of host and seeds (Adam)."""
    batch_size: int = 64
    """Images of one optimizer step."""
    train_images: int = 512
    """Images that an epoch goes over once, the same in every environment. Few, so that an epoch is
    cheap and the network has something left to learn."""
    intervention_cost: float = 0.005
    """What each GROW or SHRINK takes off the reward, as accuracy (a fraction)."""
    param_rent: float = 0.001
    """What active seed parameters take off each reward, per host's worth of them. Without it nothing
    would ever speak for SHRINK."""
    exploration: float = 0.05
    """Probability with which ``heuristic`` and ``oscillate`` do something else than they prefer."""
    window_size: int = 50
    """Ops of a slot that its anti-thrash metrics look back on."""
    checkpoint_every: int = 10
    """Epochs, counted over all episodes, from one checkpoint to the next."""
    threads: int = 1
    """Threads of each process for tensor work. The tensors are so small that a second one gains nothing."""

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be {allowed}, not {getattr(self, name)!r}"
            for name, allowed, fine in self._checks()
            if not fine
        ]
        if wrong:
            raise TelemetryUsageError("; ".join(wrong))

    def _checks(self) -> list[tuple[str, str, bool]]:
        counts = (
            "n_envs", "n_episodes", "max_epochs", "n_slots", "max_level", "channels", "batch_size",
            "window_size", "checkpoint_every", "threads",
        )  # fmt: skip
        at_least_zero = ("intervention_cost", "param_rent")
        most = DIGITS_IMAGES - VALIDATION_IMAGES
        return [
            ("seed", "0 to 2**63 - 1", 0 <= self.seed < 2**63),
            *((name, "at least 1", getattr(self, name) >= 1) for name in counts),
            ("lr", "above 0 and finite", 0 < self.lr < math.inf),
            ("train_images", f"1 to {most}", 1 <= self.train_images <= most),
            *((name, "0 or more and finite", 0 <= getattr(self, name) < math.inf) for name in at_least_zero),
            ("exploration", "0 to 1", 0 <= self.exploration <= 1),
        ]

    @property
    def slot_ids(self) -> list[str]:
        """The slots of every host, in the order in which an image passes them."""
        return [f"r0c{index}" for index in range(self.n_slots)]
