"""What clients of the HTTP server can't do: however they behave, others are served and nothing is left."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_support import Served, call, head, serving, wait_for_end

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
BODY, HEADERS = call("list_runs", None)


def answers(served: Served) -> bool:
    """Whether a call of somebody else is served."""
    body, headers = call("list_runs", None)
    return served.request(body=body, headers=headers)[0] == 200


def is_closed(connection: socket.socket) -> bool:
    """Whether the server ends a connection, which is waited for."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.fixture(scope="module")
def served(two_runs: Path) -> Iterator[Served]:
    with serving(two_runs, body_bytes=50_000, sessions=3, stall_s=60) as served:
        yield served


@pytest.fixture(scope="module")
def hasty(two_runs: Path) -> Iterator[Served]:
    """A server with little patience and room for few."""
    with serving(two_runs, stall_s=0.5, connections=100) as served:
        yield served
        served.process.terminate()
        assert served.said() == "", "nobody can fill the log"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "", "localhost.", "127.0.0.1.evil.example", "a@localhost", "[::1"],
)
@pytest.mark.parametrize("path", ["/mcp", "/healthz"])
def test_a_name_that_is_not_ours_is_refused(served: Served, host: str, path: str) -> None:
    status, headers, text = served.request(path, BODY, {**HEADERS, "Host": host})
    assert status in (400, 421)
    assert b"--allow-host" in text or status == 400
    assert headers["connection"] == "close"


@pytest.mark.parametrize("host", ["localhost:9", "LOCALHOST", "127.0.0.1:65535", "[::1]:8321"])
def test_names_of_this_machine_are_ours_with_any_port(served: Served, host: str) -> None:
    assert served.request(body=BODY, headers={**HEADERS, "Host": host})[0] == 200
    assert served.request(body=BODY, headers={**HEADERS, "Host": host, "Origin": f"http://{host}"})[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:3000", "file://"])
def test_pages_of_others_are_refused(served: Served, origin: str) -> None:
    for path in ("/mcp", "/healthz"):
        assert served.request(path, BODY, {**HEADERS, "Origin": origin})[0] == 403


def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    large = BODY + b" " * 50_000
    with served.raw() as connection:
        connection.sendall(head(large, HEADERS))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 "), "its head is enough"
    with served.raw() as connection:
        connection.sendall(
            head(b"", {**HEADERS, "Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
        )
        for _ in range(6):
            connection.sendall(b"2710\r\n" + b" " * 10_000 + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 "), "its size need not be said"
    assert answers(served)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"[" * 40_000, b"9" * 5_000, b'{"jsonrpc":"2.0","id":1}', b"\xff\xfe"]
)
def test_nonsense_is_an_error_of_the_client(served: Served, body: bytes) -> None:
    assert 400 <= served.request(body=body, headers=HEADERS)[0] < 500
    assert 400 <= served.request(body=body)[0] < 500
    assert answers(served)


def test_what_is_no_http_is_refused(served: Served) -> None:
    for nonsense in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"A" * 100_000,
    ):
        with served.raw() as connection:
            connection.sendall(nonsense)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    assert answers(served)


def test_sessions_are_few_and_come_back(served: Served) -> None:
    sessions = [served.session() for _ in range(3)]
    status, _, text = served.initialize()
    assert status == 503
    assert b"Too many open sessions" in text
    body, headers = call("list_runs", sessions[0])
    assert served.request(body=body, headers=headers)[0] == 200, "those that are open go on"
    assert answers(served), "the later revision needs none"
    for session in sessions:
        assert served.request(headers=session, method="DELETE")[0] == 200
    assert served.request(body=body, headers=headers)[0] == 404
    served.request(headers=served.session(), method="DELETE")


def test_a_session_that_is_left_ends(two_runs: Path) -> None:
    with serving(two_runs, session_idle_s=0.2, sessions=1) as served:
        session = served.session()
        with served.raw() as stream:
            stream.sendall(head(b"", session).replace(b"POST", b"GET"))
            assert stream.recv(65_536).startswith(b"HTTP/1.1 200 ")
            assert served.initialize()[0] == 503, "an open stream holds it"
        while served.initialize()[0] == 503:
            assert served.process.poll() is None


def test_who_sends_no_whole_request_is_closed(hasty: Served) -> None:
    begun = [b"", b"GET /mcp HTTP/1.1\r\nHost: localh", head(BODY, HEADERS) + BODY[:-1]]
    connections = [hasty.raw() for _ in begun]
    for connection, text in zip(connections, begun, strict=True):
        connection.sendall(text)
    for connection in connections:
        assert is_closed(connection)
        connection.close()


def test_a_byte_now_and_then_buys_no_time(hasty: Served) -> None:
    with hasty.raw() as connection:
        connection.settimeout(0.05)
        connection.sendall(b"GET /mcp HTTP/1.1\r\n")
        sent = 0
        while True:
            try:
                connection.sendall(b"A: b\r\n")
                sent += 1
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                assert sent < 200
            except (ConnectionResetError, BrokenPipeError):
                break


def test_a_refused_client_is_not_read_on(two_runs: Path) -> None:
    with serving(two_runs, token="correct-horse-battery-staple", stall_s=60) as served:
        with served.raw() as connection:
            connection.sendall(head(BODY, HEADERS))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
            assert is_closed(connection)


@on_linux
def test_a_thousand_connections_that_are_left_keep_nobody_out(hasty: Served) -> None:
    assert answers(hasty)
    before = hasty.files()
    left = [hasty.raw() for _ in range(1000)]
    try:
        for connection in left[::2]:
            connection.sendall(b"POST /mcp HTTP/1.1\r\n")
        assert answers(hasty)
        assert hasty.files() <= before + 100
        for connection in left:
            assert is_closed(connection)
    finally:
        for connection in left:
            connection.close()
    assert answers(hasty)
    assert hasty.files() <= before + 1


@on_linux
def test_who_does_not_read_the_answers_is_closed(hasty: Served) -> None:
    with hasty.raw() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body, headers = call("query_sql", None, sql="SELECT * FROM raw_events")
        assert answers(hasty)
        connected = hasty.files()
        connection.sendall((head(body, headers) + body) * 300)
        begun = time.monotonic()
        while hasty.files() >= connected:  # reading from the connection would help the server
            assert hasty.request("/healthz")[0] == 200
            assert time.monotonic() < begun + 30
    assert answers(hasty)


@on_linux
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_the_query_of_a_client_that_vanishes_ends(hasty: Served, version: str) -> None:
    session = hasty.session() if version == "2025-11-25" else None
    for _ in range(3):
        connection = hasty.begin_endless(session)
        ends = hasty.ends()
        connection.close()
        wait_for_end(ends, of_all=False)
    assert answers(hasty)
    assert len(hasty.children()) <= 4
    if session is not None:
        body, headers = call("query_sql", session, sql="SELECT 1")
        assert b'"rows":[[1]]' in hasty.request(body=body, headers=headers)[2], "its session goes on"
