"""Reads the slots' counts from the histories."""

from __future__ import annotations

from collections import defaultdict

from esper.karn.diagnosis import SlotCounts
from esper.karn.sanctum.env_log import EnvLog
from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.slot_log import SlotLog


class CountReader:
    """Reads counts from the histories; those of a slot that has not changed only once."""

    def __init__(self) -> None:
        self._known: dict[EnvLog, tuple[int, list[SlotCounts]]] = {}
        self._slots: defaultdict[SlotLog, tuple[tuple[int, int], SlotCounts | None]] = defaultdict(
            lambda: ((-1, -1), None)
        )
        """What a slot's counts depend on, and its counts; None without an op."""

    def read(self, moment: Moment) -> list[SlotCounts]:
        """The counts of an environment's slots that had an op."""
        env = moment.env
        if moment.tick is not None:
            return [
                slot.counter.counts(moment.env_id, slot_id, n_ops)
                for slot_id, slot in env.slots.items()
                if (n_ops := slot.n_ops(slot.events.end(moment.tick)))
            ]
        if env not in self._known or self._known[env][0] != env.version:
            self._known[env] = (env.version, self._read_now(moment))
        return self._known[env][1]

    def _read_now(self, moment: Moment) -> list[SlotCounts]:
        slots, found = self._slots, []
        for slot_id, slot in moment.env.slots.items():
            cause, counts = slots[slot]
            if cause != (now := (slot.withdrawals, len(slot.events.ticks))):
                counter = slot.counter
                counts = counter.counts(moment.env_id, slot_id) if counter.n_ops else None
                slots[slot] = now, counts
            if counts is not None:
                found.append(counts)
        return found
