"""A server that speaks HTTP, in a process of its own, and the rough ways to talk to it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

TOKEN = "correct-horse-battery-staple"
ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1"

DRIVER = """
import json, sys
from pathlib import Path
from esper.karn.mcp.http.bind import Bind
from esper.karn.mcp.http.limits import HttpLimits
from esper.karn.mcp.http.serve import serve_http
from esper.karn.mcp.http.token import take_token
from esper.karn.mcp.server import build_server
server = build_server(Path(sys.argv[1]), query_timeout_s=3600)
try:
    serve_http(server, Bind(port=0), take_token(None), limits=HttpLimits(**json.loads(sys.argv[2])))
except KeyboardInterrupt:
    sys.exit(130)
"""
"""A server whose limits a test can wait for, and whose queries have no deadline to speak of."""


@dataclass
class Served:
    """A server that listens."""

    process: subprocess.Popen[str]
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/mcp"

    def request(
        self,
        path: str = "/mcp",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own; status, headers in small letters, body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), path, body, {**ACCEPT, **(headers or {})}
            )
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def initialize(self) -> tuple[int, dict[str, str], bytes]:
        """Ask for a session of protocol 2025-11-25."""
        return self.request(body=json.dumps(HELLO).encode())

    def session(self) -> dict[str, str]:
        """The headers of requests within a new session."""
        status, headers, _ = self.initialize()
        assert status == 200
        session = {"Mcp-Session-Id": headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self.request(body=json.dumps(ready).encode(), headers=session)[0] == 202
        return session

    def raw(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((self.host, self.port), timeout=30)

    def files(self) -> int:
        """How many files the server has open (Linux)."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def children(self) -> set[int]:
        """Its query processes (Linux)."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {int(number) for task in tasks for number in (task / "children").read_text().split()}

    def ends(self) -> list[int]:
        """A pidfd of each query process, for ``wait_for_end``."""
        return [os.pidfd_open(child) for child in self.children()]

    def begin_endless(self, session: Mapping[str, str] | None) -> socket.socket:
        """The connection of a call that runs until somebody ends it; when this returns it runs."""
        connection = self.raw()
        body, headers = call("query_sql", session, sql=ENDLESS)
        connection.sendall(head(body, headers) + body)
        body, headers = call("list_runs", session)
        assert self.request(body=body, headers=headers)[0] == 200, "calls begin in their order"
        return connection

    def said(self) -> str:
        """All that it wrote to standard error after the first line, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


IDS = itertools.count(2)
"""Within a session no two requests may have the same."""
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}


def call(tool: str, session: Mapping[str, str] | None, **arguments: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a tool's call: within a session, or of protocol 2026-07-28 without one."""
    parameters: dict[str, Any] = {"name": tool, "arguments": arguments}
    headers = dict(session or {})
    if session is None:
        version = "2026-07-28"
        parameters["_meta"] = {PROTOCOL_VERSION_META_KEY: version, CLIENT_CAPABILITIES_META_KEY: {}}
        headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    message = {"jsonrpc": "2.0", "id": next(IDS), "method": "tools/call", "params": parameters}
    return json.dumps(message).encode(), headers


def head(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The first part of a request, as it goes over the wire."""
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **ACCEPT, **headers}
    return "".join(["POST /mcp HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in lines.items()), "\r\n"]).encode()


def wait_for_end(processes: Sequence[int], *, of_all: bool) -> None:
    """Until one or all of these processes, which pidfds stand for, have ended (Linux)."""
    poll = select.poll()
    for process in processes:
        poll.register(process, select.POLLIN)
    left = len(processes)
    while left and (of_all or left == len(processes)):
        ended = poll.poll(10_000)
        assert ended, "the query processes live on"
        for process, _ in ended:
            poll.unregister(process)
            left -= 1
    for process in processes:
        os.close(process)


@contextmanager
def serving(folder: Path, *, token: str | None = None, **limits: float) -> Iterator[Served]:
    """A server on any free port under limits of its own."""
    with started(["-c", DRIVER, str(folder), json.dumps(limits)], token) as served:
        yield served


@contextmanager
def commanded(folder: Path, *options: str, token: str | None = None) -> Iterator[Served]:
    """``karn mcp --http`` with options."""
    with started(["-m", "esper", "mcp", "-d", str(folder), "--http", *options], token) as served:
        yield served


@contextmanager
def started(arguments: list[str], token: str | None) -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        env=environment(token),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://(\[?[\w.:]+?\]?):(\d+)/mcp", line)
            assert found, line + process.stderr.read()
            yield Served(process, found[1].strip("[]"), int(found[2]))
        finally:
            process.kill()


def environment(token: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "KARN_MCP_TOKEN"}
    return kept if token is None else {**kept, "KARN_MCP_TOKEN": token}
