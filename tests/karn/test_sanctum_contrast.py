"""Nothing on the screen is too faint to read, dark or light (WCAG 2.2, success criteria 1.4.3 and 1.4.11)."""

from __future__ import annotations

from itertools import accumulate

import pytest
from picture_album import SCREENS, album
from picture_states import STATES
from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor

from esper.karn.sanctum.theme import DARK, DIM_DARK, DIM_LIGHT, LEGIBLE, LIGHT, contrast

GRAPHICS = 3.0
"""Least contrast of bars, histories, frames and scrollbars."""


def colors_of(style: str) -> tuple[Color, Color] | None:
    """What a style in a picture's legend draws, and on what; None where it draws nothing."""
    parsed = Style.parse(style)
    if parsed.color is None or parsed.bgcolor is None:
        return None
    return (parsed.bgcolor, parsed.color) if parsed.reverse else (parsed.color, parsed.bgcolor)


def uses(look: str) -> dict[tuple[str, bool], str]:
    """The styles of all pictures of a look, each once for words and once for graphics, with an example."""
    found: dict[tuple[str, bool], str] = {}
    for state in STATES:
        pictures = album((SCREENS / f"{state.name}.txt").read_text(encoding="utf-8"))
        for name, picture in pictures.items():
            if not name.startswith(look):
                continue
            legend = {line[0]: line[3:] for line in picture.legend}
            for text, letters in zip(picture.text, picture.styles, strict=True):
                for sign, cell in zip(text, accumulate(map(cell_len, text), initial=0), strict=False):
                    letter = letters[cell] if cell < len(letters) else " "
                    if sign != " ":
                        is_word = sign.isalnum() or sign.isascii()
                        found.setdefault((legend[letter], is_word), f"{state.name}, {name}: {text.strip()}")
    return found


@pytest.mark.parametrize("look", ["dark", "light"])
def test_every_style_of_every_picture_can_be_read(look):
    faint = []
    styles = uses(look)
    for (style, is_word), example in styles.items():
        drawn = colors_of(style)
        assert drawn is not None, f"{style!r} in {example}"
        if (ratio := contrast(*drawn)) < (LEGIBLE if is_word else GRAPHICS):
            faint.append(f"{ratio:.2f} {style} in {example}")
    assert len(styles) > 20
    assert faint == []


def test_contrast_is_that_of_the_standard():
    black, white, grey = (Color.parse(name) for name in ("#000000", "#ffffff", "#767676"))
    assert contrast(black, white) == contrast(white, black) == 21
    assert round(contrast(grey, white), 2) == 4.54


@pytest.mark.parametrize("look", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("shade", ["foreground", "primary", "secondary", "success"])
def test_dim_text_is_fainter_than_other_text_and_never_too_faint(look, shade):
    color, back = Color.parse(getattr(look, shade)), Color.parse(look.background)
    dim = Segment("r0c0", Style(color=color, bgcolor=back, dim=True))
    ((_, style, _),) = (DIM_DARK if look.dark else DIM_LIGHT).apply(
        [dim], TextualColor.parse(look.background)
    )
    assert style is not None
    assert style.color is not None
    assert not style.dim
    assert LEGIBLE <= contrast(style.color, back) < contrast(color, back)
