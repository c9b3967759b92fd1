"""Draws docs/coin_flip.png: what a coin flip scores, by simulation (``make figures``)."""

from __future__ import annotations

import random
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from esper.leyline.thresholds import COIN_FLIP_RATE, THRASH_ABOVE

SLOTS = 4000


def coin_flip(max_level: int, ops: int, rng: random.Random) -> tuple[int, int, int, int]:
    """Reversals, pairs, free reversals and free pairs of one slot whose policy flips a fair coin.

    At level 0 and at ``max_level`` there is no choice.
    """
    level, before = rng.randint(0, max_level), 0
    reversals = pairs = free_reversals = free_pairs = 0
    for _ in range(ops):
        free = 0 < level < max_level
        way = rng.choice((1, -1)) if free else (1 if level == 0 else -1)
        if before:
            pairs += 1
            reversals += way != before
            free_pairs += free
            free_reversals += free and way != before
        level, before = level + way, way
    return reversals, pairs, free_reversals, free_pairs


def main() -> None:
    """Simulate and draw."""
    rng = random.Random(0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), constrained_layout=True)
    heights = list(range(1, 11))
    totals = [
        [sum(c) for c in zip(*(coin_flip(h, 200, rng) for _ in range(300)), strict=True)] for h in heights
    ]
    left.plot(heights, [0.5 + 0.5 / h for h in heights], color="#888888", label="1/2 + 1/(2L)")
    left.plot(heights, [r / n for r, n, _, _ in totals], "o", color="#c0392b", label="reversal rate")
    left.plot(
        heights[1:], [f / n for _, _, f, n in totals[1:]], "s", color="#2471a3", label="free reversal rate"
    )
    left.axhline(COIN_FLIP_RATE, color="#2471a3", linewidth=0.8, linestyle=":")
    left.set(xlabel="levels of the ladder, L", ylabel="rate of a coin flip", ylim=(0.4, 1.05))
    left.legend(frameon=False)
    counts = [3, 4, 5, 6, 8, 10, 15, 20, 30, 50]
    over = []
    for ops in counts:
        rates = [r / n for r, n, _, _ in (coin_flip(4, ops, rng) for _ in range(SLOTS))]
        over.append(100 * sum(rate > THRASH_ABOVE for rate in rates) / SLOTS)
    right.plot(counts, over, "o-", color="#c0392b")
    right.set(
        xlabel="internal ops of a slot (L = 4)",
        ylabel=f"coin flips with a reversal rate above {THRASH_ABOVE} [%]",
        ylim=(0, None),
    )
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_name("coin_flip.png"), dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
