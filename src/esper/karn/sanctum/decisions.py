"""What the policy decided when: it tells which ops a resumed training took back without a word."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

import msgspec

from esper.karn.sanctum.slot_log import CHANGED, FOSSILIZED, GERMINATED, PRUNED, SlotEvent
from esper.karn.sanctum.state import Position
from esper.karn.sanctum.timeline import code
from esper.leyline.actions import LifecycleOp

_ACTIONS = {op.name: int(op) for op in LifecycleOp}
_DONE = {
    GERMINATED: LifecycleOp.GERMINATE,
    PRUNED: LifecycleOp.PRUNE,
    FOSSILIZED: LifecycleOp.FOSSILIZE,
}
_DECISION = Struct("<qIIB")


class Decided(msgspec.Struct, tag_field="kind", tag="last_action"):
    """As much of a decision as matters here; the whole one has too much to be read for each."""

    action_name: str | None = None
    env_id: int | None = None
    episode_idx: int | None = None
    slot_id: str | None = None


_decoder = msgspec.json.Decoder(Decided, strict=False)


def decode_decision(raw: msgspec.Raw) -> Decided | None:
    """An ANALYTICS_SNAPSHOT's data, None if it is no decision."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError:
        return None


class _Decision(NamedTuple):
    place: int
    attempt: int
    slot: int
    action: int


class DecisionLog:
    """The decisions of one environment."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, position: Position, attempt: int, slot: int, action: str | None) -> None:
        """Take in a decision.

        Args:
            position: where it was made.
            attempt: which process made it.
            slot: number of the slot's name.
            action: name of the action.
        """
        if action not in _ACTIONS:
            action = LifecycleOp.NOOP.name  # like another one, it does nothing to a slot
        self._data += _DECISION.pack(code(position), attempt, slot, _ACTIONS[action])

    def decided_otherwise(
        self, point: Position, attempt: int, done: Iterable[tuple[int, SlotEvent]]
    ) -> set[int]:
        """The kinds of events at a resume point of which some were not decided again.

        A checkpoint made before a decision lets the policy be asked again; then only what it decides
        again was done. One made after it brings the same decision again: then what was done stands.

        Args:
            point: the last epoch that the checkpoint held.
            attempt: the process that was started from it.
            done: what earlier processes did at the point, each with the number of its slot's name.
        """
        place = code(point)
        here = [
            decision
            for decision in map(_Decision._make, _DECISION.iter_unpack(bytes(self._data)))
            if decision.place == place
        ]
        again = {(decision.slot, decision.action) for decision in here if decision.attempt == attempt}
        kinds: set[int] = set()
        for slot, event in done:
            what = slot, _action(event)
            before = {(old.slot, old.action) for old in here if old.attempt == event.attempt}
            if again and what not in again and (what in before or not before):
                kinds.add(event.kind)
        return kinds


def _action(event: SlotEvent) -> int:
    if event.kind == CHANGED:
        grew = event.to_level > event.from_level
        return LifecycleOp.GROW_INTERNAL if grew else LifecycleOp.SHRINK_INTERNAL
    return _DONE[event.kind]
