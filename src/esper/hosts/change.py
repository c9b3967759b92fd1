"""What installing and uninstalling change in a host's file: worked out first, shown, then written."""

from __future__ import annotations

import codecs
import difflib
from pathlib import Path
from typing import Any, NamedTuple

from esper.hosts import files
from esper.hosts.known import Host
from esper.hosts.texts import Malformed, malformed_at
from esper.karn.textout import clean
from esper.leyline.errors import HostFileError


class Change(NamedTuple):
    """A file before and after; None where there is no file."""

    path: Path
    before: bytes | None
    after: bytes | None

    def diff(self) -> str:
        """The change as a unified diff, fit for a terminal."""
        old, new = _lines(self.before), _lines(self.after)
        of, to = ("/dev/null" if content is None else str(self.path) for content in (self.before, self.after))
        lines = difflib.unified_diff(old, new, of, to, lineterm="")
        return "\n".join(line[:1] + clean(line[1:].expandtabs(4)) for line in lines)

    def write(self) -> Path | None:
        """Make the change; returns the backup, where one was made.

        Raises:
            HostFileError: if the file can't be written or was changed meanwhile.
        """
        return files.replace(self.path, self.before, self.after)


def installation(host: Host, path: Path, name: str, entry: dict[str, Any]) -> Change | None:
    """What puts an entry into a host's file; None if it is there already, whatever more it says.

    Raises:
        HostFileError: if the file can't be read or is malformed.
    """
    before = files.read(path)
    present = entry_of(host, path, before, name)
    if present is not None and entry.items() <= present.items():
        return None
    return Change(path, before, _with_entry(host, path, before, name, entry))


def removal(host: Host, path: Path, name: str) -> Change | None:
    """What takes an entry out of a host's file; None if it is not there.

    A file that is still as installing left it gets the bytes that it had before: the backups tell them.

    Raises:
        HostFileError: if the file can't be read or is malformed.
    """
    before = files.read(path)
    entry = entry_of(host, path, before, name)
    if before is None or entry is None:
        return None
    earlier = [content for content in files.backups(path) if _lacks(host, path, content, name)]
    drop_container = bool(earlier) and host.container not in values_of(host, path, earlier[0])
    if _is_plain(entry):
        for content in (*earlier[:1], None):
            if _with_entry(host, path, content, name, entry) == before:
                return Change(path, before, content)
    mark, text = _decoded(path, before)
    try:
        after = host.editor.without_entry(text, host.container, name, drop_container=drop_container)
    except Malformed as error:
        raise _malformed(path, error) from error
    return Change(path, before, mark + after.encode())


def entry_of(host: Host, path: Path, content: bytes | None, name: str) -> dict[str, Any] | None:
    """The entry of this name in a host's file; None if there is none.

    Raises:
        HostFileError: if the file is malformed.
    """
    servers = {} if content is None else values_of(host, path, content).get(host.container)
    if not isinstance(servers, dict) or name not in servers:
        return None
    return servers[name] if isinstance(servers[name], dict) else {}


def values_of(host: Host, path: Path, content: bytes) -> dict[str, Any]:
    """All that a host's file says.

    Raises:
        HostFileError: if the file is malformed.
    """
    try:
        return host.editor.values(_decoded(path, content)[1])
    except Malformed as error:
        raise _malformed(path, error) from error


def _with_entry(host: Host, path: Path, content: bytes | None, name: str, entry: dict[str, Any]) -> bytes:
    mark, text = _decoded(path, content or b"")
    try:
        return mark + host.editor.with_entry(text, host.container, name, entry).encode()
    except Malformed as error:
        raise _malformed(path, error) from error


def _lacks(host: Host, path: Path, content: bytes, name: str) -> bool:
    """Whether a backup can be read and has no entry of this name."""
    try:
        return entry_of(host, path, content, name) is None
    except HostFileError:
        return False


def _is_plain(entry: dict[str, Any]) -> bool:
    """Whether an entry holds only what installing writes: texts and lists of texts."""
    flat = [part for value in entry.values() for part in (value if isinstance(value, list) else [value])]
    return all(isinstance(part, str) for part in flat)


def _decoded(path: Path, content: bytes) -> tuple[bytes, str]:
    """A file's byte order mark, where it has one, and its text."""
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    try:
        return mark, content[len(mark) :].decode()
    except UnicodeDecodeError as error:
        good = error.object[: error.start].decode()
        raise _malformed(path, malformed_at(good, len(good), "not UTF-8")) from error


def _malformed(path: Path, error: Malformed) -> HostFileError:
    return HostFileError(f"{path}:{error.line}:{error.column}: {clean(error.reason)}")


def _lines(content: bytes | None) -> list[str]:
    if not content:
        return []
    lines = content.decode("utf-8-sig").split("\n")
    if lines[-1]:
        lines.append("\\ No newline at end of file")
    else:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
