"""karn install where it can't or should not write: one line says why, and the file is as it was."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from esper.hosts.change import Change
from esper.leyline.errors import HostFileError
from hosts_support import Home, backups, entry_in


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def refused(home: Home, *arguments: str | Path) -> str:
    done = home.karn(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("karn: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_an_unknown_host_names_the_nearest(home: Home) -> None:
    assert "unknown host 'cursr'; did you mean cursor?" in refused(home, "install", "cursr")
    assert "unknown host 'emacs'; there is claude-code" in refused(home, "uninstall", "emacs")


@pytest.mark.parametrize(
    ("host", "content", "where"),
    [
        ("cursor", '{\n  "mcpServers": {\n', ":3:1: "),
        ("cursor", '{"a": 1} x', ":1:10: something stands behind"),
        ("cursor", '{"a": "no end\n"}', ":1:7: a string that does not end"),
        ("cursor", '{\n "a" 1}', ':2:6: a ":" was expected'),
        ("cursor", '{"a": nul}', ":1:7: nul is no JSON value"),
        ("cursor", "[]", ":1:1: the top level must be an object"),
        ("cursor", '{"mcpServers": []}', ':1:16: "mcpServers" must be an object'),
        ("cursor", '{"mcpServers": {}, "mcpServers": {}}', ':1:20: "mcpServers" is there twice'),
        ("vscode", "{/* no end", ":1:2: "),
        ("vscode", "[" * 100_000, ":1:1: it is nested too deeply"),
        ("codex", "a = 1\nb = = 2\n", ":2:5: "),
        ("codex", 'a = """', ":1:8: "),
        ("codex", "mcp_servers = {}\n", ":1:1: mcp_servers can't be extended here"),
        ("codex", "a = 1\n[[mcp_servers]]\n", ":2:1: mcp_servers can't be extended here"),
        ("codex", b"a = 1\n# \xff\n", ":2:3: not UTF-8"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_column(
    home: Home, host: str, content: str | bytes, where: str
) -> None:
    path = home.write(host, content)
    before = path.read_bytes()
    assert f"{path}{where}" in refused(home, "install", host, "--yes")
    assert path.read_bytes() == before
    assert backups(path) == []


def test_a_read_only_file_stays_as_it_is(home: Home) -> None:
    path = home.write("cursor", "{}")
    path.chmod(0o444)
    assert f"{path} is read-only" in refused(home, "install", "cursor", "--yes")
    assert (path.read_text(), backups(path)) == ("{}", [])


def test_a_folder_that_can_not_be_made_is_named(home: Home) -> None:
    (home.folder / ".cursor").write_text("a file")
    assert f"can't read {home.file('cursor')}: Not a directory" in refused(home, "install", "cursor", "--yes")


def test_a_folder_in_the_place_of_the_file_is_named(home: Home) -> None:
    home.file("cursor").mkdir(parents=True)
    assert f"can't read {home.file('cursor')}: Is a directory" in refused(home, "install", "cursor", "--yes")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "x" * 65, "a\n"])
def test_a_name_that_hosts_refuse_is_refused(home: Home, name: str) -> None:
    assert "hosts take letters" in refused(home, "install", "codex", "--name", name)


def test_a_telemetry_folder_that_is_a_file_is_refused(home: Home) -> None:
    file = home.folder / "file"
    file.touch()
    assert f"{file} is a file" in refused(home, "install", "codex", "-d", file)


def test_a_telemetry_folder_that_hosts_would_misread_is_refused(home: Home) -> None:
    assert "a variable in the place of" in refused(home, "install", "codex", "-d", "/x/${HOME}")


def test_a_telemetry_folder_that_is_not_there_yet_is_waited_for(home: Home) -> None:
    done = home.karn("install", "cursor", "--yes")
    missing = home.project / "telemetry"
    assert done.returncode == 0
    assert f"there is no folder {missing} yet; the server waits for it" in done.stdout
    assert entry_in("cursor", home.file("cursor"))["args"][-1] == str(missing)


def test_the_environment_may_name_the_telemetry_folder(home: Home) -> None:
    home.karn("install", "cursor", "--yes", KARN_TELEMETRY_DIR="../other")
    named = entry_in("cursor", home.file("cursor"))["args"][-1]
    assert Path(named) == home.project / "../other"


def test_a_link_stays_a_link_and_the_mode_stays(home: Home) -> None:
    real = home.folder / "dotfiles/cursor.json"
    real.parent.mkdir()
    real.write_text('{"a": 1}\n')
    real.chmod(0o640)
    link = home.file("cursor")
    link.parent.mkdir()
    link.symlink_to("../dotfiles/cursor.json")
    home.install("cursor")
    assert link.is_symlink()
    assert entry_in("cursor", real)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    backup = link.with_name("mcp.json.karn-backup")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in real.parent.iterdir()) == ["cursor.json"]
    home.uninstall("cursor")
    assert real.read_text() == '{"a": 1}\n'


def test_a_link_that_leads_nowhere_yet_is_followed(home: Home) -> None:
    link = home.file("codex")
    link.parent.mkdir()
    link.symlink_to(home.folder / "dotfiles/config.toml")
    home.install("codex")
    assert link.is_symlink()
    assert entry_in("codex", home.folder / "dotfiles/config.toml")


def test_a_file_that_changes_while_the_question_stands_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    change = Change(path, b"{}", b'{"a": 1}')
    path.write_text('{"b": 2}')
    with pytest.raises(HostFileError, match="was changed meanwhile"):
        change.write()
    assert path.read_text() == '{"b": 2}'
    assert backups(path) == []


def test_without_the_extra_the_command_that_installs_it_is_named(home: Home) -> None:
    hidden = home.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'duckdb':\n"
        "            raise ModuleNotFoundError('hidden', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = home.karn("install", "cursor", PYTHONPATH=str(hidden))
    assert done.returncode == 1
    assert done.stderr == "karn: this needs duckdb: pip install 'karn-telemetry[mcp]'\n"
