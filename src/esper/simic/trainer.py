"""The reference training: a policy grows and shrinks small networks, and the recorder writes it all down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import torch

from esper.leyline.events import RankSink
from esper.simic.checkpoint import UnwrittenError, discard_checkpoints, load_checkpoint, save_checkpoint
from esper.simic.config import TrainConfig
from esper.simic.distributed import Alone, Group, World
from esper.simic.draws import derived_seed
from esper.simic.environment import Environment, Outcome
from esper.simic.holdout import Holdout
from esper.simic.policies import make_policy
from esper.simic.slot_reporter import SlotReporter
from esper.simic.tally import Tally
from esper.simic.training.recorder import InternalOpRecorder

__all__ = ["Progress", "train"]

_log = logging.getLogger("karn")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands after an epoch of all environments; means are over this rank's."""

    episode: int
    """From 0."""
    n_episodes: int
    epoch: int
    """Epochs completed in this episode."""
    max_epochs: int
    accuracy: float
    """Mean validation accuracy, a fraction."""
    loss: float
    """Mean validation loss."""
    params: float
    """Mean active parameters of host and seeds."""
    reward: float
    """Mean reward of the epoch."""
    op_counts: Mapping[str, int]
    """Decisions since this process began, by op name, all environments together."""
    reversal_rate: float | None
    """Share of this process's level changes that went back on the one before; None before the first pair."""

    @property
    def done(self) -> int:
        """Epochs completed over all episodes."""
        return self.episode * self.max_epochs + self.epoch

    @property
    def total(self) -> int:
        """Epochs of the whole training."""
        return self.n_episodes * self.max_epochs


def train(
    config: TrainConfig,
    sink: RankSink,
    *,
    world: World | None = None,
    group: Group | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
    checkpoint_path: Path | None = None,
    resume: bool = False,
) -> None:
    """Train every environment of this rank through all episodes.

    Each of several ranks has environments and files of its own. They share the policy where it learns, and
    their networks and decisions where ``config.shared_hosts``; else nothing.

    Args:
        config: of the training.
        sink: where the events go; ``for_env`` gets this rank's environment index, from 0.
        world: this process among the ranks; a single one where None.
        group: what the ranks share things through; needed where ``config.shares``.
        on_epoch: called after each epoch of all environments, its checkpoint already written.
        checkpoint_path: this rank's own file; written at the start, in place of any that an earlier training
            left there, as ``config.checkpoint_every`` says, and at the end.
        resume: go on from ``checkpoint_path``. What follows equals an uninterrupted training.

    Raises:
        NotFoundError: if there is no such policy.
        CheckpointError: if ``resume`` finds no checkpoint, a damaged one or that of another config or world.
            Or if the first one can't be written. Nothing was emitted in any of these cases.
    """
    with _threads(config.threads):
        training = _Training(config, sink, world or World(), group or Alone())
        if resume:
            training.load(checkpoint_path)
        training.run(on_epoch, checkpoint_path)


class _Training:
    """All that changes while a rank trains."""

    def __init__(self, config: TrainConfig, sink: RankSink, world: World, group: Group) -> None:
        self.config = config
        self.world = world
        self.group = group
        self.hosts = group if config.shared_hosts else Alone()
        """The ranks that hold the same networks."""
        self.decides = self.hosts.rank == 0
        """Whether this rank's policy decides; where ranks share their hosts, rank 0's does for all."""
        self.policy = make_policy(
            config,
            derived_seed(config.seed, "policy", world.rank),
            Alone() if config.shared_hosts else group,
        )
        self.holdout = Holdout(config.holdout, derived_seed(config.seed, "holdout", world.rank))
        self.recorder = InternalOpRecorder(
            sink, window_size=config.window_size, intervention_cost=config.intervention_cost
        )
        self.tally = Tally()
        # Seeds count environments over all ranks, so that no two of them share their random numbers.
        first = 0 if config.shared_hosts else world.rank * config.n_envs
        self.envs = [
            Environment(
                config,
                index,
                derived_seed(config.seed, "env", first + index),
                SlotReporter(self.recorder, self.tally, index),
                self.hosts,
            )
            for index in range(config.n_envs)
        ]
        self.episode = 0
        self.epoch = 0
        """Epochs completed in this episode."""
        self.resumed = False
        self.unwritten = False
        """Whether the last checkpoint that was due could not be written."""
        self.kept = 0, 0
        """Episode and epoch of the newest checkpoint."""

    def run(self, on_epoch: Callable[[Progress], None] | None, checkpoint_path: Path | None) -> None:
        config = self.config
        if checkpoint_path is not None and not self.resumed:
            # One from the start: a training that is killed before the next one can be resumed all the same.
            discard_checkpoints(checkpoint_path, self.group)
            save_checkpoint(checkpoint_path, config, self._state_dict(), self.group, self.world)
        with self.recorder:
            self._report_start()
            while self.episode < config.n_episodes:
                while self.epoch < config.max_epochs:
                    outcomes = self._train_epoch()
                    progress = self._progress(outcomes)
                    last = progress.done == progress.total
                    due = last or progress.done % config.checkpoint_every == 0
                    if checkpoint_path is not None and due:
                        self._save(checkpoint_path, last=last)
                    if on_epoch is not None:
                        on_epoch(progress)
                for env in self.envs:
                    self.recorder.episode_end(env.index, outcome="timeout")
                    env.reset()
                self.tally.episode_ended()
                learned = self.policy.episode_ended() if self.decides else None
                if learned is not None:
                    self.recorder.policy_updated(learned)
                self.episode, self.epoch = self.episode + 1, 0

    def _save(self, path: Path, *, last: bool) -> None:
        """A checkpoint, if there is room for one: a full disk is no reason to lose a training."""
        try:
            save_checkpoint(path, self.config, self._state_dict(), self.group, self.world)
        except UnwrittenError as error:
            if last and self.group.rank == 0:
                _log.warning(
                    "%s; the end of the training was not kept: the newest checkpoint is of episode %d "
                    "epoch %d, and --resume with more episodes would train again from there",
                    error,
                    *self.kept,
                )
            elif not self.unwritten and self.group.rank == 0:
                _log.warning("%s; the training goes on, and the next one is tried when it is due", error)
            self.unwritten = True
        else:
            self.unwritten = False
            self.kept = self.episode, self.epoch

    def _train_epoch(self) -> list[Outcome]:
        """One decision and one epoch of every environment, in lockstep."""
        decisions = self.hosts.broadcast(
            [self.holdout.apply(self.policy.decide(env.observe())) for env in self.envs]
            if self.decides
            else []
        )
        outcomes = []
        for env, decision in zip(self.envs, decisions, strict=True):
            self.tally.ops[decision.op.name] += 1
            self.recorder.decision(
                env.index,
                decision.slot,
                decision.op,
                probability=decision.probability,
                entropy=decision.entropy,
                legal_ops=decision.legal_ops,
                op_probs=decision.op_probs,
                slot_probs=decision.slot_probs,
                value_estimate=decision.value,
                blueprint=decision.blueprint,
                intended_op=decision.intended_op,
                intended_slot=decision.intended_slot,
                holdout_probability=decision.holdout_probability,
            )
            # What the decision does in a slot reaches the recorder from there, through SlotReporter.
            outcome = env.step(decision)
            self.recorder.epoch_end(
                env.index,
                self.epoch + 1,
                outcome.loss,
                outcome.accuracy,
                params=outcome.params,
                reward=outcome.reward,
                train_loss=outcome.train_loss,
                train_accuracy=outcome.train_accuracy,
            )
            if self.decides:
                self.policy.rewarded(env.index, outcome.reward)
            outcomes.append(outcome)
        self.epoch += 1
        return outcomes

    def _report_start(self) -> None:
        config = self.config
        self.recorder.training_started(
            task="digits",
            policy=config.policy,
            seed=config.seed,
            n_envs=config.n_envs,
            n_episodes=config.n_episodes,
            max_epochs=config.max_epochs,
            lr=config.lr,
            host_params=self.envs[0].host.own_param_count,
            slot_ids=config.slot_ids,
            policy_device="cpu",
            rank=self.world.rank,
            world_size=self.world.world_size,
            resumed_from_episode=self.episode if self.resumed else None,
            resumed_from_epoch=self.epoch if self.resumed else None,
            config=msgspec.to_builtins(config),
        )

    def load(self, checkpoint_path: Path | None) -> None:
        """Take up where the checkpoint was written: after an epoch, before the next decision."""
        state = load_checkpoint(checkpoint_path, self.config, self.group, self.world)
        self.episode, self.epoch = self.kept = state["episode"], state["epoch"]
        self.policy.load_state_dict(state["policy"])
        self.holdout.load_state_dict(state["holdout"])
        self.recorder.load_state_dict(state["recorder"])
        for env, saved in zip(self.envs, state["envs"], strict=True):
            env.load_state_dict(saved)
        self.resumed = True

    def _state_dict(self) -> dict[str, Any]:
        return {
            "episode": self.episode,
            "epoch": self.epoch,
            "policy": self.policy.state_dict(),
            "holdout": self.holdout.state_dict(),
            "recorder": self.recorder.state_dict(),
            "envs": [env.state_dict() for env in self.envs],
        }

    def _progress(self, outcomes: list[Outcome]) -> Progress:
        return Progress(
            episode=self.episode,
            n_episodes=self.config.n_episodes,
            epoch=self.epoch,
            max_epochs=self.config.max_epochs,
            accuracy=fmean(outcome.accuracy for outcome in outcomes),
            loss=fmean(outcome.loss for outcome in outcomes),
            params=fmean(outcome.params for outcome in outcomes),
            reward=fmean(outcome.reward for outcome in outcomes),
            op_counts=dict(self.tally.ops),
            reversal_rate=self.tally.reversal_rate,
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
