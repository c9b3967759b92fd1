"""Sanctum's own look, dark and light. Widgets use the terminal's colour names; here they get their shade."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.constants import DIM_FACTOR
from textual.filter import LineFilter, dim_color
from textual.theme import BUILTIN_THEMES, Theme

from esper.karn.sanctum.glyphs import ASCII

DARK = Theme(
    name="sanctum",
    primary="#8f9fd8",
    secondary="#7dcfd8",
    accent="#c3a6ff",
    foreground="#d8dce8",
    background="#12141c",
    surface="#191c27",
    panel="#202432",
    success="#8fd694",
    warning="#f0c674",
    error="#ff7a85",
    dark=True,
)
LIGHT = Theme(
    name="sanctum-light",
    primary="#4a5aa8",
    secondary="#0b6672",
    accent="#754bb8",
    foreground="#23262f",
    background="#faf9f6",
    surface="#f1efe9",
    panel="#e8e5dc",
    success="#226a2d",
    warning="#745200",
    error="#b3202c",
    dark=False,
)
DARK_FEW = replace(BUILTIN_THEMES["ansi-dark"], name="sanctum-16")
LIGHT_FEW = replace(BUILTIN_THEMES["ansi-light"], name="sanctum-light-16")
"""In the terminal's own sixteen colours, for terminals that have no more."""
THEMES = (DARK, LIGHT, DARK_FEW, LIGHT_FEW)
_OTHERS = {
    DARK.name: LIGHT.name,
    LIGHT.name: DARK.name,
    DARK_FEW.name: LIGHT_FEW.name,
    LIGHT_FEW.name: DARK_FEW.name,
}


def other(name: str) -> str:
    """The light theme for a dark one, and the other way round."""
    return _OTHERS[name]


class _Colorless(LineFilter):
    """Drops every colour; bold, dim and reverse stay.

    What stands out from its widget by its background alone, as a chosen line or a cursor does, is reversed.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments without colours."""
        own = background.rich_color
        return [
            Segment(text, None if style is None else _without_color(style, own), control)
            for text, style, control in segments
        ]


def _without_color(style: Style, own: RichColor) -> Style:
    plain = style.without_color
    return plain if style.bgcolor is None or style.bgcolor == own else plain + _REVERSED


_REVERSED = Style(reverse=True)


class _AsciiOnly(LineFilter):
    """Textual and rich draw ellipses, frames and scrollbars of their own; no table of signs changes those."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments that ASCII has the characters for."""
        return [Segment(text.translate(_IN_ASCII), style, control) for text, style, control in segments]


class LegibleDim(LineFilter):
    """Blends dim text towards its background, a third of the way at most, and never so far that it is faint.

    Textual's own filters, before which this one has to come, stop at no contrast.

    Args:
        terminal: the shades of the sixteen colours.
    """

    def __init__(self, terminal: TerminalTheme) -> None:
        super().__init__()
        self._terminal = terminal

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments whose dim texts have a colour instead."""
        own, terminal = background.rich_color, self._terminal
        return [
            Segment(segment.text, _dimmed(segment.style, own, terminal), segment.control)
            if segment.style is not None and segment.style.dim
            else segment
            for segment in segments
        ]


@lru_cache(4096)
def _dimmed(style: Style, own: RichColor, terminal: TerminalTheme) -> Style:
    if style.color is None:
        return style
    shown = style.bgcolor
    back = RichColor.from_triplet(
        (own if shown is None or shown.is_default else shown).get_truecolor(terminal, foreground=False)
    )
    bright = RichColor.from_triplet(style.color.get_truecolor(terminal))
    blends = (dim_color(back, bright, share) for share in _SHARES)
    color = next((blend for blend in blends if contrast(blend, back) >= LEGIBLE), bright)
    return style + Style(color=color, dim=False)


_SHARES = (DIM_FACTOR, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""How much of a dim text's own colour is left, the first of them where that can be read."""
LEGIBLE = 4.5
"""Least contrast of text (WCAG 2.2, success criterion 1.4.3)."""


def contrast(one: RichColor, other: RichColor) -> float:
    """How much two colours differ in brightness, 1 to 21 (WCAG 2.2, contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: RichColor) -> float:
    shares = [value / 255 for value in color.get_truecolor()]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


_BLOCKS = range(0x2580, 0x25A0)
_IN_ASCII = dict.fromkeys(_BLOCKS, " ") | str.maketrans({"…": ASCII.ellipsis, "▔": "-", "▁": "_"})
COLORLESS = _Colorless()
"""For NO_COLOR."""
ASCII_ONLY = _AsciiOnly()
"""For terminals without Unicode."""
_Shade = tuple[int, int, int]


def _terminal(background: _Shade, foreground: _Shade, shades: list[_Shade]) -> TerminalTheme:
    return TerminalTheme(background, foreground, shades, shades)


# In the order of ANSI: black, red, green, yellow, blue, magenta, cyan, white.
DARK_TERMINAL = _terminal(
    (18, 20, 28),
    (216, 220, 232),
    [
        (32, 36, 50),
        (255, 122, 133),
        (143, 214, 148),
        (240, 198, 116),
        (143, 159, 216),
        (195, 166, 255),
        (125, 207, 216),
        (216, 220, 232),
    ],
)
LIGHT_TERMINAL = _terminal(
    (250, 249, 246),
    (35, 38, 47),
    [
        (35, 38, 47),
        (179, 32, 44),
        (34, 106, 45),
        (116, 82, 0),
        (74, 90, 168),
        (122, 79, 192),
        (11, 102, 114),
        (90, 94, 105),
    ],
)
DIM_DARK, DIM_LIGHT = LegibleDim(DARK_TERMINAL), LegibleDim(LIGHT_TERMINAL)
"""Of the dark look and of the light one."""
