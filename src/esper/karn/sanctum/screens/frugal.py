"""Writes no more to the terminal than what is different, for viewers at the other end of an ssh connection.

Textual writes a changed line from the widget's left edge on, and for each stretch of a style all of its
colours anew. Here a line begins with the first changed cell, and a style is written as the difference from
the one before: half the bytes for the same picture. ``tests/karn/test_sanctum_painting.py`` compares.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor

# Textual has no public place for this; its version is bounded in pyproject.toml.

_ATTRIBUTES = (
    ("bold", "1"),
    ("dim", "2"),
    ("italic", "3"),
    ("underline", "4"),
    ("blink", "5"),
    ("reverse", "7"),
    ("strike", "9"),
)


class _Codes(NamedTuple):
    """A style as a terminal takes it."""

    attributes: str
    color: str
    background: str


_PLAIN = _Codes("", "", "")


class FrugalCompositor(Compositor):
    """A compositor whose partial updates are frugal."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """What changed since the last time, None for nothing."""
        update = super().render_partial_update()
        return None if update is None else _FrugalUpdate(update.chops, update.spans, update.chop_ends)


class _FrugalUpdate(ChopsUpdate):
    def render_segments(self, console: Console) -> str:
        """The update as the terminal gets it."""
        out: list[str] = []
        system = console._color_system
        state = _PLAIN
        for y, first, last in self.spans:
            at = None
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= last or end <= first:
                    continue
                start, stop = max(x, first), min(end, last)
                if start != at:
                    out.append(f"\x1b[{y + 1};{start + 1}H")
                at = stop
                for text, style, control in strip.crop(start - x, stop - x):
                    if control:
                        continue
                    wanted = _PLAIN if style is None else _codes(style, system)
                    if wanted != state:
                        out.append(_change(state, wanted))
                        state = wanted
                    out.append(text)
        if state != _PLAIN:
            out.append("\x1b[0m")
        return "".join(out)


@lru_cache(4096)
def _codes(style: Style, system: ColorSystem | None) -> _Codes:
    attributes = ";".join(code for name, code in _ATTRIBUTES if getattr(style, name))
    if system is None:
        return _Codes(attributes, "", "")
    color = background = ""
    if style.color is not None:
        color = ";".join(style.color.downgrade(system).get_ansi_codes(foreground=True))
    if style.bgcolor is not None:
        background = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False))
    return _Codes(attributes, color, background)


@lru_cache(4096)
def _change(old: _Codes, new: _Codes) -> str:
    """The escape sequence that leads from one style to another."""
    lost = old.attributes != new.attributes or (old.color and not new.color)
    if lost or (old.background and not new.background):
        return f"\x1b[{';'.join(filter(None, ('0', *new)))}m"
    codes = [code for before, code in zip(old, new, strict=True) if code and code != before]
    return f"\x1b[{';'.join(codes)}m"
