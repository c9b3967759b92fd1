"""One environment as it was at a moment."""

from __future__ import annotations

from typing import NamedTuple

from esper.karn.sanctum.env_log import EnvLog
from esper.karn.sanctum.records import unpacked
from esper.karn.sanctum.slot_log import SlotLog
from esper.karn.sanctum.state import Position


class Moment(NamedTuple):
    """An environment and a tick of its timeline; None for now."""

    rank: int
    env_id: int | None
    env: EnvLog
    tick: int | None

    def thrash_start(self, slot: SlotLog) -> Position | None:
        """Where a slot of this environment began to thrash; None if it doesn't, or nothing says where."""
        number = slot.counter.thrash_start(slot.n_ops(slot.events.end(self.tick)))
        if number is None:
            return None
        first = slot.op(number)
        episode, epoch = unpacked(first.episode), unpacked(first.epoch)
        return None if episode is None or epoch is None else (episode, epoch)
