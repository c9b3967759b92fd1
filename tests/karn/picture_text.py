"""A screen as text: its characters, and below them a letter for the style of each cell."""

from __future__ import annotations

from collections import Counter
from string import ascii_letters
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from textual.app import App

_ATTRIBUTES = ("bold", "dim", "italic", "underline", "blink", "reverse", "strike")


class Picture(NamedTuple):
    """What a terminal shows.

    Attributes:
        text: its lines, without blanks at their ends.
        legend: what each letter of ``styles`` stands for: "b  bold #8fd694 on #12141c"; the first line, for
            a blank, is the most frequent style.
        styles: a line for each line of the text, and in it a letter for each terminal cell.
    """

    text: tuple[str, ...]
    legend: tuple[str, ...]
    styles: tuple[str, ...]


def picture(app: App[Any]) -> Picture:
    """What the app's front screen shows now, after all colour filters."""
    lines = _lines(app)
    cells = Counter[str]()
    for line in lines:
        for text, style in line:
            cells[style] += cell_len(text)
    base = cells.most_common(1)[0][0]
    # In the order in which they come: a change further down gives none above it another letter.
    others = (style for style in cells if style != base)
    letters = dict(zip((base, *others), " " + ascii_letters, strict=False))
    return Picture(
        tuple("".join(text for text, _ in line).rstrip() for line in lines),
        tuple(f"{letter}  {style}" for style, letter in letters.items()),
        tuple("".join(letters[style] * cell_len(text) for text, style in line).rstrip() for line in lines),
    )


def screen_lines(app: App[Any]) -> list[str]:
    """The lines of the app's front screen, without blanks at their ends."""
    return ["".join(text for text, _ in line).rstrip() for line in _lines(app)]


def style_text(style: Style | None) -> str:
    """A style in words: "bold #8fd694 on #12141c"; "plain" for none."""
    if style is None:
        return "plain"
    words = [name for name in _ATTRIBUTES if getattr(style, name)]
    if style.color is not None:
        words.append(_color(style.color))
    if style.bgcolor is not None:
        words += ["on", _color(style.bgcolor)]
    return " ".join(words) or "plain"


def _color(color: Color) -> str:
    return color.name if color.triplet is None else color.triplet.hex


def _lines(app: App[Any]) -> list[list[tuple[str, str]]]:
    """Texts and styles, line by line."""
    strips = app.screen._compositor.render_strips(app.size)
    return [
        [(text, style_text(style)) for text, style, control in strip if text and not control]
        for strip in strips
    ]
