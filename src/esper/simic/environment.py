"""One environment: a slotted host that learns digits while a policy changes what is in its slots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from esper.kasmina import SeedObserver, SeedSlot, Stage
from esper.leyline.actions import LifecycleOp
from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import TrainConfig
from esper.simic.decisions import Decision, Observation, SlotView
from esper.simic.digits import load_digits
from esper.simic.distributed import Alone, Group
from esper.simic.host import SlottedHost

__all__ = ["Environment", "Outcome"]

HOST = "host"
"""Key of the host's own optimizer; the others are keyed by their slot."""
DIGITS_KEPT = 6
"""Decimals of a reported loss. Single precision has no more, and the files are smaller for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one epoch came to. Losses are cross-entropies in nats, accuracies fractions."""

    loss: float
    accuracy: float
    train_loss: float
    train_accuracy: float
    params: int
    """Active parameters of host and seeds."""
    reward: float


@dataclass(slots=True)
class _SlotMemory:
    """What an environment remembers of a slot beyond the seed in it; see SlotView."""

    age: int = 0
    last_direction: int = 0
    regrown: bool = False
    epochs_since_op: int = 0
    loss_at_op: float | None = None
    loss_at_birth: float | None = None


class Environment:
    """A host, its slots, its optimizers and its own random numbers.

    Args:
        config: of the training.
        index: this rank's environment index, from 0.
        seed: of everything random here; different in every environment of every rank, but for shared hosts.
        observer: told of everything that happens in a slot.
        group: the ranks that hold this same environment. Each trains on its share of every batch, with
            gradients averaged over all; seed and decisions must be the same on each.
    """

    def __init__(
        self,
        config: TrainConfig,
        index: int,
        seed: int,
        observer: SeedObserver,
        group: Group | None = None,
    ) -> None:
        self.index = index
        self._group = group or Alone()
        self._config = config
        self._digits = load_digits(config.train_images)
        self._observer = observer
        self._generator = torch.Generator().manual_seed(seed)
        never = {LifecycleOp.NOOP} if config.blueprints else {LifecycleOp.NOOP, LifecycleOp.GERMINATE}
        self._possible = [op for op in LifecycleOp if op not in never]
        self._start()

    def reset(self) -> None:
        """Begin an episode: a new untrained host with empty slots."""
        self._start()

    def _start(self) -> None:
        config = self._config
        with self._seeded():
            self.host = SlottedHost(config.slot_ids, config.channels, config.max_level, self._observer)
        self._optimizers = {HOST: self._optimizer(self.host.own_parameters)}
        self._memory = {slot_id: _SlotMemory() for slot_id in config.slot_ids}
        loss, self.accuracy = self._evaluate()
        self._losses = [loss]

    def observe(self) -> Observation:
        """What a policy sees before it decides."""
        return Observation(
            env=self.index,
            epoch=len(self._losses) - 1,
            max_epochs=self._config.max_epochs,
            losses=tuple(self._losses),
            accuracy=self.accuracy,
            slots=tuple(self._view(self.host.slot(slot_id)) for slot_id in self._config.slot_ids),
        )

    def step(self, decision: Decision) -> Outcome:
        """Carry out a decision, train for one epoch and see what it came to.

        The reward is the accuracy gained over the epoch, less ``intervention_cost`` for a GROW or SHRINK,
        less ``param_rent`` for each host's worth of seed parameters.

        Raises:
            TelemetryUsageError: if the decision is one that the mask forbids; nothing has changed then.
        """
        self._apply(decision)
        train_loss, train_accuracy = self._train_epoch()
        accuracy_before = self.accuracy
        loss, self.accuracy = self._evaluate()
        self._losses.append(loss)
        seed_params = self.host.seed_param_count()
        own_params = self.host.own_param_count
        cost = self._config.intervention_cost if decision.op.is_internal else 0.0
        rent = self._config.param_rent * seed_params / own_params
        return Outcome(
            loss=loss,
            accuracy=self.accuracy,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            params=own_params + seed_params,
            reward=self.accuracy - accuracy_before - cost - rent,
        )

    def _apply(self, decision: Decision) -> None:
        if decision.op == LifecycleOp.NOOP:
            return
        if decision.slot not in self._memory or not self.host.slot(decision.slot).allows(decision.op):
            raise TelemetryUsageError(
                f"env {self.index}: {decision.op.name} on slot {decision.slot!r} is not legal now; "
                "a policy must keep to Observation.legal()"
            )
        slot = self.host.slot(decision.slot)
        if decision.op == LifecycleOp.GERMINATE:
            self._germinate(slot, decision.blueprint or "conv_ladder")
        elif decision.op == LifecycleOp.PRUNE:
            slot.prune()
            del self._optimizers[slot.slot_id]
        elif decision.op == LifecycleOp.FOSSILIZE:
            slot.fossilize()
        else:
            self._move(slot, decision.op)
        memory = self._memory[slot.slot_id]
        memory.epochs_since_op, memory.loss_at_op = 0, self._losses[-1]

    def _germinate(self, slot: SeedSlot, blueprint: str) -> None:
        with self._seeded():
            slot.germinate(blueprint)
        self._memory[slot.slot_id] = _SlotMemory(loss_at_birth=self._losses[-1])
        self._optimizers[slot.slot_id] = self._seed_optimizer(slot)

    def _move(self, slot: SeedSlot, op: LifecycleOp) -> None:
        memory = self._memory[slot.slot_id]
        if op == LifecycleOp.GROW_INTERNAL:
            slot.grow()
            memory.regrown = memory.regrown or memory.last_direction < 0
            memory.last_direction = 1
        else:
            slot.shrink()
            memory.last_direction = -1

    def _train_epoch(self) -> tuple[float, float]:
        """Go over the training images once; mean loss and accuracy while doing so, over all ranks' shares."""
        images, labels = self._digits.train_images, self._digits.train_labels
        for slot_id in self._config.slot_ids:
            self.host.slot(slot_id).begin_training()
        order = torch.randperm(len(labels), generator=self._generator)
        rank, ranks = self._group.rank, self._group.world_size
        total_loss, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for batch in torch.split(order, self._config.batch_size):
            share = batch[rank::ranks]
            for optimizer in self._optimizers.values():
                optimizer.zero_grad()
            if len(share):  # the last batch may have fewer images than there are ranks
                logits = self.host(images[share])
                loss = nn.functional.cross_entropy(logits, labels[share])
                # Weighed by the size of its share, the mean over ranks is that over the images of the batch.
                weighed = loss * (len(share) * ranks / len(batch))
                weighed.backward()  # type: ignore[no-untyped-call]
                total_loss += loss.detach() * len(share)
                correct += (logits.argmax(1) == labels[share]).sum()
            self._average_gradients()
            for optimizer in self._optimizers.values():
                optimizer.step()
        for memory in self._memory.values():
            memory.age += 1
            memory.epochs_since_op += 1
        totals = torch.stack([total_loss.double(), correct.double()])
        self._group.mean_([totals])
        loss_sum, n_correct = (totals * ranks).tolist()
        return round(loss_sum / len(labels), DIGITS_KEPT), round(n_correct) / len(labels)

    def _average_gradients(self) -> None:
        """Give every rank the gradients of the whole batch, from those of its share."""
        if self._group.world_size == 1:
            return
        # What trains follows from the decisions, so that it is the same on all ranks, in the same order.
        training = [parameter for parameter in self.host.parameters() if parameter.requires_grad]
        gradients = []
        for parameter in training:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        self._group.mean_(gradients)

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        """Loss and accuracy over the validation images."""
        logits = self.host(self._digits.val_images)
        labels = self._digits.val_labels
        loss = nn.functional.cross_entropy(logits, labels)
        return round(float(loss), DIGITS_KEPT), int((logits.argmax(1) == labels).sum()) / len(labels)

    def _view(self, slot: SeedSlot) -> SlotView:
        seed = slot.seed
        return SlotView(
            slot_id=slot.slot_id,
            legal=frozenset(op for op in self._possible if slot.allows(op)),
            blueprint=slot.blueprint,
            fossilized=slot.stage == Stage.FOSSILIZED,
            level=None if seed is None else seed.level,
            max_level=None if seed is None else seed.max_level,
            **asdict(self._memory[slot.slot_id]),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs: weights, optimizers, random numbers, slots, history.

        Its tensors are the live ones: write or copy it before the next step.
        """
        slots = {}
        for slot_id, memory in self._memory.items():
            slot = self.host.slot(slot_id)
            slots[slot_id] = {
                "blueprint": slot.blueprint,
                "stage": None if slot.stage is None else slot.stage.value,
                "level": None if slot.seed is None else slot.seed.level,
                "memory": asdict(memory),
            }
        return {
            "slots": slots,
            "host": self.host.state_dict(),
            "optimizers": {key: optimizer.state_dict() for key, optimizer in self._optimizers.items()},
            "generator": self._generator.get_state(),
            "losses": list(self._losses),
            "accuracy": self.accuracy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken; the observer hears nothing of it."""
        self._optimizers = {HOST: self._optimizers[HOST]}
        for slot_id, saved in state["slots"].items():
            slot = self.host.slot(slot_id)
            slot.restore(saved["blueprint"], saved["stage"], saved["level"])
            self._memory[slot_id] = _SlotMemory(**saved["memory"])
            if slot.seed is not None:
                self._optimizers[slot_id] = self._seed_optimizer(slot)
        self.host.load_state_dict(state["host"])
        for key, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
        self._generator.set_state(state["generator"])
        self._losses, self.accuracy = list(state["losses"]), state["accuracy"]

    def _seed_optimizer(self, slot: SeedSlot) -> torch.optim.Optimizer:
        assert slot.seed is not None
        # All blocks at once: those that are not in use have no gradient, and are passed over.
        return self._optimizer(list(slot.seed.parameters()))

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self._config.lr, fused=True)

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Draw new weights from this environment's own random numbers, not from torch's global ones."""
        seed = int(torch.randint(2**62, (), generator=self._generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
