"""``karn mcp --http``: real clients of both revisions, the token, where it may listen, and its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from http_support import TOKEN, Served, call, commanded, environment, head, serving, wait_for_end
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_support import ask, refusal

BEARER = {"Authorization": f"Bearer {TOKEN}"}
REVISIONS = pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")


def refused(*options: str, token: str | None = None) -> str:
    """The one line of a server that does not start."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "esper", "mcp", "-d", "/", *options],
        env=environment(token),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@REVISIONS
async def test_both_revisions_are_served_with_a_token(
    mode: str, version: str, two_runs: Path, token_file: Path
) -> None:
    with commanded(two_runs, "0", "--token-file", str(token_file)) as served:
        async with httpx2.AsyncClient(headers=BEARER, timeout=30) as http:
            async with Client(streamable_http_client(served.url, http_client=http), mode=mode) as client:
                assert client.protocol_version == version
                assert (await ask(client, "list_runs"))["row_count"] == 2
                assert (await ask(client, "internal_op_summary", limit=1))["truncated"]
                for name in ("../../etc/passwd", "..", "/etc", "calm/../flip", "%2e%2e%2f", "calm\0"):
                    assert "unknown run" in await refusal(client, "internal_op_summary", run_dir=name)
                    with pytest.raises(Exception, match=r"unknown (run|resource|view)"):
                        await client.read_resource(f"karn://runs/{name}")


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_who_shows_another_token_or_none_is_refused(given: str | None, guarded: Served) -> None:
    body, headers = call("list_runs", None)
    shown = {} if given is None else {"Authorization": given}
    status, answer, text = guarded.request(body=body, headers={**headers, **shown})
    assert status == 401
    assert answer["www-authenticate"] == "Bearer"
    assert answer["connection"] == "close"
    assert b"run" not in text
    assert guarded.request(body=body, headers={**headers, **BEARER})[0] == 200


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("empty"), token=TOKEN) as served:
        yield served


def test_health_needs_no_token_and_tells_nothing(guarded: Served) -> None:
    for method, text in (("GET", b"ok"), ("HEAD", b"")):
        status, headers, body = guarded.request("/healthz", method=method)
        assert (status, body) == (200, text)
        assert headers.keys() == {"date", "content-length", "content-type"}
    assert guarded.request("/healthz", b"{}")[0] == 404
    for path in ("/", "/healthz/", "/runs", "/mcp/x", "/mcp/", "/.well-known/oauth-protected-resource"):
        assert guarded.request(path)[::2] == (404, b"not found")


@on_linux
def test_the_token_stays_where_it_was_put(two_runs: Path, token_file: Path) -> None:
    for options, variable in ((("--token-file", str(token_file)), None), ((), TOKEN)):
        with commanded(two_runs, "0", *options, token=variable) as served:
            assert served.request(headers={"Authorization": f"Bearer {TOKEN}x"})[0] == 401
            body, headers = call("list_runs", None)
            assert served.request(body=body, headers={**headers, **BEARER})[0] == 200
            assert served.request(body=body, headers={**headers, **BEARER, "Host": TOKEN})[0] == 421
            assert TOKEN not in Path(f"/proc/{served.process.pid}/cmdline").read_text()
            children = served.children()
            assert children
            for child in children:
                told = (
                    Path(f"/proc/{child}/environ").read_bytes() + Path(f"/proc/{child}/cmdline").read_bytes()
                )
                assert TOKEN.encode() not in told
            served.process.terminate()
            assert served.said() == ""


def test_other_machines_are_served_with_a_token_alone(two_runs: Path, token_file: Path) -> None:
    for where in ("0.0.0.0:0", "[::]:0"):
        assert refused("--http", where) == (
            f"karn: {where} can be reached from other machines, so clients need a token: put one in "
            "KARN_MCP_TOKEN or a file for --token-file, or listen on 127.0.0.1 and forward the port by ssh -L"
        )
    with commanded(two_runs, "0.0.0.0:0", "--allow-host", "Karn.example", token=TOKEN) as served:
        for name in ("127.0.0.1", "localhost:1", socket.gethostname(), "karn.example:80", "0.0.0.0"):
            assert served.request("/healthz", headers={"Host": name})[0] == 200
        assert served.request("/healthz", headers={"Host": "other.example"})[0] == 421
        assert served.request()[0] == 401


def test_a_port_in_use_is_one_line(two_runs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refused("--http", where) == (
            f"karn: can't listen on {where}: Address already in use; give another HOST:PORT"
        )


def test_options_that_can_not_be_right_are_one_line(token_file: Path) -> None:
    assert refused("--token-file", str(token_file)) == (
        "karn: HOST:PORT, --token-file and --allow-host need --http"
    )
    token_file.chmod(0o640)
    assert refused("--http", "0", "--token-file", str(token_file)) == (
        f"karn: the token file {token_file} is open to other users (mode 640); chmod 600 it"
    )


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_all_that_it_runs(number: signal.Signals, two_runs: Path) -> None:
    with serving(two_runs, shutdown_s=0.1) as served:
        session = served.session()
        with served.raw() as stream, served.begin_endless(session), served.begin_endless(None):
            stream.sendall(head(b"", session).replace(b"POST", b"GET"))
            assert stream.recv(65_536).startswith(b"HTTP/1.1 200 OK")
            ends = served.ends()
            served.process.send_signal(number)
            assert (
                served.process.wait(timeout=10)
                == {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM}[number]
            )
            wait_for_end(ends, of_all=True)
        assert served.said() == ""
