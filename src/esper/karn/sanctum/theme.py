"""Sanctum's own look, dark and light. Widgets use the terminal's colour names; here they get their shade."""

from __future__ import annotations

from dataclasses import replace

from rich.segment import Segment
from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import BUILTIN_THEMES, Theme

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
    secondary="#0f7f8c",
    accent="#7a4fc0",
    foreground="#23262f",
    background="#faf9f6",
    surface="#f1efe9",
    panel="#e8e5dc",
    success="#2f7d3a",
    warning="#8a6100",
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
    """Drops every colour; bold, dim and reverse stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments without colours."""
        return [
            Segment(text, None if style is None else style.without_color, control)
            for text, style, control in segments
        ]


COLORLESS = _Colorless()
"""For NO_COLOR."""
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
        (47, 125, 58),
        (138, 97, 0),
        (74, 90, 168),
        (122, 79, 192),
        (15, 127, 140),
        (90, 94, 105),
    ],
)
