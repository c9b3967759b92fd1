"""What karn doctor says about hosts: real files, and real servers that answer, fail, hang or are gone."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from esper.hosts.checkup import Finding, _in_range, check_hosts, hosts_text
from esper.hosts.probe import why_no_answer
from hosts_support import Home
from test_cli import EXAMPLES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    for name, value in home.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.project)
    return home


def of_hosts() -> list[Finding]:
    return [finding for finding in check_hosts() if finding.host]


def checked(home: Home, entry: dict[str, Any], name: str = "karn") -> Finding:
    home.write("cursor", json.dumps({"mcpServers": {name: entry}}))
    (finding,) = of_hosts()
    return finding


def test_a_home_without_hosts_has_nothing_to_say(home: Home) -> None:
    assert of_hosts() == []


def test_an_installed_entry_starts_and_answers(home: Home) -> None:
    home.install("cursor")
    home.install("codex", "--project")
    assert [(finding.host, finding.ok, finding.text) for finding in of_hosts()] == [
        ("cursor", True, "karn starts and answers"),
        ("codex", True, "karn starts and answers"),
    ]


def test_a_host_without_an_entry_is_no_problem(home: Home) -> None:
    home.write("vscode", "{}")
    (finding,) = of_hosts()
    assert (finding.ok, finding.text, finding.advice) == (
        True,
        "no karn entry",
        "`karn install vscode` adds one",
    )


def test_a_malformed_file_is_a_problem_with_its_place(home: Home) -> None:
    path = home.write("codex", "a = 1\nb = = 2\n")
    (finding,) = of_hosts()
    assert (finding.ok, finding.file) == (False, str(path))
    assert finding.text.startswith("2:5: ")


def test_an_entry_of_claude_codes_local_scope_is_found(home: Home) -> None:
    servers = {"mcpServers": {"mine": {"command": "/gone/karn"}}}
    home.write("claude-code", json.dumps({"projects": {str(home.project): servers}}))
    (finding,) = of_hosts()
    assert (finding.ok, finding.text) == (False, "mine: the command /gone/karn does not exist")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"command": "/gone/karn"}, "the command /gone/karn does not exist"),
        ({"args": []}, "says no command"),
        ({"command": sys.executable, "args": ["-c", "raise SystemExit('broken')"]}, "exit status 1: broken"),
        ({"command": sys.executable, "args": ["-c", "import os; os.close(0)"]}, "exit status 0"),
    ],
)
def test_an_entry_that_does_not_start_is_a_problem(home: Home, entry: dict[str, Any], text: str) -> None:
    finding = checked(home, entry)
    assert not finding.ok
    assert text in finding.text
    assert finding.advice


@pytest.mark.parametrize(
    ("arguments", "variables", "text"),
    [
        (["mcp"], {}, "it names no telemetry folder"),
        (["mcp", "--telemetry-dir"], {}, "it names no telemetry folder"),
        (["mcp", "-d", "telemetry"], {}, "the telemetry folder telemetry is relative"),
        (["mcp", "--telemetry-dir=/gone"], {}, "there is no telemetry folder /gone"),
        (["mcp"], {"KARN_TELEMETRY_DIR": "/gone"}, "there is no telemetry folder /gone"),
    ],
)
def test_an_entry_whose_folder_can_not_be_right_is_a_problem(
    home: Home, arguments: list[str], variables: dict[str, str], text: str
) -> None:
    karn = str(Path(sys.executable).parent / "karn")
    finding = checked(home, {"command": karn, "args": arguments, "env": variables})
    assert not finding.ok
    assert text in finding.text
    assert finding.advice == "`karn install cursor` writes it anew"


def test_a_folder_may_come_from_the_entrys_environment(home: Home) -> None:
    karn = str(Path(sys.executable).parent / "karn")
    entry = {"command": karn, "args": ["mcp"], "env": {"KARN_TELEMETRY_DIR": str(EXAMPLES)}}
    assert checked(home, entry, "thrash").text == "thrash starts and answers"


@pytest.mark.parametrize("entry", [{"url": "http://localhost/mcp"}, {"command": "${HOME}/karn"}])
def test_what_can_not_be_tried_from_here_is_said(home: Home, entry: dict[str, Any]) -> None:
    finding = checked(home, entry)
    assert finding.ok
    assert "not tried" in finding.text


def test_a_command_that_is_no_program_is_a_problem(home: Home) -> None:
    file = home.folder / "karn"
    file.touch(0o600)
    assert checked(home, {"command": str(file)}).text == f"karn: the command {file} is not executable"
    file.chmod(0o700)
    file.write_bytes(b"\x00")
    assert (
        "can't be started: Exec format error"
        in checked(home, {"command": str(file), "args": ["-d", "/"]}).text
    )


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}])
def test_what_a_projects_file_names_is_started_only_if_it_is_this_installation(
    home: Home, variables: dict[str, str]
) -> None:
    home.install("cursor", "--project")
    path = home.project / ".cursor/mcp.json"
    values = json.loads(path.read_text())
    mark = home.folder / "mark"
    if variables:
        values["mcpServers"]["karn"]["env"] = variables
        (home.project / "sitecustomize.py").write_text(f"open({str(mark)!r}, 'w')")
    else:
        values["mcpServers"]["karn"] = {"command": "/bin/sh", "args": ["-c", f"touch {mark}"]}
    path.write_text(json.dumps(values))
    (finding,) = of_hosts()
    assert finding.text == "karn starts something else than this installation; not tried"
    assert not mark.exists()


def test_a_server_that_says_nothing_is_given_up_on_and_stopped() -> None:
    deaf = "print('hello', flush=True); input(); input()"
    assert why_no_answer([sys.executable, "-c", deaf], {}, within_s=0.5) == "no answer within 0.5 s"


def test_another_owner_of_the_package_is_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site/esper-3.2.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: esper\nVersion: 3.2\n")
    (other / "top_level.txt").write_text("esper\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    problem = next(finding for finding in check_hosts() if not finding.ok)
    assert (problem.host, problem.text) == (None, "the package esper is also installed by esper")
    assert "pip uninstall esper && " in (problem.advice or "")


def test_the_sdks_version_is_checked_against_what_this_distribution_asks_for() -> None:
    (finding,) = [finding for finding in check_hosts() if finding.text.startswith("MCP SDK")]
    assert (finding.ok, finding.text) == (True, f"MCP SDK {metadata.version('mcp')}")
    assert _in_range("2.10", "<3,>=2.3")
    assert not _in_range("2.2.9", "<3,>=2.3")
    assert not _in_range("3.0.0", "<3,>=2.3")


def test_findings_as_text_name_the_file_the_problem_and_what_to_do() -> None:
    bad = Finding(host="cursor", file="/f", ok=False, text="it is broken", advice="mend it")
    good = Finding(host=None, file=None, ok=True, text="MCP SDK 2.3.0")
    assert (
        hosts_text([bad, good]) == "cursor /f: PROBLEM: it is broken\n  mend it\ninstallation: MCP SDK 2.3.0"
    )
