"""What may follow ``--http``, where a token may come from, and the names that a server goes by."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from esper.karn.mcp.http.bind import Bind, bound, open_listener, parse_bind, served_names
from esper.karn.mcp.http.token import take_token
from esper.leyline.errors import TelemetryUsageError

GOOD = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        (None, Bind("127.0.0.1", 8321)),
        ("9000", Bind("127.0.0.1", 9000)),
        ("0", Bind("127.0.0.1", 0)),
        ("localhost", Bind("localhost", 8321)),
        ("10.0.0.5:80", Bind("10.0.0.5", 80)),
        ("[::1]:8321", Bind("::1", 8321)),
        ("[::]", Bind("::", 8321)),
    ],
)
def test_host_and_port_are_read(text: str | None, bind: Bind) -> None:
    assert parse_bind(text) == bind
    assert parse_bind(str(bind)) == bind


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8321",
        "::1",
        "::1:8321",
        "http://localhost:1",
        "a:b",
        "a:",
        "a b:1",
        "[x]:1",
        "a:99999",
        "65536",
    ],
)
def test_what_is_neither_is_an_error_that_shows_how(text: str) -> None:
    with pytest.raises(TelemetryUsageError, match=r"(127\.0\.0\.1:8321 or \[::1\]:8321|up to 65535)$"):
        parse_bind(text)


def test_a_host_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TelemetryUsageError, match=r"there is no host 'no\.invalid'"):
        open_listener(Bind("no.invalid", 0), guarded=True)
    with pytest.raises(TelemetryUsageError, match=r"can't listen on 192\.0\.2\.1:0: "):
        open_listener(Bind("192.0.2.1", 0), guarded=True)  # of nobody: a range for documents


def test_what_a_name_stands_for_decides_who_can_call() -> None:
    with open_listener(Bind("localhost", 0), guarded=False) as listener:
        assert bound(listener).host in ("127.0.0.1", "::1")
    for host in ("0.0.0.0", "0", "::", "::ffff:0.0.0.0"):
        with pytest.raises(TelemetryUsageError, match="clients need a token"):
            open_listener(Bind(host, 0), guarded=False)


def test_a_server_goes_by_its_addresses_and_names() -> None:
    here = {"localhost", "127.0.0.1", "::1"}
    own = socket.gethostname().casefold()
    assert served_names(Bind(), Bind()) == here
    assert served_names(Bind("127.0.0.5"), Bind("127.0.0.5"), ["Karn.Example"]) == here | {
        "127.0.0.5",
        "karn.example",
    }
    assert served_names(Bind("0.0.0.0"), Bind("0.0.0.0")) == here | {"0.0.0.0", own}
    assert served_names(Bind("node7"), Bind("10.0.0.5"), ["[fd00::1]"]) == {
        "node7",
        "10.0.0.5",
        own,
        "fd00::1",
    }


def test_a_token_is_taken_out_of_the_environment() -> None:
    environment = {"KARN_MCP_TOKEN": GOOD, "HOME": "/"}
    assert take_token(None, environment) == GOOD.encode()
    assert environment == {"HOME": "/"}
    assert take_token(None, environment) is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_goes_before_the_environment(end: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(GOOD + end, newline="")
    file.chmod(0o600)
    environment = {"KARN_MCP_TOKEN": "another"}
    assert take_token(file, environment) == GOOD.encode()
    assert environment == {}


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "fewer than 16 characters"),
        (GOOD[1:], "fewer than 16 characters"),
        (GOOD + "\n\n", "one line of visible ASCII"),
        (GOOD + " x", "one line of visible ASCII"),
        (GOOD + "\N{LATIN SMALL LETTER E WITH ACUTE}", "one line of visible ASCII"),
        pytest.param(GOOD * 300, "one line of visible ASCII", id="long"),
    ],
)
def test_what_is_no_good_token_is_refused_without_being_shown(token: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(token)
    file.chmod(0o600)
    for given, environment in ((file, {}), (None, {"KARN_MCP_TOKEN": token})):
        with pytest.raises(TelemetryUsageError, match=says) as refusal:
            take_token(given, environment)
        assert not token or token[:15] not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(GOOD)
    file.chmod(mode)
    with pytest.raises(TelemetryUsageError, match=rf"\(mode {mode:o}\); chmod 600 it$"):
        take_token(file, {})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(TelemetryUsageError, match="can't read the token file"):
            take_token(path, {})


def test_a_pipe_serves_as_a_file() -> None:
    reader, writer = os.pipe()
    os.write(writer, GOOD.encode() + b"\n")
    os.close(writer)
    assert take_token(Path(f"/dev/fd/{reader}"), {}) == GOOD.encode()
    os.close(reader)
