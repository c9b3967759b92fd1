"""What the recorder remembers of each environment between two calls."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from esper.leyline.payloads import DecisionPayload
from esper.simic.training.internal_op_tracker import InternalOpTracker


@dataclass(slots=True)
class SlotState:
    """The seed in a slot. ``level`` and ``max_level`` are None where it has no levels."""

    seed_id: str
    level: int | None
    max_level: int | None
    blueprint: str | None
    kind: int
    active_params: int | None
    added_at: int
    """Epoch within the episode."""


@dataclass(slots=True)
class HeldDecision:
    """A decision whose reward is still to come."""

    payload: DecisionPayload
    seed_id: str | None


@dataclass(slots=True)
class EnvState:
    """One environment: its place in the episode, its last validation state, its seeds and counts."""

    tracker: InternalOpTracker
    episode: int = 0
    epoch: int = 0
    """The epoch that was completed last; 0 before the first."""
    epochs: int = 0
    """Epochs completed in this episode."""
    loss: float | None = None
    accuracy: float | None = None
    params: int | None = None
    slots: dict[str, SlotState] = field(default_factory=dict)
    held: list[HeldDecision] = field(default_factory=list)
    last_probability: dict[str, float | None] = field(default_factory=dict)
    """By slot, of the decisions since the last epoch end."""
    decisions: int = 0
    """Decisions since the last epoch end."""
    noops: int = 0
    """NOOPs among them."""
    changes: int = 0
    """Seeds added, removed or moved to another level since the last epoch end."""
    seeds_planted: int = 0
    episode_reward: float = 0.0
    germinated: int = 0
    pruned: int = 0
    fossilized: int = 0
    grown: int = 0
    shrunk: int = 0

    @property
    def was_left_alone(self) -> bool:
        """Whether the policy did nothing since the last epoch end, and nothing else changed a seed."""
        return self.decisions > 0 and self.decisions == self.noops and self.changes == 0

    def next_epoch(self, epoch: int, loss: float | None, accuracy: float | None, params: int | None) -> None:
        """Take up the state after an epoch."""
        self.epoch, self.loss, self.accuracy, self.params = epoch, loss, accuracy, params
        self.epochs += 1
        self.decisions = self.noops = self.changes = 0
        self.last_probability.clear()

    def next_episode(self, *, keep_seeds: bool) -> EnvState:
        """The environment in its next episode: nothing is carried over but, if told so, the seeds."""
        slots = self.slots if keep_seeds else {}
        for seed in slots.values():
            seed.added_at = 0
        self.tracker.reset()
        return EnvState(self.tracker, episode=self.episode + 1, slots=slots, seeds_planted=self.seeds_planted)

    def state_dict(self) -> dict[str, Any]:
        """This environment as plain lists, dicts and numbers."""
        plain = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("tracker", "slots", "held", "last_probability")
        }
        return plain | {
            "tracker": self.tracker.state_dict(),
            "slots": {slot: asdict(seed) for slot, seed in self.slots.items()},
            "held": [[msgspec.to_builtins(held.payload), held.seed_id] for held in self.held],
            "last_probability": dict(self.last_probability),
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], window_size: int) -> EnvState:
        """The environment that ``state_dict`` described."""
        tracker = InternalOpTracker(window_size)
        tracker.load_state_dict(state["tracker"])
        return cls(
            **state
            | {
                "tracker": tracker,
                "slots": {slot: SlotState(**seed) for slot, seed in state["slots"].items()},
                "held": [HeldDecision(_decision(fields), seed_id) for fields, seed_id in state["held"]],
                "last_probability": dict(state["last_probability"]),
            }
        )


def _decision(fields: dict[str, Any]) -> DecisionPayload:
    # msgspec.convert would refuse the NaN of a diverging run; these fields were checked when written.
    return DecisionPayload(**{name: value for name, value in fields.items() if name != "kind"})
