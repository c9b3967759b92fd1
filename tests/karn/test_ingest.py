"""Bad input through the store: no good line is lost or doubled, no phantom row, each bad line told once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.karn.store import ingest
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.errors import TelemetryFileError
from store_support import event, level_change, open_store, write_lines
from support import write_run

GOOD = json.dumps(event("EPOCH_COMPLETED", epoch=1, env_id=0, episode_idx=0, loss=0.5)).encode()
DEEP = b'{"event_type":"X","data":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}"

NO_EVENT = {
    "garbage": b"hello",
    "invalid UTF-8": b'{"event_type":"A\xff"}',
    "a NUL block": b"\x00" * 4096,
    "NULs inside": GOOD[:20] + b"\x00" + GOOD[20:],
    "a JSON array": b"[1,2]",
    "a number": b"3",
    "a text": b'"x"',
    "null": b"null",
    "two objects": GOOD + GOOD,
    "two objects with a space": GOOD + b" " + GOOD,
    "half an object": GOOD[:40],
    "no event_type": b'{"data":{}}',
    "a number for event_type": b'{"event_type":3,"data":{}}',
    "nested too deep": DEEP,
    "a control character in a text": b'{"event_type":"X","data":{"a":"x\ty"}}',
    "a number with a leading zero": b'{"event_type":"X","data":{"a":01}}',
    "a Latin-1 text": '{"event_type":"X","message":"é"}'.encode("latin-1"),
    "only a byte order mark": b"\xef\xbb\xbf",
}
"""Lines that are no events: one ``line`` problem each, and no row."""


def decision(head: str) -> bytes:
    return (
        b'{"event_type":"ANALYTICS_SNAPSHOT","data":{"kind":"last_action","head_telemetry":%s}}'
        % head.encode()
    )


BAD_FIELDS = {
    "a text for the epoch": (b'{"event_type":"EPOCH_COMPLETED","epoch":"one","data":{}}', ["epoch"]),
    "3.7 for the epoch": (b'{"event_type":"EPOCH_COMPLETED","epoch":3.7,"data":{}}', ["epoch"]),
    "true for the seq": (b'{"event_type":"EPOCH_COMPLETED","seq":true,"data":{}}', ["seq"]),
    "a number for the timestamp": (b'{"event_type":"X","timestamp":1700000000}', ["timestamp"]),
    "a text for a number": (b'{"event_type":"EPOCH_COMPLETED","data":{"loss":"high"}}', ["data.loss"]),
    "the text NaN for a number": (b'{"event_type":"EPOCH_COMPLETED","data":{"loss":"NaN"}}', ["data.loss"]),
    "3.7 for a whole number": (b'{"event_type":"EPOCH_COMPLETED","data":{"env_id":3.7}}', ["data.env_id"]),
    "true for a number": (b'{"event_type":"EPOCH_COMPLETED","data":{"env_id":true}}', ["data.env_id"]),
    "a number for a truth": (
        b'{"event_type":"TRAINING_STARTED","data":{"amp_enabled":2}}',
        ["data.amp_enabled"],
    ),
    "a number for a text": (b'{"event_type":"TRAINING_STARTED","data":{"task":3}}', ["data.task"]),
    "a list for a number": (b'{"event_type":"EPOCH_COMPLETED","data":{"params":[1]}}', ["data.params"]),
    "too large for 32 bits": (
        b'{"event_type":"EPOCH_COMPLETED","data":{"env_id":2147483648}}',
        ["data.env_id"],
    ),
    "too large for 64 bits": (
        b'{"event_type":"EPOCH_COMPLETED","data":{"params":9223372036854775808}}',
        ["data.params"],
    ),
    "too large for 64 bits without a sign": (
        b'{"event_type":"SEED_PRUNED","data":{"rng_seed":18446744073709551616}}',
        ["data.rng_seed"],
    ),
    "two bad fields": (
        b'{"event_type":"EPOCH_COMPLETED","epoch":[],"data":{"loss":{},"env_id":"x"}}',
        ["data.env_id", "data.loss", "epoch"],
    ),
    "a text in a nested field": (
        decision('{"op_confidence":"sure","op_entropy":1}'),
        ["data.head_telemetry.op_confidence"],
    ),
    "a number for a nested object": (decision("3"), ["data.head_telemetry"]),
    "data that is a list": (b'{"event_type":"EPOCH_COMPLETED","data":[1]}', ["data"]),
    "data that is a text": (b'{"event_type":"EPOCH_COMPLETED","data":"x"}', ["data"]),
}
"""Events of which fields read as null: the row stands, one ``field`` problem each."""

REPAIRED = {
    "NaN tokens": b'{"event_type":"EPOCH_COMPLETED","data":{"loss":NaN}}',
    "an infinity": b'{"event_type":"EPOCH_COMPLETED","data":{"loss":-Infinity}}',
    "1e400": b'{"event_type":"EPOCH_COMPLETED","data":{"loss":1e400}}',
    "1e400 in an unknown type": b'{"event_type":"X","data":{"a":1e400}}',
    "half of a surrogate pair": b'{"event_type":"X","data":{"a":"\\ud800"}}',
    "NULs before the event": b"\x00" * 512 + GOOD,
}
"""Lines that are read after a repair."""

UNHARMED = {
    "CRLF": GOOD + b"\r",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "white space around": b"  " + GOOD + b"\t",
    "an unknown event type": b'{"event_type":"MY_OWN","data":{"a":1}}',
    "data of an unknown type that is a number": b'{"event_type":"MY_OWN","data":3}',
    "no data": b'{"event_type":"EPOCH_COMPLETED"}',
    "a NUL in a text": b'{"event_type":"X","message":"a\\u0000b","data":{"a":"\\u0000"}}',
    "huge whole numbers in an unknown field": b'{"event_type":"X","data":{"a":%s}}' % (b"9" * 60),
    "an emoji": '{"event_type":"X","message":"🌱"}'.encode(),
    "an escaped emoji": b'{"event_type":"X","message":"\\ud83c\\udf31"}',
    "a number written as a text": b'{"event_type":"EPOCH_COMPLETED","data":{"loss":"0.5","env_id":"3"}}',
    "3.0 for a whole number": b'{"event_type":"EPOCH_COMPLETED","data":{"env_id":3.0}}',
    "an attempt that only looks like a resume": b'{"event_type":"MY_RETRY","data":{"attempt":99999999999}}',
    "an attempt beyond all bounds": b'{"event_type":"TRAINING_STARTED","data":{"attempt":99999999999999}}',
    "nested deep, not too deep": b'{"event_type":"X","data":' + b"[" * 500 + b"]" * 500 + b"}",
}
"""Lines that are events as they stand."""


def problems(store: Store) -> list[tuple[str, str, int, str]]:
    rows = store.select("SELECT filename, kind, line_number, reason FROM ingest_errors ORDER BY ALL").rows
    return [(filename, kind, number, reason) for filename, kind, number, reason in rows]


def n_events(store: Store, run: str = "bad") -> int:
    return int(store.select("SELECT count(*) FROM raw_events WHERE run_dir = $1", [run]).rows[0][0])


def assert_every_view_answers(store: Store, *runs: str) -> None:
    for view in store.views:
        store.select(f"SELECT * FROM {view}")
    for run in runs:
        thrash_verdict(store, run)
    store.runs()


def answers_of_the_good_run(store: Store) -> dict[str, list[str]]:
    """What a store says of the healthy run, view by view, asked for all runs."""
    return {
        view: sorted(
            repr(row) for row in store.select(f"SELECT * FROM {view}").dicts() if row["run_dir"] == "good"
        )
        for view in store.views
    }


@pytest.fixture
def beside(tmp_path) -> Path:
    """A telemetry folder with one healthy run, which no neighbour may harm."""
    write_run(tmp_path, "good", n_envs=1, episodes=1, epochs=5)
    return tmp_path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path, dict[str, list[str]]]]:
    """A store of such a folder, for tests that take away what they add."""
    folder = tmp_path_factory.mktemp("telemetry")
    write_run(folder, "good", n_envs=1, episodes=1, epochs=5)
    with open_store(folder) as store:
        yield store, folder, answers_of_the_good_run(store)


@pytest.fixture
def check(shared) -> Callable[[bytes, list[tuple[str, str]], int], None]:
    """Puts a line between two good ones, read at once and as the file grows, and looks."""
    store, folder, expected = shared
    for path in folder.glob("[!g]*/events.jsonl"):
        path.unlink()
    store.refresh()

    def look(line: bytes, told: list[tuple[str, str]], rows: int) -> None:
        write_lines(folder / "bad" / "events.jsonl", GOOD, line, GOOD)
        for part in (GOOD, line, GOOD):
            write_lines(folder / "slow" / "events.jsonl", part)
            store.refresh()
        for run in ("bad", "slow"):
            assert n_events(store, run) == 2 + rows
            found = [problem for problem in problems(store) if problem[0] == f"{run}/events.jsonl"]
            assert [(kind, number) for _, kind, number, _ in found] == [(kind, 2) for kind, _ in told]
            assert all(reason.startswith(start) for (*_, reason), (_, start) in zip(found, told, strict=True))
            assert store.as_of([run]).bad_lines == sum(kind == "line" for kind, _ in told)
        assert tables(store, ("bad",)) == tables(store, ("slow",))
        assert answers_of_the_good_run(store) == expected
        thrash_verdict(store, "bad")

    return look


# One line.


@pytest.mark.parametrize("name", NO_EVENT)
def test_a_line_that_is_no_event_is_told_and_hides_no_other(check, name):
    check(NO_EVENT[name], [("line", "")], 0)


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_field_of_a_wrong_type_reads_as_null_and_the_row_stands(check, name):
    line, fields = BAD_FIELDS[name]
    check(line, [("field", f"{field} reads as null") for field in fields], 1)


@pytest.mark.parametrize("name", REPAIRED)
def test_a_line_that_is_almost_json_is_read_and_noted(check, name):
    check(REPAIRED[name], [("repaired", "")], 1)


@pytest.mark.parametrize("name", UNHARMED)
def test_a_line_that_is_unusual_and_good_is_read_without_a_word(check, name):
    check(UNHARMED[name], [], 1)


def test_data_says_what_was_written_where_a_field_reads_as_null(tmp_path):
    lines = [line for line, _ in BAD_FIELDS.values()]
    write_lines(tmp_path / "r" / "events.jsonl", *lines)
    with open_store(tmp_path) as store:
        found = store.select("SELECT data FROM raw_events ORDER BY seq, filename").rows
        assert len(found) == len(lines)
        rows = store.select("SELECT file_offset, data FROM events ORDER BY file_offset").rows
        assert [data for _, data in rows] == [json.loads(line).get("data") for line in lines]


def test_a_nan_token_is_named_as_the_writer_would_have(tmp_path):
    write_lines(tmp_path / "r" / "events.jsonl", REPAIRED["NaN tokens"], REPAIRED["1e400"])
    with open_store(tmp_path) as store:
        rows = store.select("SELECT loss, non_finite FROM epochs").rows
        assert sorted(map(repr, rows)) == ["[None, {'loss': 'Infinity'}]", "[None, {'loss': 'NaN'}]"]


def test_nothing_downstream_ever_sees_a_number_that_is_not_finite(tmp_path):
    values = ["NaN", "-Infinity", "1e999", '"nan"', '"inf"', '"1e999"', "-1e400", '"-Infinity"']
    lines = [b'{"event_type":"EPOCH_COMPLETED","data":{"loss":%s}}' % value.encode() for value in values]
    write_lines(tmp_path / "r" / "events.jsonl", *lines)
    with open_store(tmp_path) as store:
        assert store.select("SELECT count(*), count(loss) FROM epochs").rows == [[len(values), 0]]
        assert len(problems(store)) == len(values)


def test_a_line_of_20_mb_is_read_and_so_are_its_neighbours(beside):
    with open_store(beside) as store:
        expected = answers_of_the_good_run(store)
    long = json.dumps(event("X", text="x" * 20_000_000)).encode()
    bad = b'{"event_type":"X","data":"' + b"y" * 20_000_000
    write_lines(beside / "bad" / "events.jsonl", GOOD, long, GOOD, bad, GOOD)
    with open_store(beside) as store:
        assert n_events(store) == 4
        assert [(kind, number) for _, kind, number, _ in problems(store)] == [("line", 4)]
        assert len(store.select("SELECT snippet FROM ingest_errors").rows[0][0]) <= 200
        assert answers_of_the_good_run(store) == expected


def test_a_blank_line_is_nothing_and_line_numbers_count_it(tmp_path):
    write_lines(tmp_path / "bad" / "events.jsonl", GOOD, b"", b" \r", b"oops", GOOD)
    with open_store(tmp_path) as store:
        assert n_events(store) == 2
        assert [(kind, number) for _, kind, number, _ in problems(store)] == [("line", 4)]


# Files that are not whole, or change.


def test_a_half_written_last_line_is_no_error_until_the_file_grows_past_it(tmp_path):
    path = write_lines(tmp_path / "bad" / "events.jsonl", GOOD)
    with Store(tmp_path) as store:
        with path.open("ab") as file:
            for part in (GOOD[:30], GOOD[30:50]):
                file.write(part)
                file.flush()
                store.refresh()
                assert (n_events(store), problems(store)) == (1, [])
                assert store.run("bad").unread_bytes > 0
            file.write(GOOD[50:] + b"\n")
        store.refresh()
        assert (n_events(store), problems(store)) == (2, [])
        with path.open("ab") as file:
            file.write(GOOD[:30] + b"\n" + GOOD + b"\n")
        store.refresh()
        assert n_events(store) == 3
        assert [(kind, number) for _, kind, number, _ in problems(store)] == [("line", 3)]


def test_a_file_that_shrank_is_read_anew(tmp_path):
    path = write_lines(tmp_path / "bad" / "events.jsonl", GOOD, b"oops", GOOD, GOOD)
    with open_store(tmp_path) as store:
        assert n_events(store) == 3
        with path.open("r+b") as file:
            file.truncate(len(GOOD) + 1)
        store.refresh()
        assert (n_events(store), problems(store)) == (1, [])
        write_lines(path, GOOD)
        store.refresh()
        assert n_events(store) == 2


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    path = write_lines(tmp_path / "bad" / "events.jsonl", GOOD, b"oops")
    with open_store(tmp_path) as store:
        other = write_lines(tmp_path / "new", *[json.dumps(event("X", seq)) for seq in range(50)])
        os.replace(other, path)
        store.refresh()
        assert (n_events(store), problems(store)) == (50, [])
        assert store.select("SELECT DISTINCT event_type FROM raw_events").rows == [["X"]]


def test_a_run_that_was_deleted_leaves_nothing_and_harms_no_other(beside):
    path = write_lines(beside / "bad" / "events.jsonl", GOOD, b"oops", level_change(0, 1, 2))
    with open_store(beside) as store:
        expected = answers_of_the_good_run(store)
        path.unlink()
        store.refresh()
        path.parent.rmdir()
        store.refresh()
        assert store.run_names() == ["good"]
        for view in store.views:
            assert store.select(f"SELECT * FROM {view} WHERE run_dir = 'bad'").rows == []
        assert answers_of_the_good_run(store) == expected
        write_lines(path, GOOD)
        store.refresh()
        assert n_events(store) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b'{"event_type":'], ids=["empty", "blank lines", "half a line"]
)
def test_a_file_without_an_event_is_a_run_without_one(beside, content):
    path = beside / "bad" / "events.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    with open_store(beside) as store:
        assert n_events(store) == 0
        assert problems(store) == []
        run = store.run("bad")
        assert (run.status, run.events, run.last_event, run.age_s) == ("empty", 0, None, None)
        assert store.latest_run() == "good"
        assert_every_view_answers(store, "bad", "good")


def test_an_empty_and_a_missing_folder_hold_no_runs_and_may_fill_later(tmp_path):
    (tmp_path / "empty" / "a run without a file").mkdir(parents=True)
    for name in ("empty", "missing"):
        with open_store(tmp_path / name) as store:
            assert store.runs() == []
            assert_every_view_answers(store)
            write_lines(tmp_path / name / "r" / "events.jsonl", GOOD)
            store.refresh()
            assert store.run_names() == ["r"]


def test_a_run_whose_name_is_no_utf8_is_shown_and_harms_no_other(beside):
    folder = os.fsencode(beside) + b"/bad\xff\nname"
    os.mkdir(folder)
    with open(folder + b"/events.jsonl", "wb") as file:
        file.write(GOOD + b"\n")
    with open_store(beside) as store:
        assert n_events(store, "bad\\xff\nname") == 1
        assert n_events(store, "good") > 0
        assert_every_view_answers(store, "good")


def test_what_lies_beside_the_event_files_is_left_alone(beside):
    for name in ("events.jsonl.gz", "events.rank1.jsonl", "notes.jsonl", "events.json"):
        (beside / "good" / name).write_bytes(b"oops\n")
    (beside / "events.jsonl").write_bytes(b"oops\n")
    (beside / "good" / "events.rank00007.jsonl").mkdir()
    with open_store(beside) as store:
        assert problems(store) == []
        assert store.run_names() == ["good"]


# Newer formats, and lines that the database refuses.


def test_a_newer_format_is_in_raw_events_alone_and_is_told_once(tmp_path):
    lines = [
        event("EPOCH_COMPLETED", seq, loss=1) | {"schema": schema}
        for seq, schema in enumerate([1, 2, 2, 3, 2])
    ]
    path = write_lines(tmp_path / "bad" / "events.jsonl", *lines[:3])
    with open_store(tmp_path) as store:
        write_lines(path, *lines[3:])
        store.refresh()
        assert n_events(store) == 5
        assert store.select("SELECT count(*) FROM epochs").rows == [[1]]
        assert [(kind, number) for _, kind, number, _ in problems(store)] == [("schema", 2), ("schema", 4)]


def test_a_file_that_fails_to_load_is_begun_anew_the_next_time(tmp_path, monkeypatch):
    """The reader is ahead of the tables then: what they lack must not be lost."""
    write_lines(tmp_path / "bad" / "events.jsonl", GOOD, GOOD)
    with Store(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "read_times", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.refresh()
        assert n_events(store) == 0
        store.refresh()
        assert n_events(store) == 2


def interrupted(events: Any) -> None:
    raise KeyboardInterrupt


def test_a_progress_that_fails_loses_nothing(tmp_path):
    for run in "abc":
        write_lines(tmp_path / run / "events.jsonl", GOOD)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with Store(tmp_path) as store:
        with pytest.raises(KeyboardInterrupt):
            store.refresh(stop)
        store.refresh()
        assert store.select("SELECT run_dir, count(*) FROM raw_events GROUP BY ALL ORDER BY ALL").rows == [
            ["a", 1],
            ["b", 1],
            ["c", 1],
        ]


def test_progress_ends_at_all_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "BATCH_BYTES", 2000)
    size = sum(write_run(tmp_path, f"r{i}", epochs=3).stat().st_size for i in range(3))
    seen: list[tuple[int, int]] = []
    with Store(tmp_path) as store:
        store.refresh(lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (size, size)


def test_more_than_fits_into_memory_is_told_and_leaves_no_part_of_a_file(tmp_path):
    long = json.dumps(event("X", text="x" * 1_000_000)).encode()
    write_lines(tmp_path / "bad" / "events.jsonl", *[long] * 40)
    with Store(tmp_path, memory_limit="20MB") as store:
        for _ in range(2):
            with pytest.raises(
                TelemetryFileError, match=r"can't load bad/events\.jsonl: .* move old runs out"
            ):
                store.refresh()
            assert n_events(store) == 0


# Any mixture.

LINES = st.one_of(
    st.just(GOOD),
    st.sampled_from(list(NO_EVENT.values())),
    st.sampled_from([line for line, _ in BAD_FIELDS.values()]),
    st.sampled_from(list(REPAIRED.values())),
    st.sampled_from(list(UNHARMED.values())),
    st.builds(lambda seq: json.dumps(event("X", seq, schema=2)).encode(), st.integers(0, 99)),
    st.just(b""),
)
TABLES = ("events", "ingest_errors")


def tables(store: Store, runs: tuple[str, ...]) -> dict[str, list[str]]:
    return {
        name: sorted(
            map(
                repr,
                store.select(
                    f"SELECT * EXCLUDE (run_dir, filename) FROM {name} WHERE run_dir IN (SELECT unnest($1))",
                    [list(runs)],
                ).rows,
            )
        )
        for name in TABLES
    }


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    folder = tmp_path_factory.mktemp("telemetry")
    with Store(folder) as store:
        yield store, folder


@given(lines=st.lists(LINES, max_size=25), cuts=st.lists(st.integers(0, 20_000), max_size=6))
@settings(max_examples=30, deadline=None)
def test_however_a_file_grows_the_tables_are_those_of_reading_it_once(growing, lines, cuts):
    store, folder = growing
    for path in folder.glob("*/events.jsonl"):
        path.unlink()
    store.refresh()
    whole = b"".join(line + b"\n" for line in lines)
    write_lines(folder / "once" / "events.jsonl", whole, end=b"")
    store.refresh()
    expected = tables(store, ("once",))
    before = 0
    for cut in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        write_lines(folder / "grown" / "events.jsonl", whole[before:cut], end=b"")
        store.refresh()
        before = cut
    assert tables(store, ("grown",)) == expected
    bad = sum(line in NO_EVENT.values() for line in lines)
    blank = sum(not line.strip() for line in lines)
    assert len(expected["events"]) == len(lines) - bad - blank
    assert store.as_of(["grown"]).bad_lines == bad


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["3", "-3", "3.0", "0.5", "1e3", " 3", "+3", "0x3", "true", "1", "nan", "", "٣"]),
    st.lists(st.integers(), max_size=2),
)


@given(values=st.lists(SCALARS, min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_value_is_either_read_exactly_or_null_and_counted(growing, values):
    """3.7 is never silently 4, true is never 1, and whatever is null was told."""
    store, folder = growing
    for path in folder.glob("*/events.jsonl"):
        path.unlink()
    store.refresh()
    for column, kind in (("params", int), ("loss", float)):
        path = folder / column / "events.jsonl"
        write_lines(path, *(event("EPOCH_COMPLETED", **{column: value}) for value in values))
        store.refresh()
        found = store.select(
            f"SELECT {column} FROM ev.epoch_completed WHERE run_dir = '{column}' ORDER BY file_offset"
        ).rows
        told = {
            number
            for (number,) in store.select(
                f"SELECT line_number FROM ingest_errors WHERE run_dir = '{column}'"
            ).rows
        }
        for number, (value, (read,)) in enumerate(zip(values, found, strict=True), 1):
            if number in told or value is None or value == "null":
                assert read is None
            else:
                assert not isinstance(value, bool)
                assert read == pytest.approx(float(value), rel=1e-15)
                assert kind is float or float(value).is_integer()
