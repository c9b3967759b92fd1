"""The latest changes of a run's seeds, for the event log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge, nlargest
from itertools import islice

from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.records import unpacked
from esper.karn.sanctum.slot_log import KINDS, SlotEvent, levels_told
from esper.karn.sanctum.state import LevelChange

CHANGES_KEPT = 200
"""Changes that the event log can show."""

_Change = tuple[SlotEvent, int | None, str]
"""What changed, in which environment and slot."""


class LatestChanges:
    """The latest changes as they come, so that no history is searched for them."""

    def __init__(self) -> None:
        self._new: deque[_Change] = deque(maxlen=CHANGES_KEPT)
        self._known: deque[LevelChange] = deque(maxlen=CHANGES_KEPT)
        self._withdrawals = 0

    def add(self, event: SlotEvent, env_id: int | None, slot_id: str) -> None:
        """Take in one, in file order."""
        self._new.append((event, env_id, slot_id))

    def read(self, moments: Sequence[Moment]) -> tuple[LevelChange, ...]:
        """The newest last.

        Args:
            moments: all environments as they are now; what was taken back of one is searched for anew.
        """
        withdrawals = sum(moment.env.withdrawals for moment in moments)
        if withdrawals != self._withdrawals:
            self._withdrawals = withdrawals
            self._known = deque(latest_changes(moments), CHANGES_KEPT)
        else:
            self._known.extend(map(_level_change, self._new))
        self._new.clear()
        return tuple(self._known)


def latest_changes(moments: Sequence[Moment]) -> tuple[LevelChange, ...]:
    """The latest changes in all environments at any moment, the newest last."""
    slots = [(moment, slot_id) for moment in moments for slot_id in moment.env.slots]
    last = [(change[0].arrival, slot) for slot in slots for change in islice(_changes_backwards(*slot), 1)]
    # Only slots with one of the newest last changes can have one of the newest at all.
    late = nlargest(CHANGES_KEPT, last, key=lambda found: found[0])
    backwards = [_changes_backwards(*slot) for _, slot in late]
    newest = islice(merge(*backwards, key=_arrival, reverse=True), CHANGES_KEPT)
    return tuple(map(_level_change, reversed(list(newest))))


def _level_change(change: _Change) -> LevelChange:
    event, env_id, slot_id = change
    from_level, to_level, max_level = levels_told(event)
    return LevelChange(
        env_id=env_id,
        slot_id=slot_id,
        episode_idx=unpacked(event.episode),
        epoch=unpacked(event.epoch),
        from_level=from_level,
        to_level=to_level,
        max_level=max_level,
        timestamp=event.timestamp.rstrip(b"\0").decode() or None,
        kind=KINDS[event.kind],
    )


def _arrival(change: _Change) -> int:
    return change[0].arrival


def _changes_backwards(moment: Moment, slot_id: str) -> Iterator[_Change]:
    events = moment.env.slots[slot_id].events
    for index in range(events.end(moment.tick) - 1, -1, -1):
        yield events[index], moment.env_id, slot_id
