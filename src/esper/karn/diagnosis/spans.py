"""Since when a slot thrashes: pair by pair, or over all pairs at once."""

from __future__ import annotations

from collections.abc import Iterable

# log(0.8 / 0.5) for a reversal, log(0.2 / 0.5) for none.
_FOR = 0.4700036
_AGAINST = -0.9162907


class ThrashSearch:
    """Looks for the stretch of a slot's free pairs in which it thrashes, in O(1) per pair.

    The stretch that most favours a policy that reverses 80 % of the time over a coin flip: the highest
    sum of log-likelihood ratios over any contiguous stretch, which is Page's cumulative sum (E. S.
    Page, "Continuous inspection schemes", Biometrika 41 (1954), 100-115).

    Attributes:
        span: indices of the stretch's first and last pair, None while none favours thrashing.
    """

    __slots__ = ("_best", "_low", "_lowest", "_n", "_sum", "span")

    def __init__(self) -> None:
        self.span: tuple[int, int] | None = None
        self._n = self._low = 0
        self._sum = self._lowest = self._best = 0.0

    def add(self, reversal: bool) -> None:
        """Take in the next free pair: whether it was a reversal."""
        if self._sum < self._lowest:
            self._low, self._lowest = self._n, self._sum
        self._sum += _FOR if reversal else _AGAINST
        if self._sum - self._lowest > self._best:
            self._best, self.span = self._sum - self._lowest, (self._low, self._n)
        self._n += 1


def thrash_span(free_reversals: Iterable[bool]) -> tuple[int, int] | None:
    """Where in a slot's free pairs the thrashing lies: the first and the last pair of it.

    Args:
        free_reversals: for each free pair in order, whether it was a reversal.

    Returns:
        Indices of the first and last pair, or None if no stretch favours thrashing.
    """
    search = ThrashSearch()
    for reversal in free_reversals:
        search.add(reversal)
    return search.span
