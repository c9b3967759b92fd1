"""How a picture differs from another, in words that tell where and what."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from itertools import groupby, zip_longest

from picture_text import Picture

_MOST = 12
"""Stretches of another style that are told of one picture; a new theme changes hundreds."""


def told(old: Picture, new: Picture) -> list[str]:
    """The lines that differ, and where a line is the same, its stretches in another style."""
    lines = list(unified_diff(old.text, new.text, n=1, lineterm=""))[2:]
    stretches = list(_restyled(old, new))
    lines += stretches[:_MOST]
    if len(stretches) > _MOST:
        lines.append(f"and {len(stretches) - _MOST} more stretches in another style")
    return lines


def _restyled(old: Picture, new: Picture) -> Iterator[str]:
    """As "line 3 from cell 2, 'healthy': green on black, now red on black"."""
    before, after = _names(old), _names(new)
    for row, (text, old_text) in enumerate(zip(new.text, old.text, strict=False)):
        if text != old_text:
            continue
        letters = zip_longest(old.styles[row], new.styles[row], fillvalue=" ")
        styles = [(before[one], after[other]) for one, other in letters]
        for (was, now), cells in groupby(range(len(styles)), key=lambda cell: styles[cell]):
            if was != now:
                start, *_, end = [*cells] * 2
                # No screen of these states has a character that fills two cells.
                shown = text[start : end + 1].ljust(end + 1 - start)
                yield f"line {row + 1} from cell {start + 1}, {shown!r}: {was}, now {now}"


def _names(picture: Picture) -> dict[str, str]:
    return {line[0]: line[3:] for line in picture.legend}
