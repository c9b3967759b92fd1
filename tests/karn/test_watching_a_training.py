"""``karn train`` on a terminal: a bar while it goes on, a verdict and what to type next when it is over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from terminal_support import terminal

from support import read_events

SIZE = ("COLUMNS", "LINES")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in SIZE}
ENVIRONMENT |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def train(folder: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "esper", "train", "--envs", "1", "--telemetry-dir", str(folder)]
    return [*command, "--run-dir", "run", *options]


def test_the_bar_says_what_it_does_and_the_end_what_came_of_it(tmp_path: Path) -> None:
    options = ("--policy", "oscillate", "--episodes", "1", "--epochs", "30", "--set", "train_images=64")
    with terminal(train(tmp_path, *options), ENVIRONMENT) as shown:
        shown.wait_for(r"episode 1/1")
        shown.wait_for(r"30/30 epochs")
        shown.wait_for(
            r"accuracy 0\.\d{3}  reversal rate .+  params [\d,]+  \d+ GROW, \d+ SHRINK, \d+ NOOP, \d+"
        )
        assert shown.wait() == 0
        text = shown.text.decode()
    last_state = text[: text.index("run run")].splitlines()[-1]
    said, next_command = text[text.index("run run") :].splitlines()[1:3]
    counts = [event["data"] for event in read_events(tmp_path / "run/events.jsonl")]
    ops = [data["action_name"] for data in counts if data.get("kind") == "last_action"]
    assert f"{ops.count('GROW_INTERNAL')} GROW, {ops.count('SHRINK_INTERNAL')} SHRINK" in last_state
    assert "reversal rate 0." in last_state or "reversal rate 1.00" in last_state
    assert "insufficient data" in said
    assert next_command == f"next: karn report --telemetry-dir {tmp_path} -- run"


def test_in_a_narrow_terminal_no_line_is_broken(tmp_path: Path) -> None:
    options = ("--policy", "random", "--episodes", "1", "--epochs", "6", "--set", "train_images=64")
    with terminal(train(tmp_path, *options), ENVIRONMENT, columns=40) as shown:
        assert shown.wait() == 0
        text = shown.text.decode()
    drawn = text[: text.index("run run")].replace("\r", "\n").splitlines()
    assert max(map(len, drawn)) <= 40


def test_without_a_terminal_each_episode_is_a_line(tmp_path: Path) -> None:
    options = ("--policy", "random", "--episodes", "2", "--epochs", "4", "--set", "train_images=64")
    done = subprocess.run(train(tmp_path, *options), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["episode 1/2", "episode 2/2"]


def test_ctrl_c_says_how_to_go_on_and_that_does(tmp_path: Path) -> None:
    options = ("--policy", "random", "--episodes", "50", "--epochs", "8", "--set", "train_images=64")
    with terminal(train(tmp_path, *options), ENVIRONMENT) as shown:
        shown.wait_for(r" \d+/400 epochs")
        shown.press("\x03")
        assert shown.wait() == 130
        said = shown.text.decode().splitlines()[-1]
    assert said == "karn: interrupted; to go on, give the same command with --run-dir run --resume"
    again = train(tmp_path, "--policy", "random", "--episodes", "2", *options[4:], "--resume")
    done = subprocess.run(again, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
