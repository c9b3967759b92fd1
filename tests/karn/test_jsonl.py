"""Reading files that grow, shrink, vanish and break: no good line lost or doubled, each bad one named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.karn.jsonl.lines import EventLines, read_lines
from esper.karn.jsonl.tail import Chunk, TailReader
from esper.leyline.codec import decode_event
from support import SHARED


def event(number: int, **fields: object) -> bytes:
    return json.dumps({"event_type": "X", "data": {"n": number}, **fields}).encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def drain(reader: TailReader, max_bytes: int = 8 << 20) -> bytes:
    """What a reader has to give until it has nothing more; a restart forgets what came before."""
    parts: list[bytes] = []
    offset, line_number = reader.offset, None
    while (chunk := reader.read(max_bytes)) is not None:
        if chunk.restarted:
            assert chunk.data == b""
            parts, offset, line_number = [], 0, 1
            continue
        assert chunk.data.endswith(b"\n")
        assert chunk.offset == offset
        assert line_number in (None, chunk.line_number)
        offset += len(chunk.data)
        line_number = chunk.line_number + chunk.data.count(b"\n")
        parts.append(chunk.data)
    return b"".join(parts)


# The tail reader.


def test_lines_are_read_once_as_the_file_grows(path):
    reader = TailReader(path)
    assert reader.read() is None  # no such file yet
    path.touch()
    assert reader.read() is None
    append(path, event(1) + event(2))
    assert reader.read() == Chunk(data=event(1) + event(2), offset=0, line_number=1, restarted=False)
    assert reader.read() is None
    append(path, event(3))
    assert reader.read() == Chunk(
        data=event(3), offset=len(event(1) + event(2)), line_number=3, restarted=False
    )
    assert reader.offset == reader.size == path.stat().st_size


def test_a_half_written_last_line_waits_until_it_is_whole(path):
    reader = TailReader(path)
    append(path, event(1) + event(2)[:7])
    assert drain(reader) == event(1)
    assert (reader.offset, reader.size) == (len(event(1)), len(event(1)) + 7)
    append(path, event(2)[7:-1])
    assert drain(reader) == b""
    append(path, b"\n" + event(3))
    assert drain(reader) == event(2) + event(3)


@pytest.mark.parametrize("max_bytes", [1, 2, 7, 64, 1000])
def test_small_chunks_bring_the_same_lines(path, max_bytes):
    lines = b"".join(event(number, message="m" * (number % 90)) for number in range(100))
    append(path, lines)
    assert drain(TailReader(path), max_bytes) == lines


def test_many_chunks_are_no_longer_than_asked_for_unless_a_line_is(path):
    reader = TailReader(path)
    append(path, event(1) * 500 + event(2, message="m" * 5000) + event(1) * 500)
    sizes = []
    while (chunk := reader.read(1000)) is not None:
        sizes.append(len(chunk.data))
    assert sorted(sizes)[-1] == len(event(2, message="m" * 5000))
    assert all(size <= 1000 for size in sorted(sizes)[:-1])
    assert len(sizes) > 30


def test_a_line_of_20_mb_comes_whole_and_its_neighbours_too(path):
    huge = event(2, message="m" * (20 << 20))
    reader = TailReader(path)
    append(path, event(1) + huge[: 15 << 20])
    assert drain(reader) == event(1)
    append(path, huge[15 << 20 :] + event(3))
    assert drain(reader, 1 << 16) == huge + event(3)
    assert drain(TailReader(path)) == event(1) + huge + event(3)


def test_a_file_that_shrank_is_read_anew(path):
    reader = TailReader(path)
    append(path, event(1) + event(2))
    drain(reader)
    path.write_bytes(event(7))
    chunk = reader.read()
    assert chunk == Chunk(data=b"", offset=0, line_number=1, restarted=True)
    assert drain(reader) == event(7)


def test_so_is_one_that_was_replaced_by_a_longer_one(path, tmp_path):
    reader = TailReader(path)
    append(path, event(1))
    drain(reader)
    other = tmp_path / "other"
    other.write_bytes(event(1) + event(2))
    os.replace(other, path)
    assert reader.read().restarted
    assert drain(reader) == event(1) + event(2)


def test_so_is_one_that_was_rewritten_in_place_and_is_longer_by_now(path):
    reader = TailReader(path)
    append(path, event(1) + event(2))
    drain(reader)
    with path.open("r+b") as file:
        file.write(event(3) + event(4) + event(5))
    assert reader.read().restarted
    assert drain(reader) == event(3) + event(4) + event(5)


def test_so_is_one_that_was_rewritten_to_the_same_length(path):
    reader = TailReader(path)
    append(path, event(1) + event(2))
    drain(reader)
    with path.open("r+b") as file:
        file.write(event(3) + event(4))
    os.utime(path, ns=(0, 0))  # some other time than before, however coarse the clock
    assert reader.read().restarted
    assert drain(reader) == event(3) + event(4)


def test_a_file_that_is_gone_says_so_once_and_may_come_back(path):
    reader = TailReader(path)
    append(path, event(1) + b"{")
    drain(reader)
    path.unlink()
    assert reader.read() == Chunk(data=b"", offset=0, line_number=1, restarted=True)
    assert (reader.offset, reader.size) == (0, 0)
    assert reader.read() is None
    append(path, event(2))
    assert drain(reader) == event(2)


def test_so_may_its_folder(tmp_path):
    path = tmp_path / "run" / "events.jsonl"
    path.parent.mkdir()
    reader = TailReader(path)
    append(path, event(1))
    drain(reader)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file where the folder was")
    assert reader.read().restarted
    path.parent.unlink()
    path.parent.mkdir()
    append(path, event(2))
    assert drain(reader) == event(2)


def test_a_torn_line_that_its_writer_cut_off_is_replaced_by_what_followed(path):
    reader = TailReader(path)
    append(path, event(1) + event(2)[:-3])
    assert drain(reader) == event(1)
    os.truncate(path, len(event(1)))
    assert drain(reader) == b""
    append(path, event(3) + event(4))
    assert drain(reader) == event(3) + event(4)


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_what_is_no_file_is_nothing_to_read(path, what):
    if what == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert TailReader(path).read() is None


PIECES = st.lists(
    st.sampled_from([b"\n", b"\r\n", event(1), event(2)[:-1], b"\x00\x00", b"\xef\xbb\xbf", b"{", b"abc"]),
    max_size=30,
).map(b"".join)


@settings(max_examples=150)
@given(content=PIECES, cuts=st.lists(st.integers(0, 400), max_size=8), max_bytes=st.integers(1, 200))
def test_however_a_file_is_split_as_it_grows_its_lines_are_the_same(
    tmp_path_factory, content, cuts, max_bytes
):
    path = tmp_path_factory.mktemp("tail") / "events.jsonl"
    reader, read = TailReader(path), b""
    ends = sorted({min(cut, len(content)) for cut in cuts} | {len(content)})
    for start, end in zip([0, *ends], ends, strict=False):
        append(path, content[start:end])
        read += drain(reader, max_bytes)
    assert read == content[: content.rfind(b"\n") + 1]
    assert reader.offset == len(read)


# Good lines and bad ones.


def read(data: bytes, offset: int = 0, line_number: int = 1) -> EventLines:
    return read_lines(Chunk(data=data, offset=offset, line_number=line_number, restarted=False))


def numbers(found: EventLines) -> list[int]:
    return [json.loads(line)["data"]["n"] for line in found.lines]


def test_good_lines_come_with_their_place(path):
    found = read(event(1) + event(2) + event(3), offset=100, line_number=8)
    assert numbers(found) == [1, 2, 3]
    assert found.line_numbers == [8, 9, 10]
    assert found.offsets == [100, 100 + len(event(1)), 100 + 2 * len(event(1))]
    assert [probe.event_type for probe in found.probes] == ["X"] * 3
    assert [bytes(probe.data) for probe in found.probes] == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']
    assert found.problems == []


BAD_LINES = {
    "garbage": (b"\x93\xfe garbage", "not UTF-8"),
    "half a line": (event(9)[:-5], "not JSON"),
    "words": (b"this is no JSON", "not JSON"),
    "invalid UTF-8": (event(9).rstrip().replace(b"X", b"X\xff"), "not UTF-8: byte 0xff at 17"),
    "invalid UTF-8 deep in data": (b'{"event_type": "X", "data": {"t": "\xff"}}', "not UTF-8"),
    "a NUL block": (bytes(4096), "NUL bytes and no event"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "byte order mark and no event"),
    "a JSON array": (b'[{"event_type": "X"}]', "not an object"),
    "a number": (b"17", "not an object"),
    "a text": (b'"event_type"', "not an object"),
    "null": (b"null", "not an object"),
    "an empty object": (b"{}", "no event_type"),
    "no event_type": (b'{"data": {"n": 1}}', "no event_type"),
    "an event_type that is a number": (b'{"event_type": 3}', "event_type is not a text"),
    "an event_type that is null": (b'{"event_type": null}', "event_type is not a text"),
    "an event_type that is NaN": (b'{"event_type": NaN}', "event_type is not a text"),
    "two objects on one line": (event(9).rstrip() + event(9).rstrip(), "more than one JSON value"),
    "an object and a comma": (event(9).rstrip() + b",", "more than one JSON value"),
    "single quotes": (b"{'event_type': 'X'}", "not JSON"),
    "a control character in a text": (b'{"event_type": "X\x01"}', "not JSON"),
    "a trailing comma": (b'{"event_type": "X",}', "not JSON"),
    "nesting without end": (
        b'{"event_type": "X", "data": ' + b"[" * 9000 + b"]" * 9000 + b"}",
        "nested too deep",
    ),
    "nesting without end and a NaN": (
        b'{"event_type": "X", "data": [NaN' + b",[1" * 970 + b"]" * 970 + b"]}",
        "",
    ),
    "brackets and no end": (b'{"event_type": "X", "data": ' + b"[" * 500, "not JSON"),
    "20 MB of garbage": (b"g" * (20 << 20), "not JSON"),
    "a number of 5000 digits": (b'{"event_type": "X", "data": ' + b"1" * 5000 + b"}", "not JSON"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_problem_and_hides_no_good_one(name):
    bad, reason = BAD_LINES[name]
    found = read(event(1) + bad + b"\n" + event(2), offset=50, line_number=3)
    assert numbers(found) == [1, 2]
    assert found.line_numbers == [3, 5]
    assert found.offsets == [50, 50 + len(event(1)) + len(bad) + 1]
    (problem,) = found.problems
    assert (problem.kind, problem.line_number, problem.offset) == ("line", 4, 50 + len(event(1)))
    assert reason in problem.reason
    assert len(problem.reason) < 200
    assert len(problem.snippet) <= 120
    assert problem.snippet.isprintable()


@pytest.mark.parametrize("first", BAD_LINES)
def test_bad_lines_beside_each_other_are_each_named_and_make_no_phantom(first):
    second = BAD_LINES["two objects on one line"][0]
    found = read(BAD_LINES[first][0] + b"\n" + second + b"\n\n" + event(1))
    assert numbers(found) == [1]
    assert [problem.line_number for problem in found.problems] == [1, 2]


def test_two_events_on_a_line_and_a_blank_line_after_them_are_not_two_good_lines():
    # A decoder that takes newlines for white space finds as many values as there are lines.
    pair = event(1).rstrip() + event(2).rstrip() + b"\n"
    for data in (pair + b"\n", b"\n" + pair, pair + event(3) + b"\n" + event(4)):
        found = read(data)
        assert 1 not in numbers(found)
        assert [problem.reason[:13] for problem in found.problems] == ["more than one"]


def test_an_event_over_two_lines_is_two_bad_lines_even_beside_two_on_one():
    split = b'{"event_type": "X", "data":\n{"n": 1}}\n'
    found = read(split + event(2).rstrip() + event(3).rstrip() + b"\n" + event(4))
    assert numbers(found) == [4]
    assert [problem.line_number for problem in found.problems] == [1, 2, 3]


REPAIRED = {
    "NaN": (b'{"event_type": "X", "data": {"n": 1, "loss": NaN}}', {"loss": "NaN"}),
    "Infinity": (b'{"event_type": "X", "data": {"n": 1, "a": {"b": [Infinity]}}}', {"a.b.0": "Infinity"}),
    "-Infinity": (b'{"event_type": "X", "data": {"n": 1, "x": -Infinity}}', {"x": "-Infinity"}),
    "1e999": (b'{"event_type": "X", "data": {"n": 1, "x": 1e999}}', {"x": "Infinity"}),
    "-1E+999": (b'{"event_type": "X", "data": {"n": 1, "x": -1E+999}}', {"x": "-Infinity"}),
    "400 digits": (b'{"event_type": "X", "data": {"n": 1, "x": ' + b"9" * 400 + b".0}}", {"x": "Infinity"}),
    "beside others": (
        b'{"event_type": "X", "data": {"n": 1, "x": NaN, "non_finite": {"y": "NaN"}}}',
        {"x": "NaN", "y": "NaN"},
    ),
    "NULs before": (b"\x00\x00" + event(1).rstrip(), None),
    "NULs after": (event(1).rstrip() + b"\x00", None),
    "NULs and a byte order mark": (b"\x00\xef\xbb\xbf\x00" + event(1).rstrip(), None),
    "half a surrogate pair": (b'{"event_type": "X", "data": {"n": 1, "t": "a\\ud800b"}}', None),
}


@pytest.mark.parametrize("name", REPAIRED)
@pytest.mark.parametrize("crowd", [b"", event(2)])
def test_a_line_that_is_almost_json_is_read_and_noted_once(name, crowd):
    line, non_finite = REPAIRED[name]
    found = read(crowd + line + b"\n")
    assert numbers(found)[-1] == 1
    (problem,) = found.problems
    assert (problem.kind, problem.offset) == ("repaired", len(crowd))
    repaired = json.loads(found.lines[-1], parse_constant=lambda token: pytest.fail(f"{token} is left"))
    assert repaired["data"].get("non_finite") == non_finite
    assert decode_event(found.lines[-1])[1] == []
    assert b'"data":' in found.lines[-1]
    assert bytes(found.probes[-1].data) in found.lines[-1]


def test_a_nan_outside_of_data_is_null():
    found = read(b'{"event_type": "X", "epoch": NaN, "data": {"n": 1}}\n')
    assert numbers(found) == [1]
    assert "NaN in epoch" in found.problems[0].reason


def test_crlf_blank_lines_and_a_byte_order_mark_are_no_problems():
    data = b"\xef\xbb\xbf" + event(1).replace(b"\n", b"\r\n") + b"\r\n  \n" + event(2).replace(b"\n", b"\r\n")
    found = read(data)
    assert numbers(found) == [1, 2]
    assert found.problems == []
    assert found.line_numbers == [1, 4]


def test_an_envelope_field_of_the_wrong_type_is_null_and_named():
    found = read(event(1, seq="three", schema=[1], epoch="4") + event(2))
    assert numbers(found) == [1, 2]
    assert sorted(problem.reason for problem in found.problems) == [
        "schema reads as null",
        "seq reads as null",
    ]
    assert {problem.kind for problem in found.problems} == {"field"}
    assert json.loads(found.lines[0])["seq"] is None
    assert found.probes[0].epoch == 4


def test_a_text_where_a_number_belongs_in_data_is_for_the_reader_of_that_type_to_see():
    found = read(b'{"event_type": "EPOCH_COMPLETED", "data": {"loss": "high"}}\n')
    assert found.problems == []
    assert decode_event(found.lines[0])[1] == ["loss"]


def test_hexadecimal_ids_are_not_taken_for_numbers_that_overflow():
    line = event(1, event_id="0.1e999ab7e123-5", message="1e999, 1e999]")
    found = read(line * 3)
    assert found.problems == []
    assert found.lines == [line[:-1]] * 3


def test_an_emoji_written_as_a_surrogate_pair_is_good():
    found = read(event(1, message="\N{SNOWMAN} \U0001f600"))
    assert found.problems == []


LINES = st.lists(
    st.one_of(
        st.integers(0, 99).map(event),
        st.sampled_from([line + b"\n" for line, _ in BAD_LINES.values() if len(line) < 1000]),
        st.sampled_from([line + b"\n" for line, _ in REPAIRED.values()]),
        st.sampled_from([b"\n", b"\r\n", b'{"event_type": "X", "data":\n', b'{"n": 5}}\n']),
        st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"") + b"\n"),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(LINES)
def test_a_chunk_reads_as_its_lines_do_one_by_one(lines):
    data = b"".join(lines)
    together, apart = read(data), []
    offset = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        apart.append(read(line + b"\n", offset, number))
        offset += len(line) + 1
    for name in ("lines", "offsets", "line_numbers", "problems"):
        assert getattr(together, name) == [item for found in apart for item in getattr(found, name)]


def test_the_chunk_of_a_restart_holds_nothing():
    assert read(b"") == EventLines(lines=[], probes=[], offsets=[], line_numbers=[], problems=[])


def test_what_the_predecessor_wrote_is_good_to_the_last_line():
    files = sorted(SHARED.glob("data/esper_lite/*/events.jsonl"))
    if not files:
        pytest.skip("no predecessor telemetry here")
    for path in files:
        found = read(path.read_bytes())
        assert found.problems == []
        assert len(found.lines) == path.read_bytes().count(b"\n")
