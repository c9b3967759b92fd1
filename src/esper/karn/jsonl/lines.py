"""Which lines of a file are events, and what is wrong with the others. No bad line hides a good one."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Annotated

import msgspec

from esper.karn.jsonl.repair import NotAnEvent, repair_line
from esper.karn.jsonl.tail import Chunk
from esper.karn.textout import clean
from esper.leyline.lenient import null_unreadable

SNIPPET_CHARACTERS = 120


_Int = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Probe(msgspec.Struct, gc=False):
    """As much of a line as decides whether it is an event, and which reader its data needs."""

    event_type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    event_id: str | None = None
    timestamp: str | None = None
    seed_id: str | None = None
    slot_id: str | None = None
    epoch: _BigInt | None = None
    group_id: str | None = None
    message: str | None = None
    severity: str | None = None
    rank: _Int | None = None
    seq: _BigInt | None = None
    schema: _Int | None = None


class Problem(msgspec.Struct, frozen=True):
    """Something wrong with one line.

    ``kind``: ``line``, it is not an event and was left out; ``field``, one field of its data has the
    wrong type and reads as null; ``repaired``, it was read after a repair.
    """

    kind: str
    line_number: int
    offset: int
    reason: str
    snippet: str


class EventLines(msgspec.Struct):
    """The events of a chunk, field by field, in file order, and its problems."""

    lines: list[bytes]
    """Each event's JSON, without its newline; repaired where that was needed."""
    probes: list[Probe]
    offsets: list[int]
    line_numbers: list[int]
    problems: list[Problem]
    telling: list[int] | None = None
    """Events that may tell of the process that writes, by ``attempt`` or TRAINING_FINISHED; None for all."""

    @property
    def newest_format(self) -> int:
        """The highest ``schema`` of its events, 0 if none says one."""
        return max({probe.schema or 0 for probe in self.probes}, default=0)


_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 200
# Searched for in what _DIGITS makes of a text: it begins plainly and is found fast, even where event ids
# are full of an e between digits.
_LARGE_EXPONENT = re.compile(rb"0e\+?0{3,}[\s,}\]]")


class _LenientProbe(msgspec.Struct):
    event_type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


_probe = msgspec.json.Decoder(Probe, strict=False)
_lenient_probe = msgspec.json.Decoder(_LenientProbe)


def decode_probe(line: bytes) -> Probe:
    """As much of a line as decides which reader its data needs; the line is known to be an event."""
    return _probe.decode(line)


def read_lines(chunk: Chunk) -> EventLines:
    """Split a chunk into events and problems.

    A line is an event when it is RFC 8259 JSON, an object with a text ``event_type``. Blank lines are
    neither. A leading byte order mark or NUL bytes are taken off, and the bare NaN and Infinity that
    some writers put where JSON has no word are read as null.
    """
    raw = chunk.data.split(b"\n")
    raw.pop()  # what follows the last newline
    offsets = list(accumulate([len(line) + 1 for line in raw], initial=chunk.offset))
    offsets.pop()
    if _is_one_object_a_line(chunk.data, len(raw)) and not may_overflow(chunk.data):
        try:
            chunk.data.decode()  # the probe does not look into the texts that it skips
            probes = _probe.decode_lines(chunk.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            probes = []
        if len(probes) == len(raw):
            numbers = list(range(chunk.line_number, chunk.line_number + len(raw)))
            telling = _lines_with(chunk, offsets, b'"attempt"', b'"TRAINING_FINISHED"')
            return EventLines(raw, probes, offsets, numbers, problems=[], telling=telling)
    found = EventLines(lines=[], probes=[], offsets=[], line_numbers=[], problems=[])
    for index, (line, offset) in enumerate(zip(raw, offsets, strict=True)):
        _read_line(line, offset, chunk.line_number + index, found)
    return found


def _lines_with(chunk: Chunk, offsets: list[int], *words: bytes) -> list[int]:
    """Which lines hold one of the words; they are few."""
    found: set[int] = set()
    for word in words:
        at = chunk.data.find(word)
        while at >= 0:
            index = bisect_right(offsets, chunk.offset + at) - 1
            found.add(index)
            at = chunk.data.find(word, offsets[index + 1] - chunk.offset) if index + 1 < len(offsets) else -1
    return sorted(found)


def _is_one_object_a_line(data: bytes, n_lines: int) -> bool:
    """Whether as many JSON values as lines means one value on each line.

    The decoder takes newlines for white space: two events on one line and a blank line after them would
    count as two. Where each line begins with a brace and ends with one, no value can span two lines.
    """
    return data[:1] == b"{" and data[-2:] == b"}\n" and data.count(b"}\n{") == n_lines - 1


def may_overflow(data: bytes) -> bool:
    """Whether a number may be too large for a float, such as 1e999; who skips numbers does not see that."""
    shape = data.translate(_DIGITS)
    return _MANY_DIGITS in shape or _LARGE_EXPONENT.search(shape) is not None


def _read_line(line: bytes, offset: int, number: int, found: EventLines) -> None:
    if not line.strip():
        return
    try:
        event, repairs = repair_line(line)
        event, probe, unreadable = _probe_line(event)
    except NotAnEvent as error:
        found.problems.append(Problem("line", number, offset, str(error), snippet(line)))
        return
    for repair in repairs:
        found.problems.append(Problem("repaired", number, offset, repair, snippet(line)))
    for field in unreadable:
        found.problems.append(Problem("field", number, offset, f"{field} reads as null", snippet(line)))
    found.lines.append(event)
    found.probes.append(probe)
    found.offsets.append(offset)
    found.line_numbers.append(number)


def _probe_line(line: bytes) -> tuple[bytes, Probe, list[str]]:
    """The line, its probe, and the fields of its envelope that had to be made null.

    Raises:
        NotAnEvent: if it is JSON but not an object with a text ``event_type``.
    """
    try:
        return line, _probe.decode(line), []
    except msgspec.ValidationError:
        pass
    try:
        _lenient_probe.decode(line)
    except msgspec.ValidationError as error:
        raise NotAnEvent(_what_is_missing(line, error)) from None
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    envelope = {name: msgspec.json.decode(value) for name, value in fields.items() if name != "data"}
    unreadable = null_unreadable(envelope, Probe)
    fields |= {name: msgspec.Raw(b"null") for name in unreadable}
    line = msgspec.json.encode(fields)
    return line, _probe.decode(line), unreadable


def _what_is_missing(line: bytes, error: msgspec.ValidationError) -> str:
    if not line.lstrip().startswith(b"{"):
        return "JSON, but not an object"
    return "no event_type" if "missing" in str(error) else "event_type is not a text"


def snippet(line: bytes) -> str:
    """The start of a line, fit to be shown: one line, no control characters."""
    text = line[: SNIPPET_CHARACTERS * 4].decode("utf-8", "replace")[:SNIPPET_CHARACTERS]
    return clean(text)
