"""karn install and karn uninstall as a person types them, on real files in a home of their own."""

from __future__ import annotations

import codecs
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from esper.hosts.known import HOSTS
from hosts_support import FILES, Home, backups, entry_in
from test_cli import EXAMPLES

PROJECT_FILES = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "codex": ".codex/config.toml",
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.parametrize("host", FILES)
async def test_a_client_starts_the_written_entry_and_lists_the_tools(home: Home, host: str) -> None:
    home.install(host)
    entry = entry_in(host, home.file(host))
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-3:] == ["mcp", "--telemetry-dir", str(EXAMPLES)]
    assert entry.get("type", "stdio") == "stdio"
    parameters = StdioServerParameters(command=entry["command"], args=entry["args"], cwd="/")
    async with Client(stdio_client(parameters)) as client:
        assert "thrash_verdict" in [tool.name for tool in (await client.list_tools()).tools]


@pytest.mark.parametrize(("host", "file"), PROJECT_FILES.items())
def test_a_project_has_a_file_of_its_own(home: Home, host: str, file: str) -> None:
    home.install(host, "--project")
    assert entry_in(host, home.project / file)["command"]
    assert not home.file(host).exists()
    assert "this project's has it: --project" in home.uninstall(host)
    home.uninstall(host, "--project")
    assert not (home.project / file).exists()


def test_claude_desktop_knows_no_projects(home: Home) -> None:
    done = home.karn("install", "claude-desktop", "--project")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Claude Desktop has no file for a project" in done.stderr


@pytest.mark.parametrize(
    ("host", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "CODEX_HOME", "config.toml"),
        pytest.param(
            "vscode",
            "XDG_CONFIG_HOME",
            "Code/User/mcp.json",
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no XDG folders"),
        ),
    ],
)
def test_a_host_that_was_moved_is_found(home: Home, host: str, variable: str, file: str) -> None:
    moved = home.folder / "moved"
    assert home.karn("install", host, "--yes", **{variable: str(moved)}).returncode == 0
    assert entry_in(host, moved / file)


def test_macos_keeps_the_settings_of_desktop_programs_elsewhere(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", str(home.folder))
    settings = home.folder / "Library/Application Support"
    assert HOSTS["vscode"].user_file() == settings / "Code/User/mcp.json"
    assert HOSTS["claude-desktop"].user_file() == settings / "Claude/claude_desktop_config.json"


@pytest.mark.parametrize("host", FILES)
def test_what_is_there_already_is_left_alone(home: Home, host: str) -> None:
    home.install(host)
    before = home.file(host).stat().st_mtime_ns
    assert home.install(host) == f"already there: karn in {home.file(host)}\n"
    assert home.file(host).stat().st_mtime_ns == before
    assert backups(home.file(host)) == []


@pytest.mark.parametrize("host", FILES)
def test_an_entry_with_another_folder_is_replaced_and_uninstalling_goes_back_to_before_both(
    home: Home, host: str
) -> None:
    home.install(host)
    text = home.install(host, "-d", home.folder)
    removed = [line for line in text.splitlines() if line.startswith("-") and str(EXAMPLES) in line]
    assert len(removed) == 1
    assert entry_in(host, home.file(host))["args"][-1] == str(home.folder)
    assert backups(home.file(host)) == [".karn-backup"]
    home.uninstall(host)
    assert not home.file(host).exists()


JSONC = """{
\t// servers that I use
\t"inputs": [],
\t"servers": {
\t\t"other": {"command": "x"}, /* keep */
\t},
}
"""
TOML = """# mine
model = "o"  # the model

[mcp_servers.other]
command = "x"
[profiles.a]
model = '[mcp_servers.karn]'
"""


@pytest.mark.parametrize(("host", "content"), [("vscode", JSONC), ("codex", TOML)])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("last", [True, False])
def test_all_else_in_a_file_stays_and_uninstalling_gives_it_back(
    home: Home, host: str, content: str, ending: str, mark: bytes, last: bool
) -> None:
    content = content if last else content.rstrip()
    before = mark + content.replace("\n", ending).encode()
    path = home.write(host, before)
    home.install(host)
    after = path.read_bytes()
    assert after.startswith(mark)
    assert after.count(b"\n") == after.count(ending.encode())
    rest = iter(after.splitlines())
    assert all(line in rest for line in before.splitlines()), "every line is there, in the same order"
    assert path.with_name(f"{path.name}.karn-backup").read_bytes() == before
    home.uninstall(host)
    assert path.read_bytes() == before


def test_the_diff_shows_one_new_server_and_nothing_else(home: Home) -> None:
    path = home.write("vscode", JSONC)
    diff = home.install("vscode").partition("wrote ")[0].splitlines()
    assert diff[:2] == [f"--- {path}", f"+++ {path}"]
    assert not [line for line in diff[2:] if line.startswith("-")]
    assert [line for line in diff if line.startswith("+")][1] == '+        "karn": {'


@pytest.mark.parametrize(
    "content", ["", "\n", "{}", "{\n}\n", '{"mcpServers":{}}', '{"mcpServers": {\n  }\n}']
)
def test_a_file_without_an_entry_is_as_it_was_after_both(home: Home, content: str) -> None:
    path = home.write("cursor", content)
    home.install("cursor")
    assert entry_in("cursor", path)
    home.uninstall("cursor")
    assert path.read_text() == content


def test_a_container_that_was_added_goes_also_when_the_host_has_written_meanwhile(home: Home) -> None:
    path = home.write("claude-code", '{\n  "numStartups": 1\n}\n')
    home.install("claude-code")
    path.write_text(path.read_text().replace('"numStartups": 1', '"numStartups": 2'))
    home.uninstall("claude-code")
    assert path.read_text() == '{\n  "numStartups": 2\n}\n'


def test_an_older_backup_is_never_overwritten(home: Home) -> None:
    path = home.write("cursor", "{}")
    home.install("cursor")
    home.install("cursor", "-d", home.folder)
    home.install("cursor", "-d", home.project)
    assert backups(path) == [".karn-backup", ".karn-backup2", ".karn-backup3"]
    assert path.with_name("mcp.json.karn-backup").read_text() == "{}"
    home.uninstall("cursor")
    assert path.read_text() == "{}"


def test_two_servers_of_different_names_live_side_by_side(home: Home) -> None:
    home.install("codex")
    home.install("codex", "--name", "karn-2", "-d", home.folder)
    home.uninstall("codex")
    assert entry_in("codex", home.file("codex"), "karn-2")["args"][-1] == str(home.folder)
    assert "karn" not in tomllib.loads(home.file("codex").read_text())["mcp_servers"]


def test_uninstalling_what_is_not_there_says_so(home: Home) -> None:
    (home.project / ".cursor").mkdir()
    (home.project / ".cursor/mcp.json").write_text("broken")
    assert home.uninstall("cursor") == f"not there: no karn in {home.file('cursor')}\n"


class TestAsking:
    def test_a_dry_run_shows_the_change_and_writes_nothing(self, home: Home) -> None:
        done = home.karn("install", "cursor", "--dry-run")
        assert done.returncode == 0
        assert '+    "karn": {' in done.stdout
        assert not home.file("cursor").exists()

    @pytest.mark.parametrize("command", ["install", "uninstall"])
    def test_without_a_terminal_the_change_is_shown_and_one_line_says_what_to_give(
        self, home: Home, command: str
    ) -> None:
        if command == "uninstall":
            home.install("codex")
        done = home.karn(command, "codex")
        assert done.returncode == 1
        assert "[mcp_servers.karn]" in done.stdout
        assert done.stderr == "karn: nothing was written: without a terminal to ask on, give --yes\n"
        assert home.file("codex").exists() == (command == "uninstall")

    @pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
    def test_on_a_terminal_it_asks(self, home: Home, answer: bytes, code: int) -> None:
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "esper", "install", "cursor"],
                cwd=home.project,
                env={**os.environ, **home.variables},
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            os.write(ours, answer)
            output, _ = process.communicate(timeout=60)
        finally:
            os.close(ours)
            os.close(theirs)
        assert f"change {home.file('cursor')}?".encode() in output
        assert process.returncode == code, output
        assert home.file("cursor").exists() == (code == 0)
