"""``karn sanctum`` on real terminals of several kinds: what is sent to each."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

import pytest
from terminal_support import Terminal, terminal

from support import ROOT

COMMAND = [sys.executable, "-m", "esper", "sanctum", "oscillate", "-d", str(ROOT / "examples/telemetry")]
ASKED_FOR = ("NO_COLOR", "COLORTERM", "KARN_ASCII", "LC_ALL", "LC_CTYPE", "LANG")
STYLE = re.compile(rb"\x1b\[([0-9;]*)m")
MANY_COLOURS = re.compile(rb"(?:^|;)[34]8;[25];")
COLOUR = re.compile(rb"(?:^|;)(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|[34]8;[25];[0-9;]+)(?:;|$)")


def seen(**environment: str) -> Terminal:
    """What a viewer sent from its start to its end."""
    kept = {name: value for name, value in os.environ.items() if name not in ASKED_FOR}
    with terminal(COMMAND, {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}) as shown:
        shown.wait_for("finished")
        shown.press("q")
        assert shown.wait() == 0
        return shown


@pytest.mark.parametrize(
    "environment",
    [{"KARN_ASCII": "1"}, {"TERM": "linux"}, {"LC_ALL": "C"}],
    ids=["asked for", "console", "locale"],
)
def test_a_terminal_without_unicode_is_sent_ascii_alone(environment: Mapping[str, str]) -> None:
    assert seen(**environment).output.isascii()


def test_other_terminals_get_unicode() -> None:
    assert not seen().text.isascii()


def styles(pattern: re.Pattern[bytes], shown: Terminal) -> set[bytes]:
    return {style for style in STYLE.findall(shown.output) if pattern.search(style)}


def test_no_color_sends_no_colour() -> None:
    assert styles(COLOUR, seen(NO_COLOR="1")) == set()


def test_a_terminal_of_16_colours_gets_its_own_palette() -> None:
    shown = seen(TERM="xterm")
    assert styles(COLOUR, shown)
    assert styles(MANY_COLOURS, shown) == set()


def test_a_terminal_of_many_colours_gets_the_theme() -> None:
    assert styles(MANY_COLOURS, seen(COLORTERM="truecolor"))
