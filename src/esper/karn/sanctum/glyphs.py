"""The signs that Sanctum draws with, for terminals that know Unicode and for those that don't.

Within a group no two glyphs are alike, so that the screen reads without colour. Each fills one cell in both
tables, so that no layout depends on which is used; only those for running text may be longer.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ColorMode = Literal["none", "16", "full"]

ASCII_VARIABLE = "KARN_ASCII"
"""1 asks for ASCII, 0 for Unicode, whatever the terminal seems to be."""
_PLAIN_TERMINALS = ("linux", "dumb")
"""The Linux console has no font for most signs; a dumb terminal promises nothing."""
_TRUE_COLOR = ("truecolor", "24bit")


@dataclass(frozen=True)
class Glyphs:
    """One set of signs."""

    bands: Mapping[str, str]
    """By band: insufficient_data, healthy, watch, caution, thrash."""
    trends: Mapping[str, str]
    """By trend: grow, shrink, stable; and germinated, pruned, fossilized."""
    statuses: Mapping[str, str]
    """By a run's status: waiting, empty, running, silent, crashed, finished, gone."""
    bar_full: str
    bar_empty: str
    sparkline: str
    """From the lowest level to the highest."""
    nothing: str
    """In place of a number that there is not."""
    ellipsis: str
    paused: str
    pinned: str
    folded: str
    unfolded: str
    separator: str
    """Between two facts on one line."""
    to: str
    """In running text: between the level before and the level after."""
    at_most: str
    """In running text: before a number."""

    @property
    def only_ascii(self) -> bool:
        """Whether a text of these glyphs, and what goes with them, should be ASCII throughout."""
        return self.ellipsis.isascii()


UNICODE = Glyphs(
    bands={"insufficient_data": "○", "healthy": "●", "watch": "◐", "caution": "◆", "thrash": "✖"},
    trends={
        "grow": "▲",
        "shrink": "▼",
        "stable": "─",
        "germinated": "+",
        "pruned": "◌",
        "fossilized": "◇",
    },
    statuses={
        "waiting": "…",
        "empty": "□",
        "running": "▶",
        "silent": "‖",
        "crashed": "✖",
        "finished": "■",
        "gone": "∅",
    },
    bar_full="█",
    bar_empty="░",
    sparkline="▁▂▃▄▅▆▇█",
    nothing="·",
    ellipsis="…",
    paused="‖",
    pinned="★",
    folded="▸",
    unfolded="▾",
    separator="·",
    to="→",
    at_most="≤",
)
ASCII = Glyphs(
    bands={"insufficient_data": "?", "healthy": "o", "watch": "+", "caution": "!", "thrash": "X"},
    trends={"grow": "^", "shrink": "v", "stable": "-", "germinated": "+", "pruned": "x", "fossilized": "*"},
    statuses={
        "waiting": ".",
        "empty": "0",
        "running": ">",
        "silent": "=",
        "crashed": "X",
        "finished": "#",
        "gone": "/",
    },
    bar_full="#",
    bar_empty=".",
    sparkline="_.:-=+*#",
    nothing="-",
    ellipsis="~",
    paused="=",
    pinned="*",
    folded="+",
    unfolded="-",
    separator="|",
    to="->",
    at_most="<=",
)


def glyphs_for(environment: Mapping[str, str], encoding: str | None) -> Glyphs:
    """The glyphs that a terminal can show.

    Args:
        environment: of this process. KARN_ASCII decides, then TERM, then the locale.
        encoding: of the stream that is written to; None where it is not known, which asks for ASCII.
    """
    wish = _value(environment, ASCII_VARIABLE)
    if wish:
        return UNICODE if wish == "0" else ASCII
    if _value(environment, "TERM") in _PLAIN_TERMINALS or not _is_utf8(encoding or ""):
        return ASCII
    # Python writes UTF-8 in the C locale too, but a person who asks for it means a terminal that can't.
    # Where no locale is set at all, as in many containers, the stream alone decides.
    locale = next(filter(None, (_value(environment, name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))), None)
    return UNICODE if locale is None or _is_utf8(locale.partition("@")[0].rpartition(".")[2]) else ASCII


def color_mode(environment: Mapping[str, str]) -> ColorMode:
    """How many colours to draw with.

    Textual leaves no colour out where NO_COLOR is set: it turns each into a grey of the same brightness,
    and still sends it as a colour. Only an app that was made with ``ansi_color=True`` drops them: the filter
    is chosen when the app is made, and a theme that is chosen later comes too late. Textual also takes an
    empty NO_COLOR for one that is set, which no-color.org does not. So where this says "none", the app has to
    bring a filter of its own.

    Args:
        environment: of this process: NO_COLOR, TERM and COLORTERM, read as textual's own console does.

    Returns:
        "none", "16" for the terminal's own palette, or "full" for 256 colours and more.
    """
    terminal = _value(environment, "TERM").lower()
    if _value(environment, "NO_COLOR") or terminal == "dumb":
        return "none"
    if _value(environment, "COLORTERM").lower() in _TRUE_COLOR or terminal.endswith("-256color"):
        return "full"
    return "16"


def _value(environment: Mapping[str, str], name: str) -> str:
    return next((value for variable, value in environment.items() if variable == name), "")


def _is_utf8(name: str) -> bool:
    try:
        return codecs.lookup(name).name == "utf-8"
    except LookupError:
        return False
