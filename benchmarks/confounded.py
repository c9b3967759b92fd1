"""Simulated trainings whose op has a known effect, and a policy that chooses it where little changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from esper.karn.diagnosis.op_effect import RANDOMISED, WEIGHTED, EpisodeSums
from esper.karn.effects import Decisions, episode_sums

Floats = NDArray[np.float64]

EPOCHS = 30
"""Of an episode."""
EFFECT = 0.004
"""Of the op on the accuracy's change over an epoch: half of it far from a plateau, 1.5 times it on one."""
LOSS_FOR_ACCURACY = -2.5
PLATEAU = 0.004
"""Gain of an epoch at which the policy chooses the op half of the time."""
_NEITHER = -1


class World(NamedTuple):
    """What differs from one simulated training to another."""

    explore: float = 0.1
    """Share of decisions that are drawn from three ops alike."""
    eager: float = 1.0
    """Probability of the op where the policy prefers it: under 1 it is rare."""
    sharp: float = 1.0
    """How suddenly the policy comes to prefer it near a plateau."""
    holdout: float = 0.0


class Run(NamedTuple):
    """Decisions of one training; all arrays have the shape (episodes, EPOCHS)."""

    chosen: NDArray[np.int64]
    """By the policy: 1 the op, 0 NOOP, -1 something else."""
    done: NDArray[np.int64]
    """What was carried out."""
    p_op: Floats
    """Of what is carried out, after the holdout."""
    p_noop: Floats
    accuracy: Floats
    """Change over the next epoch."""
    loss: Floats
    effect: Floats
    """What the op does, or would have done, to the accuracy's change."""


def simulate(rng: np.random.Generator, world: World, episodes: int) -> Run:
    """One training.

    The accuracy gains less with every epoch, at a speed of each episode's own, with shocks that last. The
    policy sees the gain that is coming and prefers the op where it is small, but not within two epochs of
    the last op.
    """
    run = Run(
        *(np.empty((episodes, EPOCHS), dtype=np.int64) for _ in range(2)),
        *(np.empty((episodes, EPOCHS)) for _ in range(5)),
    )
    speed = 0.02 * np.exp(rng.normal(0, 0.35, episodes))
    level = rng.normal(0, 0.001, episodes)
    shock, since = np.zeros(episodes), np.zeros(episodes)
    for epoch in range(EPOCHS):
        shock = 0.6 * shock + rng.normal(0, 0.002, episodes)
        gain = speed * np.exp(-epoch / 8) + level + shock
        near = expit(world.sharp * (PLATEAU - gain) / 0.002)
        effect = EFFECT * (0.5 + near)
        op = world.explore / 3 + (1 - world.explore) * near * world.eager * (since >= 2)
        noop = 1 - op - world.explore / 3
        draw = rng.random(episodes)
        chosen = np.where(draw < op, 1, np.where(draw < op + noop, 0, _NEITHER))
        held_back = (chosen == 1) & (rng.random(episodes) < world.holdout)
        done = np.where(held_back, 0, chosen)
        accuracy = gain + effect * (done == 1) + rng.normal(0, 0.004, episodes)
        loss = LOSS_FOR_ACCURACY * accuracy + rng.normal(0, 0.01, episodes)
        p_op, p_noop = op * (1 - world.holdout), noop + op * world.holdout
        for column, values in zip(run, (chosen, done, p_op, p_noop, accuracy, loss, effect), strict=True):
            column[:, epoch] = values
        since = np.where(done == 1, 0, since + 1)
    return run


def method_of(world: World) -> str:
    """How an effect is told there."""
    return RANDOMISED if world.holdout else WEIGHTED


def true_effect(world: World, *, seed: int = 0) -> float:
    """On the accuracy's change, over the states that the method speaks of; from 20,000 episodes."""
    run = simulate(np.random.default_rng(seed), world, 20_000)
    return float(run.effect[run.chosen == 1].mean() if world.holdout else run.effect.mean())


def sums_of(run: Run, world: World) -> list[EpisodeSums]:
    """What the method makes of a training."""
    episode = np.broadcast_to(np.arange(len(run.done))[:, None], run.done.shape)
    p_op, p_noop = run.p_op, run.p_noop
    states = np.ones(run.done.shape, dtype=bool)
    if world.holdout:
        states = run.chosen == 1
        p_noop = np.full(run.done.shape, world.holdout)
        p_op = 1 - p_noop
    columns = (episode, run.done, p_op, p_noop, run.accuracy, run.loss)
    return episode_sums(
        Decisions(*(column[states] for column in columns)), **({"floor": 0.0} if world.holdout else {})
    )


def naive(run: Run) -> tuple[float, float]:
    """The seed's way: the accuracy's mean change after ops less that after NOOPs, with its standard error."""
    after_op, after_noop = run.accuracy[run.done == 1], run.accuracy[run.done == 0]
    value = after_op.mean() - after_noop.mean()
    return float(value), float(np.sqrt(after_op.var(ddof=1) / len(after_op)))
