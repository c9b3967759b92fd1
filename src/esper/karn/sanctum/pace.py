"""How fast events come, by the times that they carry."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from esper.karn.jsonl.timestamps import parse_timestamp

WINDOW_S = 10
"""Seconds that count."""
_SECOND = len("2026-01-01T00:00:00")


class Pace:
    """Counts one file's latest events second by second, in the order of the file."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[str, datetime | None, int]] = deque(maxlen=WINDOW_S)
        """The second, the first time in it, and the events in it."""
        self._newest: str | None = None

    def note(self, texts: Sequence[str]) -> None:
        """Take in the times of new events."""
        if not texts:
            return
        self._newest = texts[-1]
        first, last = texts[0][:_SECOND], texts[-1][:_SECOND]
        # Of one writer's events in the file's order, those between two of one second are of that second.
        if first == last:
            self._add(texts[0], len(texts))
            return
        for _, together in groupby(texts, key=_second):
            same = list(together)
            self._add(same[0], len(same))

    def newest(self) -> datetime | None:
        """When the latest event was written, UTC; a clock that was set back counts as it is now."""
        return parse_timestamp(self._newest)

    def since(self, start: datetime, until: datetime) -> tuple[int, datetime | None]:
        """Events of the seconds that began in a window, and when the first of them was written."""
        n, first = 0, None
        for _, moment, count in reversed(self._seconds):
            if moment is None or not start <= moment <= until:
                break
            n, first = n + count, moment
        return n, first

    def _add(self, text: str, n: int) -> None:
        second = _second(text)
        if self._seconds and self._seconds[-1][0] == second:
            _, first, known = self._seconds.pop()
            self._seconds.append((second, first, known + n))
        else:
            self._seconds.append((second, parse_timestamp(text), n))


def _second(text: str) -> str:
    return text[:_SECOND]


def events_per_s(paces: Iterable[Pace]) -> float | None:
    """Events per second over the last seconds of all files together.

    None where that says nothing: fewer than two events, or all at one moment.
    """
    files = list(paces)
    ends = [moment for pace in files if (moment := pace.newest()) is not None]
    if not ends:
        return None
    end = max(ends)
    start = end - timedelta(seconds=WINDOW_S)
    found = [pace.since(start, end) for pace in files]
    n = sum(count for count, _ in found)
    first = min((moment for _, moment in found if moment is not None), default=end)
    span = (end - first).total_seconds()
    # The first event begins the span, so that it is none of those that came in it.
    return (n - 1) / span if n > 1 and span > 0 else None
