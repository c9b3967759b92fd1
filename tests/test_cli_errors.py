"""The karn command where it can't do what it is asked: one line on standard error, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from store_support import event, write_lines


def karn(cwd: Path, arguments: Sequence[str | bytes], **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "esper", *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path) -> Path:
    write_lines(tmp_path / "telemetry" / "run" / "events.jsonl", event("X"), "garbage")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["repot"], "No such command 'repot'. Did you mean 'report'"),
        (["sql", "SELECT 1", "--limit", "-1"], "'--limit'"),
        (["sql", "SELECT 1", "--format", "xml"], "is not one of 'table', 'csv', 'json'; see karn sql --help"),
        (["sql"], "Missing argument 'SELECT'"),
        (["report", "--fail-on", "doubt"], "'doubt' is not one of 'thrash'"),
        (["report", "--bogus"], "No such option: --bogus"),
        (["report", "--env", "one"], "'--env'"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(folder, arguments, says):
    done = karn(folder, arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("karn: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sql", "SELECT polcy FROM runs"], 'Candidate bindings: "policy"'),
        (["sql", "SELECT * FROM rns"], "unknown view 'rns'; did you mean runs"),
        (["sql", b"SELECT '\xff'"], "surrogate"),
        (["sql", ""], "the SQL is empty"),
        (["report", "\x1b[31mrun"], "unknown run"),
        (["report", b"\xff"], "unknown run"),
        (["import", "telemetry"], "can't read telemetry"),
        (["import", "levels.csv", "--run-dir", "../up"], "is not a folder name"),
        (["validate", "telemetry"], "no file telemetry"),
        (["sanctum", "gone", "--once"], "unknown run 'gone'"),
        (["report", "-d", "telemetry/run/events.jsonl"], "is a file"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_exits_with_1(folder, arguments, says):
    done = karn(folder, arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("karn: ")
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert says in done.stderr


def test_a_folder_without_a_run_is_said(tmp_path):
    done = karn(tmp_path, ["runs", "-d", "."])
    assert done.returncode == 0
    assert "no run yet" in done.stderr


def test_a_terminal_that_knows_no_unicode_is_shown_what_it_can(folder):
    done = karn(folder, ["sql", "SELECT 'é→' AS a", "--format", "csv"], PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "a\n\\xe9\\u2192\n")


def test_a_file_whose_name_is_no_utf8_can_be_validated(folder):
    os.rename(folder / "telemetry" / "run", os.fsencode(folder) + b"/telemetry/\xff")
    done = karn(folder, ["validate", b"telemetry/\xff/events.jsonl"])
    assert done.returncode == 1
    assert "1 events, 1 problems" in done.stdout
    assert ":2: line: not JSON" in done.stdout


NO_OUTPUT = "can't write to standard output: it is closed"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("karn runs >&-", NO_OUTPUT),
        ("karn runs >&- <&-", NO_OUTPUT),
        ("karn sanctum --once >&-", NO_OUTPUT),
        ("karn --help >&-", NO_OUTPUT),
        ("karn runs 1</dev/null", NO_OUTPUT),
        ("ulimit -f 0; karn runs >short", "can't write to standard output: File too large"),
        ("ulimit -f 0; karn --help >short", "can't write: File too large"),
        ("karn runs >&- 2>&-", None),
        ("karn --help >&- 2>&-", None),
        ("karn report nono 2>&-", None),
        ("karn runs >/dev/full 2>/dev/full", None),
    ],
)
def test_output_that_can_not_be_written_is_one_line_and_exits_with_1(folder, command, says, unbuffered):
    script = f'karn() {{ "{sys.executable}" -W error -m esper "$@"; }}\n{command}'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("" if says is None else f"karn: {says}\n")


def test_a_closed_standard_error_hides_what_is_said_there_and_nothing_else(folder):
    command = f'"{sys.executable}" -m esper sql "SELECT 1 AS a" --format csv 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "a\n1\n")
