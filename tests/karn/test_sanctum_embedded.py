"""``karn train --sanctum`` in a real terminal: whatever becomes of the viewer, the training goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal_support import Terminal, children, terminal

from esper.karn.sanctum.embedded import KEPT_BYTES
from esper.karn.sanctum.glyphs import UNICODE
from support import read_events, run_python

TRAIN = ("train", "--policy", "oscillate", "--envs", "1", "--seed", "3", "--run-dir", "run")
SHORT = ("--episodes", "2", "--epochs", "4")
MIDDLING = ("--episodes", "3", "--epochs", "34")
"""Still going on when the viewer's screen is up."""
LONG = ("--episodes", "50", "--epochs", "30")
"""Longer than any test waits for it."""
ENVIRONMENT = {**os.environ, "TERM": "xterm-256color"} | {"COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
RUNNING, FINISHED = UNICODE.statuses["running"], UNICODE.statuses["finished"]
"""Not the words: letters that stood in the same place before are not sent again."""
ALTERNATE_SCREEN, MAIN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
CHANGING = ("event_id", "timestamp", "inode")
"""Fields that differ from one training to the next."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="finds the viewer's process by /proc")


def karn(*arguments: str | Path, python: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *python, "-m", "esper", *map(str, arguments)]


def lasting(path: Path) -> list[dict[str, Any]]:
    """Events without what no two trainings have in common."""
    return [
        {
            **{key: value for key, value in event.items() if key not in CHANGING},
            "data": {key: value for key, value in event["data"].items() if key not in CHANGING},
        }
        for event in read_events(path)
    ]


def viewer_of(shown: Terminal) -> int:
    """The viewer's process, once its screen is up."""
    shown.wait_for_bytes(ALTERNATE_SCREEN)
    (viewer,) = children(shown.pid)
    return viewer


class TestTraining:
    def test_is_seen_and_leaves_the_same_telemetry(self, tmp_path):
        with terminal(karn(*TRAIN, *SHORT, "--sanctum", "-d", tmp_path / "with"), ENVIRONMENT) as shown:
            shown.wait_for(FINISHED)
            shown.press("q")
            assert shown.wait() == 0
            assert b"karn report" in shown.output.split(MAIN_SCREEN)[-1], "what to type next comes last"
        done = subprocess.run(karn(*TRAIN, *SHORT, "-d", tmp_path / "without"), capture_output=True)
        assert done.returncode == 0
        files = [tmp_path / name / "run/events.jsonl" for name in ("with", "without")]
        assert lasting(files[0]) == lasting(files[1])

    def test_goes_on_with_its_progress_when_the_viewer_is_closed(self, tmp_path):
        with terminal(karn(*TRAIN, *MIDDLING, "--sanctum", "-d", tmp_path), ENVIRONMENT) as shown:
            before = shown.settings()
            shown.wait_for(RUNNING)
            assert shown.settings() != before
            shown.press("q")
            shown.wait_for_bytes(MAIN_SCREEN)
            left = len(shown.text)
            shown.wait_for(r"accuracy \d", start=left)
            assert shown.settings() == before
            assert shown.wait() == 0
        assert read_events(tmp_path / "run/events.jsonl")[-1]["event_type"] == "TRAINING_FINISHED"

    def test_goes_on_when_the_viewer_is_closed_while_it_starts(self, tmp_path):
        with terminal(karn(*TRAIN, *SHORT, "--sanctum", "-d", tmp_path), ENVIRONMENT) as shown:
            shown.press("q")
            assert shown.wait() == 0
            assert b"Traceback" not in shown.output
            assert b"the viewer ended with an error" not in shown.output
        assert read_events(tmp_path / "run/events.jsonl")[-1]["event_type"] == "TRAINING_FINISHED"

    @linux
    def test_survives_a_viewer_that_is_killed(self, tmp_path):
        with terminal(karn(*TRAIN, *MIDDLING, "--sanctum", "-d", tmp_path), ENVIRONMENT) as shown:
            before = shown.settings()
            shown.wait_for(RUNNING)
            os.kill(viewer_of(shown), signal.SIGKILL)
            shown.wait_for("the viewer was ended by signal 9; the training is not touched")
            assert MAIN_SCREEN in shown.output
            assert shown.settings() == before
            assert shown.wait() == 0
        assert read_events(tmp_path / "run/events.jsonl")[-1]["event_type"] == "TRAINING_FINISHED"

    def test_survives_a_viewer_that_crashes_at_once(self, tmp_path):
        broken = {**ENVIRONMENT, "TEXTUAL_DRIVER": "esper.nowhere:Driver"}
        with terminal(karn(*TRAIN, *SHORT, "--sanctum", "-d", tmp_path), broken) as shown:
            shown.wait_for("the viewer ended with an error; the training is not touched")
            assert shown.wait() == 0
        assert read_events(tmp_path / "run/events.jsonl")[-1]["event_type"] == "TRAINING_FINISHED"

    def test_is_not_stopped_by_ctrl_c_in_the_viewer_but_after_it(self, tmp_path):
        with terminal(karn(*TRAIN, *LONG, "--sanctum", "-d", tmp_path), ENVIRONMENT) as shown:
            shown.wait_for(RUNNING)
            shown.press("\x03")
            shown.wait_for_bytes(MAIN_SCREEN)
            shown.wait_for(r"accuracy \d", start=len(shown.text))
            shown.press("\x03")
            assert shown.wait() == 130

    @linux
    def test_takes_the_viewer_with_it_when_it_is_killed(self, tmp_path):
        # A shell that stays has the terminal; without one the terminal itself would be gone. It reads
        # nothing: what is typed while the viewer gives the terminal back may be thrown away with the rest.
        shell = ["/bin/sh", "-c", '"$@"; echo the shell goes on; sleep 3', "sh"]
        with terminal([*shell, *karn(*TRAIN, *LONG, "--sanctum", "-d", tmp_path)], ENVIRONMENT) as shown:
            before = shown.settings()
            shown.wait_for(RUNNING)
            (training,) = children(shown.pid)
            os.kill(training, signal.SIGKILL)
            shown.wait_for_bytes(MAIN_SCREEN)
            shown.wait_for("the shell goes on")
            assert shown.settings() == before
            shown.wait()

    def test_that_is_interrupted_from_elsewhere_gives_the_terminal_back(self, tmp_path):
        with terminal(karn(*TRAIN, *LONG, "--sanctum", "-d", tmp_path), ENVIRONMENT) as shown:
            before = shown.settings()
            shown.wait_for(RUNNING)
            os.kill(shown.pid, signal.SIGINT)
            assert shown.wait() == 130
            assert MAIN_SCREEN in shown.output
            assert shown.settings() == before


def test_what_the_training_says_meanwhile_is_shown_afterwards(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from esper.karn.sanctum.embedded import viewer_beside
with viewer_beside(Path(sys.argv[1]), "run", on_closed=lambda: os.write(1, b"closed")):
    os.write(1, b"x" * {KEPT_BYTES})
    print("a warning of a library")
    os.system("echo and of a process")
print("at last")
"""
    with terminal([sys.executable, "-c", code, str(tmp_path)], ENVIRONMENT) as shown:
        shown.wait_for("waiting")
        assert b"a warning" not in shown.output
        shown.press("q")
        assert shown.wait() == 0
    after = shown.output.split(MAIN_SCREEN)[-1]
    assert [after.count(said) for said in (b"a warning of", b"and of a", b"closed", b"at last")] == [1] * 4
    assert KEPT_BYTES - 100 < after.count(b"x") < KEPT_BYTES
    assert after.index(b"and of a") < after.index(b"closed") < after.index(b"at last")


def test_a_training_that_fails_leaves_the_viewer_up_and_says_why_after_it(tmp_path):
    code = """
import sys
from pathlib import Path
from esper.karn.sanctum.embedded import viewer_beside
with viewer_beside(Path(sys.argv[1]), "run", on_closed=lambda: None):
    raise RuntimeError("the loss is no number")
"""
    with terminal([sys.executable, "-c", code, str(tmp_path)], ENVIRONMENT) as shown:
        shown.wait_for("waiting")
        shown.press("q")
        assert shown.wait() == 1
    assert b"the loss is no number" in shown.output.split(MAIN_SCREEN)[-1]


class TestRefused:
    def test_without_a_terminal_nothing_is_written(self, tmp_path):
        done = subprocess.run(
            karn(*TRAIN, "--sanctum", "-d", tmp_path / "t"),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("karn: --sanctum draws on a terminal and there is none")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "t").exists()

    def test_in_the_background_the_terminal_is_not_taken(self, tmp_path):
        shell = ["/bin/sh", "-c", 'set -m; "$@" & wait', "sh"]
        with terminal([*shell, *karn(*TRAIN, "--sanctum", "-d", tmp_path / "t")], ENVIRONMENT) as shown:
            shown.wait_for("--sanctum needs the terminal, and this command runs in the background")
            shown.wait()
        assert not (tmp_path / "t").exists()

    def test_several_ranks_are_told_to_watch_from_elsewhere(self, tmp_path):
        ranks = {**ENVIRONMENT, "RANK": "0", "WORLD_SIZE": "2"}
        with terminal(karn(*TRAIN, "--sanctum", "-d", tmp_path / "t"), ranks) as shown:
            shown.wait_for("2 ranks share this terminal")
            assert shown.wait() == 1
        assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("esper.karn.sanctum.embedded", {"torch", "mcp", "duckdb", "textual", "rich"}),
        ("esper.karn.sanctum.app", {"torch", "mcp", "duckdb"}),
    ],
)
def test_neither_side_loads_what_is_the_others(module, never):
    loaded = run_python(f"import {module}, sys; print(*sys.modules)").stdout.split()
    assert not never & {name.partition(".")[0] for name in loaded}
