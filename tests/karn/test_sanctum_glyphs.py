"""Signs and colours: what each terminal is given, and that every state reads without colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import pytest
from rich.cells import cell_len
from textual.app import App
from textual.filter import Monochrome, NoColor

from esper.karn.sanctum.glyphs import ASCII, UNICODE, Glyphs, color_mode, glyphs_for
from esper.karn.sanctum.status import run_status
from esper.leyline.thresholds import BANDS

RUNNING_TEXT = ("to", "at_most")
"""What need not be one cell."""
both = pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])


def signs(glyphs: Glyphs) -> Iterable[str]:
    """Every sign that stands in a cell of its own."""
    for field in fields(glyphs):
        value = getattr(glyphs, field.name)
        if field.name not in RUNNING_TEXT:
            yield from value if isinstance(value, str) else value.values()


class TestTables:
    @both
    def test_within_a_group_no_two_states_look_alike(self, glyphs):
        for group in (glyphs.bands, glyphs.trends, glyphs.statuses):
            assert len(set(group.values())) == len(group)
        assert len(set(glyphs.sparkline)) == len(glyphs.sparkline) == 8
        assert glyphs.bar_full != glyphs.bar_empty
        assert glyphs.folded != glyphs.unfolded
        assert glyphs.nothing not in glyphs.bands.values()

    @both
    def test_every_band_trend_and_status_has_its_sign(self, glyphs):
        assert glyphs.bands.keys() == set(BANDS) | {"insufficient_data"}
        assert glyphs.trends.keys() == {"grow", "shrink", "stable", "germinated", "pruned", "fossilized"}
        documented = (run_status.__doc__ or "").split(".")[0].replace(" or ", ", ")
        assert glyphs.statuses.keys() == {word.split()[0] for word in documented.split(", ")} | {"gone"}

    @both
    def test_every_sign_fills_one_cell(self, glyphs):
        assert {cell_len(sign) for sign in signs(glyphs)} == {1}

    def test_ascii_is_ascii_throughout(self):
        texts = [*signs(ASCII), *(getattr(ASCII, name) for name in RUNNING_TEXT)]
        assert all(text.isascii() and text.isprintable() for text in texts)
        assert ASCII.only_ascii
        assert not UNICODE.only_ascii


class TestChoice:
    @pytest.mark.parametrize(
        ("environment", "encoding", "glyphs"),
        [
            ({"TERM": "xterm-256color", "LANG": "en_GB.UTF-8"}, "utf-8", UNICODE),
            ({"TERM": "xterm"}, "utf-8", UNICODE),
            ({"TERM": "xterm", "LC_CTYPE": "UTF-8"}, "UTF-8", UNICODE),
            ({"TERM": "xterm", "LANG": "ca_ES.utf8@valencia"}, "utf8", UNICODE),
            ({"TERM": "linux"}, "utf-8", ASCII),
            ({"TERM": "dumb"}, "utf-8", ASCII),
            ({"TERM": "xterm", "LC_ALL": "C"}, "utf-8", ASCII),
            ({"TERM": "xterm", "LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"}, "utf-8", ASCII),
            ({"TERM": "xterm", "LC_ALL": "", "LANG": "de_DE.ISO-8859-1"}, "utf-8", ASCII),
            ({"TERM": "xterm", "LANG": "de_DE@euro"}, "utf-8", ASCII),
            ({"TERM": "xterm", "LANG": "en_GB.UTF-8"}, "ascii", ASCII),
            ({"TERM": "xterm"}, None, ASCII),
            ({"TERM": "xterm-256color", "LANG": "en_GB.UTF-8", "KARN_ASCII": "1"}, "utf-8", ASCII),
            ({"TERM": "linux", "LC_ALL": "C", "KARN_ASCII": "0"}, "ascii", UNICODE),
            ({"TERM": "xterm", "KARN_ASCII": ""}, "utf-8", UNICODE),
        ],
    )
    def test_by_wish_then_terminal_then_locale(self, environment, encoding, glyphs):
        assert glyphs_for(environment, encoding) is glyphs

    @pytest.mark.parametrize(
        ("environment", "mode"),
        [
            ({"TERM": "xterm-256color"}, "full"),
            ({"TERM": "xterm", "COLORTERM": "truecolor"}, "full"),
            ({"TERM": "xterm", "COLORTERM": "24BIT"}, "full"),
            ({"TERM": "xterm"}, "16"),
            ({"TERM": "linux"}, "16"),
            ({"TERM": "xterm-16color"}, "16"),
            ({}, "16"),
            ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
            ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
            ({"TERM": "xterm-256color", "NO_COLOR": ""}, "full"),
        ],
    )
    def test_colours_by_the_environment(self, environment, mode):
        assert color_mode(environment) == mode


class TestTextual:
    """What ``color_mode`` says of textual, so that a change there is noticed."""

    def test_no_color_becomes_greys_unless_the_app_has_the_terminals_colours(self, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        assert any(isinstance(found, Monochrome) for found in App()._filters)
        assert any(isinstance(found, NoColor) for found in App(ansi_color=True)._filters)

    def test_an_empty_no_color_counts_there(self, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "")
        assert App().no_color
