"""An environment's course through its episodes: what happened before what, and how long ago."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import overload

from esper.karn.sanctum.state import Position

_HALF = 1 << 31
_LATEST = (1 << 64) - 1


def code(position: Position) -> int:
    """A position as one number in the same order; what 31 bits can't hold counts as the nearest."""
    episode, epoch = position
    if 0 <= episode < _HALF and 0 <= epoch < _HALF:
        return episode << 32 | epoch
    return min(max(episode, 0), _HALF - 1) << 32 | min(max(epoch, 0), _HALF - 1)


def _position(code: int) -> Position:
    return code >> 32, code & (1 << 32) - 1


class Positions(Sequence[Position]):
    """Positions in order, held as numbers."""

    def __init__(self, codes: array[int]) -> None:
        self._codes = codes

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> Position: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Position]: ...

    def __getitem__(self, index: int | slice) -> Position | Sequence[Position]:
        if isinstance(index, slice):
            return Positions(self._codes[index])
        return _position(self._codes[index])


class Timeline:
    """The positions that one environment has reached, each a tick later than the one before.

    Epochs start anew in each episode; the clock, in epochs, does not. What says a position that was
    passed already, or none, belongs to the latest tick.

    Attributes:
        rewinds: how often a part was taken back.
    """

    __slots__ = (
        "_base",
        "_clocks",
        "_codes",
        "_ended",
        "_episode",
        "_episode_idx",
        "_episodes",
        "_epoch",
        "_marks",
        "rewinds",
    )

    def __init__(self) -> None:
        self._codes = array("q")
        self._clocks = array("Q")
        self._episodes = array("I")
        self._marks = bytearray()
        self.rewinds = 0
        self._base = self._epoch = self._episode = 0
        self._episode_idx: int | None = None
        self._ended = False

    def __len__(self) -> int:
        return len(self._codes)

    def reach(self, episode_idx: int | None, epoch: int | None, *, mark: bool = False) -> int:
        """Something happened; its tick.

        Args:
            episode_idx: the episode, as far as it says.
            epoch: epoch within the episode, as far as it says.
            mark: whether it makes the position one to stop at.
        """
        if self._ended or episode_idx != self._episode_idx:
            self._enter(episode_idx)
        if epoch is not None:
            self._epoch = epoch if epoch > 0 else 0
        here = code((self._episode if self._episode_idx is None else self._episode_idx, self._epoch))
        codes = self._codes
        if not codes or here > codes[-1]:
            codes.append(here)
            self._clocks.append(min(self._base + self._epoch, _LATEST))
            self._episodes.append(self._episode)
            self._marks.append(mark)
        elif mark:
            self._marks[-1] = True
        return len(codes) - 1

    def now(self) -> int:
        """The latest tick."""
        return len(self._codes) - 1 if self._codes else self.reach(None, None)

    def after(self, episode_idx: int | None, epoch: int | None) -> int:
        """The tick of what is known of an op at a position, once the next epoch is completed.

        It is told just before that is said, so that its tick may be yet to come.
        """
        now = self.now()
        here = not self._ended and episode_idx == self._episode_idx
        return now + 1 if here and epoch is not None and epoch >= self._epoch else now

    def complete_epoch(self, episode_idx: int | None, epoch: int | None) -> None:
        """The clock goes on by one epoch, or to ``epoch``."""
        self._enter(episode_idx)
        if episode_idx is None and epoch is not None and epoch < self._epoch:
            self._ended = True  # nothing else tells an episode's end where none is numbered
        self.reach(episode_idx, self._epoch + 1 if epoch is None else epoch, mark=True)

    def end_episode(self) -> None:
        """What comes next belongs to another episode, whether or not it says which."""
        self._ended = True

    def rewind(self, point: Position) -> int:
        """Forget what lies after ``point``; how many ticks are left."""
        left = bisect_right(self._codes, code(point))
        if left < len(self._codes):
            for column in (self._codes, self._clocks, self._episodes, self._marks):
                del column[left:]
            self.rewinds += 1
            self._ended = False
            self._episode_idx, self._epoch = _position(self._codes[-1]) if left else (None, 0)
            self._episode = self._episodes[-1] if left else 0
            self._base = self._clocks[-1] - self._epoch if left else 0
        return left

    def tick_at(self, position: Position | None) -> int | None:
        """The last tick up to a position, -1 before all; None, which is the latest, for None."""
        return None if position is None else bisect_right(self._codes, code(position)) - 1

    def clock(self, tick: int | None) -> int:
        """Epochs until a tick, over all episodes."""
        last = len(self._codes) - 1 if tick is None else tick
        return self._clocks[last] if last >= 0 else 0

    def episode(self, tick: int | None) -> int:
        """Episodes that ended before a tick."""
        if tick is None:
            return self._episode
        return self._episodes[tick] if tick >= 0 else 0

    def marked(self, since: int) -> Iterator[int]:
        """The positions to stop at, as codes, from a tick on."""
        return compress(self._codes[since:], self._marks[since:])

    def _enter(self, episode_idx: int | None) -> None:
        moved_on = None not in (episode_idx, self._episode_idx) and episode_idx != self._episode_idx
        if self._ended or moved_on:
            self._base += self._epoch
            self._epoch = 0
            self._episode += 1
            self._ended = False
            self._episode_idx = None
        if episode_idx is not None:
            self._episode_idx = episode_idx
