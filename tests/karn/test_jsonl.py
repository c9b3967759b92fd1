"""Files with bad lines in them: no good line is lost or doubled, and each bad one is named once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.karn.jsonl.lines import EventLines, read_lines
from esper.karn.jsonl.tail import Chunk
from esper.leyline.codec import decode_event
from support import SHARED


def event(number: int, **fields: object) -> bytes:
    return json.dumps({"event_type": "X", "data": {"n": number}, **fields}).encode() + b"\n"


def read(data: bytes, offset: int = 0, line_number: int = 1) -> EventLines:
    return read_lines(Chunk(data=data, offset=offset, line_number=line_number, restarted=False))


def numbers(found: EventLines) -> list[int]:
    return [json.loads(line)["data"]["n"] for line in found.lines]


def test_good_lines_come_with_their_place():
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
