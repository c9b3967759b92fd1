"""Following a file that grows, shrinks, vanishes and comes back: each whole line once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.karn.jsonl.tail import Chunk, TailReader


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
