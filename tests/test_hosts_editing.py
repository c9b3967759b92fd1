"""An entry goes into any JSON or TOML file and out again, and no other byte is touched."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from esper.hosts import json_edit, toml_edit
from esper.hosts.change import installation, removal
from esper.hosts.jsonc import parse
from esper.hosts.known import HOSTS, Host
from esper.hosts.texts import Malformed

ENTRY: dict[str, Any] = {"command": '/a "b"/\\karn\x7fé', "args": ["mcp", "--telemetry-dir", "/{[//*#,\t"]}

gaps = st.lists(
    st.sampled_from(
        ["", " ", "\n", "\t", "\r\n", "\n  ", '// a, } " note\n', "// {\n", '/* "karn": {} */', "/**/"]
    ),
    max_size=3,
).map("".join)
keys = st.sampled_from(['"a"', '"b"', '"k\\u0061rm"', '"//"', '"{"', '"é"'])
scalars = st.sampled_from(["1", "-2.5e3", "true", "null", '""', '"// no"', '"\\"}"', '"/* no */"', '"ü"'])


@st.composite
def objects(draw: st.DrawFn, members: list[tuple[str, st.SearchStrategy[str]]] | None = None) -> str:
    """An object's text in any layout: spaces and comments wherever they may stand, trailing commas."""
    if members is None:
        names = draw(st.lists(keys, max_size=3, unique=True))
        members = [(name, values) for name in names]
    text = "{" + draw(gaps)
    for index, (name, value) in enumerate(members):
        text += name + draw(gaps) + ":" + draw(gaps) + draw(value) + draw(gaps)
        if index < len(members) - 1 or draw(st.booleans()):
            text += "," + draw(gaps)
    return text + "}"


@st.composite
def arrays(draw: st.DrawFn) -> str:
    items = [draw(gaps) + draw(values) + draw(gaps) for _ in range(draw(st.integers(0, 2)))]
    return "[" + ",".join(items) + ("," if items and draw(st.booleans()) else draw(gaps)) + "]"


values: st.SearchStrategy[str] = st.deferred(lambda: scalars | objects() | arrays())


@st.composite
def host_files(draw: st.DrawFn) -> str:
    """A JSON file, most of them with servers."""
    names = [(name, values) for name in draw(st.lists(keys, max_size=2, unique=True))]
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, len(names))), ('"mcpServers"', objects()))
    return draw(gaps) + draw(objects(names)) + draw(gaps)


def has_others(text: str) -> bool:
    """Whether something else is where the entry goes."""
    found = json_edit.values(text)
    return bool(found.get("mcpServers", found))


@given(host_files())
def test_an_entry_changes_what_json_says_by_itself_alone(text: str) -> None:
    before = json_edit.values(text)
    after = json_edit.values(json_edit.with_entry(text, "mcpServers", "karn", ENTRY))
    servers = {**before.get("mcpServers", {}), "karn": ENTRY}
    assert after == {**before, "mcpServers": servers}
    assert list(after)[: len(before)] == list(before)


@given(host_files())
def test_json_with_other_entries_is_the_same_after_both(text: str) -> None:
    assume(has_others(text))
    there = json_edit.with_entry(text, "mcpServers", "karn", ENTRY)
    drop = "mcpServers" not in json_edit.values(text)
    assert json_edit.without_entry(there, "mcpServers", "karn", drop_container=drop) == text


@given(host_files(), st.data())
def test_an_entry_goes_from_any_place_in_json_and_comments_stay(text: str, data: st.DataObject) -> None:
    before = json_edit.values(text)
    assume(before.get("mcpServers"))
    name = data.draw(st.sampled_from(list(before["mcpServers"])))
    after = json_edit.without_entry(text, "mcpServers", name, drop_container=False)
    del before["mcpServers"][name]
    assert json_edit.values(after) == before


@given(host_files(), st.data())
def test_an_entry_is_replaced_where_it_stands_in_json(text: str, data: st.DataObject) -> None:
    before = json_edit.values(text)
    assume(before.get("mcpServers"))
    name = data.draw(st.sampled_from(list(before["mcpServers"])))
    after = json_edit.values(json_edit.with_entry(text, "mcpServers", name, ENTRY))
    before["mcpServers"][name] = ENTRY
    assert after == before
    assert list(after["mcpServers"]) == list(before["mcpServers"])


@given(
    st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=9)
)
def test_json_without_comments_is_read_as_python_reads_it(value: Any) -> None:
    text = json.dumps({"a": value}, indent=2)
    root = parse(text)
    assert root is not None
    assert root.value == json.loads(text)


@given(st.text(alphabet='{}[]",:/*a1\\ \n'))
@example('{"a": 1,,}')
@example("{,}")
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    try:
        json_edit.values(text)
        line, column = 1, 1
    except Malformed as error:
        line, column = error.line, error.column
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


statements = st.sampled_from(
    [
        "# a note: [mcp_servers.karn]\n",
        "\n",
        'a{} = "[mcp_servers.karn]" # x\n',
        "b{} = '''\n[mcp_servers.karn]\ncommand = \"no\"\n'''\n",
        'c{} = """\n\\"""[mcp_servers.karn]\n"""\n',
        "d{} = [\n  1, # [mcp_servers.karn]\n  [2],\n]\n",
        'e{} = {{x = "}}", y = [1]}}\n',
        "[t{}]\n",
        "  [t{}.karn] # x\n",
        "[mcp_servers.s{}]\n",
        '[ mcp_servers . "s{}#]" ] # [x]\n',
        "[[list{}]]\n",
        "[mcp_servers.s{}.env]\n",
        "mcp_servers{}.karn = 1\n",
    ]
)


@st.composite
def toml_files(draw: st.DrawFn) -> str:
    lines = draw(st.lists(statements, max_size=8))
    text = "".join(line.format(index) for index, line in enumerate(lines))
    if text and draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@given(toml_files())
def test_an_entry_changes_what_toml_says_by_itself_alone(text: str) -> None:
    before = tomllib.loads(text)
    there = toml_edit.with_entry(text, "mcp_servers", "karn", ENTRY)
    servers = {**before.get("mcp_servers", {}), "karn": ENTRY}
    assert tomllib.loads(there) == {**before, "mcp_servers": servers}


@given(toml_files())
def test_toml_is_the_same_after_both(text: str) -> None:
    assume(text.strip())
    there = toml_edit.with_entry(text, "mcp_servers", "karn", ENTRY)
    assert toml_edit.without_entry(there, "mcp_servers", "karn", drop_container=True) == text


OURS = [
    '[mcp_servers.karn]\ncommand = "old"\n# ours\n[mcp_servers.karn.env]\nA = "]"\n',
    '[ "mcp_servers" . karn ]\ncommand = "old"\n',
    '[mcp_servers]\nother.command = "x"\nkarn.command = "old"\nkarn.args = [\n]\n',
    '[mcp_servers]\nkarn = {command = "old"}\n',
]


@given(toml_files(), st.sampled_from(OURS), toml_files())
@example("", OURS[0], "[mcp_servers.other]\n")
def test_an_entry_of_any_form_is_replaced_and_removed_in_toml(above: str, ours: str, below: str) -> None:
    below = below.replace("a", "n").replace("mcp_servers.s", "mcp_servers.z").replace("[t", "[u")
    text = "\n".join([above, ours, below])
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    del before["mcp_servers"]["karn"]
    after = tomllib.loads(toml_edit.without_entry(text, "mcp_servers", "karn", drop_container=False))
    assert {"mcp_servers": {}, **after} == before
    before["mcp_servers"]["karn"] = ENTRY
    assert tomllib.loads(toml_edit.with_entry(text, "mcp_servers", "karn", ENTRY)) == before


@given(st.sampled_from([(HOSTS["cursor"], host_files()), (HOSTS["codex"], toml_files())]), st.data())
def test_a_file_of_any_content_has_its_bytes_back_after_both(
    host_and_files: tuple[Host, st.SearchStrategy[str]], data: st.DataObject
) -> None:
    host, contents = host_and_files
    content = data.draw(contents).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        for entry in (ENTRY, {**ENTRY, "command": "/other"}):
            change = installation(host, path, "karn", entry)
            assert change is not None
            change.write()
            assert installation(host, path, "karn", entry) is None
        undo = removal(host, path, "karn")
        assert undo is not None
        undo.write()
        assert path.read_bytes() == content
        assert removal(host, path, "karn") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "s": {\n    "k": {\n      "a": 1\n    }\n  }\n}'),
        ('{"s":{}}', '{"s":{"k": {"a": 1}}}'),
        ('{\n\t"s": {}\n}', '{\n\t"s": {\n\t\t"k": {\n\t\t\t"a": 1\n\t\t}\n\t}\n}'),
        ('{"x": 1 // y\n}', '{"x": 1, // y\n"s": {"k": {"a": 1}}\n}'),
        ("// only a note", '// only a note\n{\n  "s": {\n    "k": {\n      "a": 1\n    }\n  }\n}\n'),
    ],
)
def test_an_entry_looks_as_the_file_does(before: str, after: str) -> None:
    assert json_edit.with_entry(before, "s", "k", {"a": 1}) == after
