"""How ``karn sanctum`` ends on a real terminal: by a signal, and by keys that come all at once."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys

import pytest
from sanctum_screens import settle, viewer
from terminal_support import terminal

from esper.karn.sanctum.screens.main import MainScreen
from esper.karn.sanctum.screens.page import Page
from support import ROOT

COMMAND = [sys.executable, "-m", "esper", "sanctum", "oscillate", "-d", str(ROOT / "examples/telemetry")]
ENVIRONMENT = {**os.environ, "TERM": "xterm-256color"} | {"COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
UNDONE = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l")
"""Alternate screen, hidden cursor, mouse reports, bracketed paste."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_the_viewer_gives_the_terminal_back(number):
    with terminal(COMMAND, ENVIRONMENT) as shown:
        before = shown.settings()
        shown.wait_for("finished")
        os.kill(shown.pid, number)
        assert shown.wait() == 128 + number
        assert [code for code in UNDONE if code not in shown.output] == []
        assert shown.settings() == before


def test_a_viewer_whose_terminal_is_closed_ends():
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        os.dup2(os.open(os.devnull, os.O_RDONLY), shown.master)
        shown.exit_code = os.waitstatus_to_exitcode(os.waitpid(shown.pid, 0)[1])
    assert shown.exit_code == 128 + signal.SIGHUP


@pytest.mark.parametrize("keys", ["q\r", "qc", "qr", "q?", "q:", "\r\x03", "r\x03", "c\r\x03", "rq\rq\x03"])
def test_keys_in_the_same_read_as_the_last_one_do_no_harm(keys):
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        shown.press(keys)
        assert shown.wait() == 0
    assert b"Traceback" not in shown.output
    assert b"NoMatches" not in shown.output


def test_a_q_that_was_typed_before_the_screen_is_up_ends_a_viewer_that_starts():
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.press("q")
        assert shown.wait() == 0
    assert b"Traceback" not in shown.output


@pytest.mark.parametrize(("keys", "shows"), [("/q1\r", "no slot matches 'q1'"), ("fqx", "filter qx")])
def test_keys_in_the_same_read_as_the_one_that_opens_a_line_are_typed_into_it(keys, shows):
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        shown.press(keys)
        shown.wait_for(shows)
        shown.press("\x03")
        assert shown.wait() == 0


def test_ctrl_z_goes_to_the_shell_and_fg_comes_back():
    """An interactive shell, since only one that has job control notices."""
    shell = shutil.which("bash")
    assert shell is not None
    with terminal([shell, "--norc", "--noprofile", "-i"], {**ENVIRONMENT, "PS1": "shell> "}) as shown:
        shown.wait_for("shell> ")
        before = shown.settings()
        shown.press(f"{shlex.join(COMMAND)}\n")
        shown.wait_for("finished")
        shown.press("\x1a")
        stopped = shown.wait_for(r"Stopped[^\n]*\n.*shell> ").end()
        assert [code for code in UNDONE if code not in shown.output] == []
        assert shown.settings() == before
        shown.press("fg\n")
        back = shown.wait_for("finished", start=stopped).end()
        shown.press("q")
        shown.wait_for("shell> ", start=back)
        shown.press("exit $?\n")
        assert shown.wait() == 0


def test_where_no_shell_would_bring_it_back_ctrl_z_says_so():
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        shown.press("\x1a")
        shown.wait_for("no shell is here")
        shown.press("q")
        assert shown.wait() == 0


def test_keys_in_the_same_read_as_the_answer_are_commands_again():
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        shown.press("fr0\rq")
        assert shown.wait() == 0


@pytest.mark.parametrize(("page", "keys"), [("r", "\r\x03"), ("c", "\r\x03"), ("\r", "?\x03")])
def test_a_key_of_a_page_in_the_same_read_as_ctrl_c_does_no_harm(page, keys):
    with terminal(COMMAND, ENVIRONMENT) as shown:
        shown.wait_for("finished")
        shown.press(page)
        shown.wait_for("Back")
        shown.press(keys)
        assert shown.wait() == 0
    assert b"Traceback" not in shown.output
    assert b"NoMatches" not in shown.output


async def test_a_command_that_was_under_way_when_the_viewer_was_told_to_end_opens_nothing():
    app = viewer(ROOT / "examples/telemetry", "oscillate")
    async with app.run_test():
        app.exit()
        assert not await app.run_action("open")
        assert len(app.screen_stack) == 1


def end_while_it_is_put_together(monkeypatch, screen):
    compose = screen.compose

    def told_to_end(self):
        self.app.exit()
        yield from compose(self)

    monkeypatch.setattr(screen, "compose", told_to_end)


async def test_a_viewer_that_is_told_to_end_while_it_starts_shows_nothing(monkeypatch):
    end_while_it_is_put_together(monkeypatch, MainScreen)
    app = viewer(ROOT / "examples/telemetry", "oscillate")
    async with app.run_test() as pilot:
        await pilot.pause()
        app._poll_and_refresh()
        app.show_now()
        app.show_rows()
    assert app.return_code == 0
    assert app.rows == ()


@pytest.mark.parametrize("action", ["open", "runs"])
async def test_a_viewer_that_is_told_to_end_while_a_page_opens_fills_none(monkeypatch, action):
    app = viewer(ROOT / "examples/telemetry", "oscillate")
    async with app.run_test() as pilot:
        await settle(pilot)
        end_while_it_is_put_together(monkeypatch, Page)
        await app.run_action(action)
        await pilot.pause()
    assert app.return_code == 0
