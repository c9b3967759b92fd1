"""Where the HTTP server listens, and by which names clients may call it."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from esper.leyline.errors import TelemetryUsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8321

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@?#\[\]]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Bind:
    """A host, by name or address, and a port; port 0 stands for any that is free."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str | None) -> Bind:
    """Read HOST:PORT, HOST or PORT; IPv6 addresses stand in brackets. None is the default.

    Raises:
        TelemetryUsageError: if it is none of these.
    """
    if text is None:
        return Bind()
    if text.isascii() and text.isdigit():
        return Bind(port=_port(text, text))
    host, port = split_authority(text)
    if host is None:
        raise TelemetryUsageError(
            f"{text[:80]!r} is no place to listen; give PORT, HOST or HOST:PORT, as {Bind()} or {Bind('::1')}"
        )
    return Bind(host, DEFAULT_PORT if port is None else _port(port, text))


def _port(digits: str, text: str) -> int:
    if len(digits) > 5 or int(digits) > 65_535:
        raise TelemetryUsageError(f"{text[:80]!r}: a port is a number up to 65535")
    return int(digits)


def split_authority(text: str) -> tuple[str | None, str | None]:
    """Host and port of ``host:port``, as in a Host header; no host if it has another form."""
    found = _AUTHORITY.fullmatch(text)
    return (None, None) if found is None else (found[1] or found[2], found[3])


def open_listener(bind: Bind, *, guarded: bool) -> socket.socket:
    """A socket that listens; the host is looked up once, so that what was checked is what is bound.

    Args:
        bind: where.
        guarded: whether clients need a token; without one only this machine may be served.

    Raises:
        TelemetryUsageError: if other machines could call without a token, or it can't be listened there.
    """
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise TelemetryUsageError(f"can't listen on {bind}: there is no host {bind.host!r}") from error
    # localhost is both; most clients that know only one know IPv4.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    if not guarded and not _is_loopback(str(address[0])):
        raise TelemetryUsageError(
            f"{bind} can be reached from other machines, so clients need a token: put one in KARN_MCP_TOKEN "
            "or a file for --token-file, or listen on 127.0.0.1 and forward the port by ssh -L"
        )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise TelemetryUsageError(
            f"can't listen on {bind}: {error.strerror}; give another HOST:PORT"
        ) from error
    return listener


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def bound(listener: socket.socket) -> Bind:
    """The address and port that a socket listens on."""
    host, port = listener.getsockname()[:2]
    return Bind(host, port)


def served_names(given: Bind, listening: Bind, allowed: Iterable[str] = ()) -> frozenset[str]:
    """Names and addresses that a Host header may hold, in small letters and without a port.

    A web page can make its own name mean this machine, but it can't take another name. Ports are not looked
    at: a forwarded one has any number.

    Args:
        given: as the user wrote it.
        listening: what it came to.
        allowed: more names, as the user gave them.
    """
    address = ipaddress.ip_address(listening.host.partition("%")[0])
    names = {given.host, listening.host, *allowed}
    if address.is_loopback or address.is_unspecified:
        names |= _LOOPBACK_NAMES
    if not address.is_loopback:
        names.add(socket.gethostname())
    return frozenset(name.strip("[]").casefold() for name in names)
