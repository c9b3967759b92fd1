"""Every hyperparameter of the reference trainer, in one place."""

from __future__ import annotations

import math

import msgspec

from esper.leyline.errors import TelemetryUsageError

__all__ = ["VALIDATION_IMAGES", "PPOConfig", "TrainConfig"]

DIGITS_IMAGES = 1797
"""Images in scikit-learn's digits."""
VALIDATION_IMAGES = 400
"""Images held back to measure accuracy, so that one image is exactly 0.0025 of it."""
WIDEST = 4096
"""Channels or units of a layer. More is a slip of the hand, and would fill the memory."""


def _check(config: msgspec.Struct, checks: list[tuple[str, str, bool]], prefix: str = "") -> None:
    wrong = [
        f"{prefix}{name} must be {allowed}, not {getattr(config, name)!r}"
        for name, allowed, fine in checks
        if not fine
    ]
    if wrong:
        raise TelemetryUsageError("; ".join(wrong))


class PPOConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--policy ppo`` learns with; see ``esper.simic.ppo``.

    Raises:
        TelemetryUsageError: if a value can't be; one line names every such field.
    """

    lr: float = 0.004
    """Learning rate of actor and critic (Adam). High, because an episode of all environments is one batch."""
    gamma: float = 0.95
    """Discount of rewards. What an op does to the loss shows within some 20 epochs; the rest is noise."""
    gae_lambda: float = 0.8
    """How far advantages trust rewards (1) rather than the critic (0)."""
    clip_range: float = 0.2
    """Beyond 1 plus or minus this, a change of an action's probability gains nothing more."""
    update_epochs: int = 10
    """Passes over a batch, unless ``target_kl`` ends them sooner."""
    minibatch_size: int = 64
    """Decisions of one gradient step."""
    target_kl: float = 0.03
    """KL divergence from the old policy, in nats, beyond which a batch has taught enough."""
    warmup_updates: int = 1
    """Batches from which only the critic learns: over an untrained critic, advantages are noise."""
    entropy_coef: float = 0.003
    """Weight of the entropy of op and slot, which keeps the policy trying."""
    value_coef: float = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: float = 0.5
    """Gradients longer than this are cut to it."""
    hidden: int = 64
    """Width of both layers of actor and critic."""

    def __post_init__(self) -> None:
        positive = ("lr", "clip_range", "target_kl", "max_grad_norm")
        _check(
            self,
            [
                *((name, "above 0 and finite", 0 < getattr(self, name) < math.inf) for name in positive),
                *((name, "0 to 1", 0 <= getattr(self, name) <= 1) for name in ("gamma", "gae_lambda")),
                *(
                    (name, "0 or more and finite", 0 <= getattr(self, name) < math.inf)
                    for name in ("entropy_coef", "value_coef", "warmup_updates")
                ),
                *(
                    (name, "at least 1", getattr(self, name) >= 1)
                    for name in ("update_epochs", "minibatch_size", "hidden")
                ),
                ("hidden", f"at most {WIDEST}", self.hidden <= WIDEST),
            ],
            "ppo.",
        )


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
    blueprints: tuple[str, ...] = ("conv_ladder", "conv_ladder", "conv_light")
    """What a policy plants, by the slot's place in the row, the last for all that follow. Empty: nothing can
    be planted, and the host learns alone, as the control of an experiment."""
    intervention_cost: float = 0.005
    """What each GROW or SHRINK takes off the reward, as accuracy (a fraction)."""
    param_rent: float = 0.001
    """What active seed parameters take off each reward, per host's worth of them. Without it nothing
    would ever speak for SHRINK."""
    exploration: float = 0.05
    """Probability with which ``heuristic`` and ``oscillate`` do something else than they prefer."""
    holdout: float = 0.0
    """Probability with which a GROW or SHRINK that the policy chose is held back; see ``Holdout``."""
    shared_hosts: bool = False
    """Whether environment i is one and the same on every rank: one decision, rank 0's, and one network, of
    which each rank trains on its share of each batch. Otherwise each rank has environments of its own."""
    window_size: int = 50
    """Ops of a slot that its anti-thrash metrics look back on."""
    checkpoint_every: int = 10
    """Epochs, counted over all episodes, from one checkpoint to the next."""
    threads: int = 1
    """Threads of each process for tensor work. The tensors are so small that a second one gains nothing."""
    ppo: PPOConfig = PPOConfig()
    """Of the policy that learns; the others have no use for it."""

    def __post_init__(self) -> None:
        _check(self, self._checks())

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
            ("channels", f"at most {WIDEST}", self.channels <= WIDEST),
            ("lr", "above 0 and finite", 0 < self.lr < math.inf),
            ("train_images", f"1 to {most}", 1 <= self.train_images <= most),
            *((name, "0 or more and finite", 0 <= getattr(self, name) < math.inf) for name in at_least_zero),
            ("exploration", "0 to 1", 0 <= self.exploration <= 1),
            ("holdout", "0 to under 1", 0 <= self.holdout < 1),
        ]

    @property
    def shares(self) -> bool:
        """Whether several ranks need each other while they train."""
        return self.shared_hosts or self.policy == "ppo"

    @property
    def slot_ids(self) -> list[str]:
        """The slots of every host, in the order in which an image passes them."""
        return [f"r0c{index}" for index in range(self.n_slots)]
