"""An archived event file: gzip that is read at any place without unpacking all of it.

``events.jsonl.gz`` holds every byte of the event file and is read by gunzip like any other: members that
stand for MEMBER_BYTES each, then an empty one whose comment is the index, with its length at the end.
"""

from __future__ import annotations

import os
import struct
import zlib
from itertools import accumulate
from typing import Annotated

import msgspec

MEMBER_BYTES = 256 << 10
"""Of the event file, in each member but the last: what one look at any place costs to unpack."""
_FORMAT = 1
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MARK = 0x8B1F
_COMMENT = 0x10
_HEADER = struct.pack("<HBBIBB", _GZIP_MARK, 8, _COMMENT, 0, 0, 255)
"""Of a gzip member with a comment: deflate, no time, any system."""
_EMPTY = b"\0" + b"\x03\x00" + bytes(8)
"""Ends the comment; then nothing, deflated, with its check and length."""
_LENGTH_DIGITS = 8
_INDEX_BYTES = 16 << 20
"""More than the index of half a terabyte; whoever made a longer one wants to fill this memory."""
_HEAD = struct.Struct("<HxBI")
"""How any gzip begins: its mark, its flags, its time."""

# What zlib makes of MEMBER_BYTES at most is little longer than they are; and no member is shorter than this.
_PackedBytes = Annotated[int, msgspec.Meta(ge=18, le=2 * MEMBER_BYTES)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class DamagedArchiveError(OSError):
    """An archive whose bytes are not those that were written."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What the last member's comment says."""

    format: int = _FORMAT
    source: str
    """Name of the event file."""
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Of the event file [bytes]."""
    digest: str
    """BLAKE2b of the whole event file, 32 bytes as hexadecimal digits."""
    inode: int
    """Of the event file; a copy's is not the one that its writer noted."""
    mtime_ns: _Int64
    archived_at: str
    """UTC, ISO 8601."""
    edges: dict[str, str]
    """What ``edges_of`` said of the bytes of each segment, by ``<start>-<end>``."""
    members: list[_PackedBytes]
    """Size of each packed member [bytes]."""


_index = msgspec.json.Decoder(Index)


def index_member(index: Index) -> bytes:
    """The last member of an archive."""
    comment = msgspec.json.encode(index)
    return _HEADER + comment + _digits(len(comment)) + _EMPTY


def pack_member(data: bytes) -> bytes:
    """One member that stands for some bytes of the event file."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    return packer.compress(data) + packer.flush()


class PackedFile:
    """An open archive, read like the event file that it stands for.

    Args:
        fd: of the archive; closed with ``close``.
        name: of the archive, for errors.

    Raises:
        DamagedArchiveError: if its index can't be read.
    """

    is_packed = True

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self._name = name
        self.index = self._read_index()
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
        packed = os.pread(self.fd, self.index.members[number], self._starts[number])
        length = min(MEMBER_BYTES, self.size - number * MEMBER_BYTES)
        unpacker = zlib.decompressobj(_GZIP)
        try:
            # Not a byte more than tells that it is too long: a few bytes can stand for gigabytes.
            data = unpacker.decompress(packed, length + 1)
        except zlib.error as error:
            raise self._damaged(f"member {number} can't be unpacked") from error
        if len(data) != length or not unpacker.eof or unpacker.unused_data:
            raise self._damaged(f"member {number} has another length")
        return data

    def _read_index(self) -> Index:
        size = os.fstat(self.fd).st_size
        end = _end_of(self.fd, size)
        if end[_LENGTH_DIGITS:] != _EMPTY:
            if is_foreign(self.fd):
                raise self._damaged("it was not written by karn archive: run gunzip on it")
            raise self._damaged("it is cut off, or was not written by karn archive")
        try:
            length = int(end[:_LENGTH_DIGITS], 16)
            # int() takes signs and spaces too.
            if end[:_LENGTH_DIGITS] != _digits(length) or not 0 <= length <= min(size, _INDEX_BYTES):
                raise ValueError(length)
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


def is_foreign(fd: int) -> bool:
    """Whether a file is gzip that some other program made, and no archive, nor one that was cut off."""
    size = os.fstat(fd).st_size
    head = os.pread(fd, MEMBER_BYTES, 0)
    if size < _HEAD.size or _end_of(fd, size)[_LENGTH_DIGITS:] == _EMPTY:
        return False
    mark, flags, time = _HEAD.unpack_from(head)
    if mark != _GZIP_MARK:
        return False
    if flags not in (0, _COMMENT) or time:  # gzip notes the file's name, for one
        return True
    try:
        return len(zlib.decompressobj(_GZIP).decompress(head, MEMBER_BYTES + 1)) > MEMBER_BYTES
    except zlib.error:
        return False


def _digits(length: int) -> bytes:
    return b"%0*x" % (_LENGTH_DIGITS, length)


def _end_of(fd: int, size: int) -> bytes:
    """Where an archive says how long its index is."""
    length = _LENGTH_DIGITS + len(_EMPTY)
    return os.pread(fd, length, max(0, size - length))
