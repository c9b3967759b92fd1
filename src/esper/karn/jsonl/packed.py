"""An archived event file: gzip that is read at any place without unpacking all of it.

``events.jsonl.gz`` holds every byte of the event file and is read by gunzip like any other: members that
stand for MEMBER_BYTES each, then an empty one whose comment is the index, with its length at the end.
"""

from __future__ import annotations

import os
import struct
import zlib
from itertools import accumulate

import msgspec

MEMBER_BYTES = 256 << 10
"""Of the event file, in each member but the last: what one look at any place costs to unpack."""
_FORMAT = 1
_GZIP = 16 + zlib.MAX_WBITS
_HEADER = struct.pack("<HBBIBB", 0x8B1F, 8, 0x10, 0, 0, 255)
"""Of a gzip member with a comment: deflate, no time, any system."""
_EMPTY = b"\0" + b"\x03\x00" + bytes(8)
"""Ends the comment; then nothing, deflated, with its check and length."""
_LENGTH_DIGITS = 8


class DamagedArchiveError(OSError):
    """An archive whose bytes are not those that were written."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What the last member's comment says."""

    format: int = _FORMAT
    source: str
    """Name of the event file."""
    size: int
    """Of the event file [bytes]."""
    digest: str
    """BLAKE2b of the whole event file, 32 bytes as hexadecimal digits."""
    inode: int
    """Of the event file; a copy's is not the one that its writer noted."""
    mtime_ns: int
    archived_at: str
    """UTC, ISO 8601."""
    edges: dict[str, str]
    """What ``edges_of`` said of the bytes of each segment, by ``<start>-<end>``."""
    members: list[int]
    """Size of each packed member [bytes]."""


_index = msgspec.json.Decoder(Index)


def index_member(index: Index) -> bytes:
    """The last member of an archive."""
    comment = msgspec.json.encode(index)
    return _HEADER + comment + b"%0*x" % (_LENGTH_DIGITS, len(comment)) + _EMPTY


def pack_member(data: bytes) -> bytes:
    """One member that stands for some bytes of the event file."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    return packer.compress(data) + packer.flush()


class PackedFile:
    """An open archive, read like the event file that it stands for.

    Args:
        fd: of the archive; closed with this.
        name: of the archive, for errors.

    Raises:
        DamagedArchiveError: if its index can't be read.
    """

    is_packed = True

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self._name = name
        try:
            self.index = self._read_index()
        except BaseException:
            os.close(fd)
            raise
        self.size = self.index.size
        self._starts = list(accumulate(self.index.members, initial=0))

    def read_at(self, length: int, offset: int) -> bytes:
        """What ``os.pread`` of the event file would give.

        Raises:
            DamagedArchiveError: if the archive's own check says that it is not that.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first = offset // MEMBER_BYTES
        data = b"".join(self._member(n) for n in range(first, (end - 1) // MEMBER_BYTES + 1))
        skipped = first * MEMBER_BYTES
        return data[offset - skipped : end - skipped]

    def known_edges(self, start: int, end: int) -> str | None:
        """The hash of a stretch's head and tail, if it was noted."""
        return self.index.edges.get(f"{start}-{end}")

    def close(self) -> None:
        """Close the archive."""
        os.close(self.fd)

    def _member(self, number: int) -> bytes:
        start, length = self._starts[number], self.index.members[number]
        try:
            data = zlib.decompress(os.pread(self.fd, length, start), _GZIP)
        except zlib.error as error:
            raise self._damaged(f"member {number} can't be unpacked") from error
        if len(data) != min(MEMBER_BYTES, self.size - number * MEMBER_BYTES):
            raise self._damaged(f"member {number} has another length")
        return data

    def _read_index(self) -> Index:
        size = os.fstat(self.fd).st_size
        end = os.pread(self.fd, _LENGTH_DIGITS + len(_EMPTY), max(0, size - _LENGTH_DIGITS - len(_EMPTY)))
        if end[_LENGTH_DIGITS:] != _EMPTY:
            raise self._damaged("it is cut off, or was not written by karn archive")
        try:
            length = int(end[:_LENGTH_DIGITS], 16)
            index = _index.decode(os.pread(self.fd, length, max(0, size - len(end) - length)))
        except (ValueError, msgspec.DecodeError) as error:
            raise self._damaged("its index can't be read") from error
        if index.format != _FORMAT:
            raise self._damaged(f"it has format {index.format}, not {_FORMAT}: update Karn")
        if sum(index.members) + len(_HEADER) + length + len(end) != size:
            raise self._damaged("its size is not what its index says")
        if len(index.members) != -(-index.size // MEMBER_BYTES):
            raise self._damaged("its index is not of its event file")
        return index

    def _damaged(self, why: str) -> DamagedArchiveError:
        return DamagedArchiveError(f"{self._name}: {why}")
