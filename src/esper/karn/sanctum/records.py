"""Append-only logs of one kind of record, packed so that a million events fit into memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Generic, TypeVar

from esper.karn.sanctum.state import Position

NONE = -(2**63)
"""What stands for an absent whole number in a record."""

Record = TypeVar("Record", bound=tuple[Any, ...])


def packed(value: int | None) -> int:
    """A number as records hold it: one that 64 bits can't hold is none, as in SQL."""
    return value if value is not None and NONE < value < 2**63 else NONE


def unpacked(value: int) -> int | None:
    """A record's number as everybody else writes it."""
    return None if value == NONE else value


def is_after(episode: int, epoch: int, point: Position) -> bool:
    """Whether a record's place lies later than ``point``, as far as it says one."""
    if episode != point[0]:
        return episode != NONE and episode > point[0]
    return epoch != NONE and epoch > point[1]


class RecordLog(Generic[Record]):
    """Records in the order of their ticks (see Timeline), which never falls.

    Args:
        layout: of one record's fields.
        make: the record from its fields.
    """

    __slots__ = ("_data", "_layout", "_make", "ticks")

    def __init__(self, layout: Struct, make: Callable[[tuple[Any, ...]], Record]) -> None:
        self._layout = layout
        self._make = make
        self._data = bytearray()
        self.ticks = array("I")

    def __len__(self) -> int:
        return len(self.ticks)

    def __getitem__(self, index: int) -> Record:
        return self._make(self._layout.unpack_from(self._data, index * self._layout.size))

    def __iter__(self) -> Iterator[Record]:
        return map(self._make, self._layout.iter_unpack(bytes(self._data)))

    def append(self, tick: int, *fields: Any) -> None:
        """Add a record."""
        self._data += self._layout.pack(*fields)
        self.ticks.append(tick)

    def end(self, tick: int | None) -> int:
        """How many records there are up to ``tick``; all for None."""
        ticks = self.ticks
        if tick is None or not ticks or ticks[-1] <= tick:
            return len(ticks)
        return bisect_right(ticks, tick)

    def clear(self) -> None:
        """Forget all records."""
        self._data.clear()
        del self.ticks[:]
