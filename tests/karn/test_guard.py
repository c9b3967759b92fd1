"""SQL that somebody else wrote: it reads the views, and neither writes, leaves nor looks outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from esper.karn.store.database import Store
from esper.karn.store.guard import MAX_SQL_CHARACTERS
from esper.karn.store.rows import Rows
from esper.leyline.errors import QueryError, QueryTimeoutError
from store_support import open_store
from support import write_run

ONE_SELECT = "only one SELECT"
NOT_HERE = "is not available here"
NO_FILES = "file system operations are disabled"

OTHER_STATEMENTS = [
    "COPY (SELECT 1) TO '{target}'",
    "COPY runs TO '{target}' (FORMAT parquet)",
    "EXPORT DATABASE '{target}'",
    "ATTACH '{target}' AS other",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "RESET threads",
    "SET VARIABLE x = 1",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CREATE TABLE t (a INTEGER)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "ALTER TABLE tail.problems ADD COLUMN x INTEGER",
    "DROP VIEW runs",
    "INSERT INTO tail.problems (run_dir) VALUES ('x')",
    "UPDATE tail.problems SET run_dir = 'x'",
    "DELETE FROM tail.problems",
    "TRUNCATE tail.problems",
    "MERGE INTO tail.problems USING runs ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "USE memory",
    "VACUUM",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW runs",
    "SELECT 1 /* ; */ ; -- x \n DROP VIEW runs",
]
"""Anything but one SELECT."""

HIDDEN_STATEMENTS = [
    "WITH x AS (COPY (SELECT 1) TO '{target}') SELECT 1",
    "WITH x AS (INSERT INTO tail.problems (run_dir) VALUES ('x')) SELECT 1",
    "WITH x AS (UPDATE tail.problems SET run_dir = 'x' RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM tail.problems RETURNING *) SELECT * FROM x",
    "SELECT * FROM (WITH x AS (COPY (SELECT 1) TO '{target}') SELECT 1)",
    "SELECT (SELECT 1 FROM (WITH x AS (DELETE FROM tail.problems RETURNING 1) SELECT * FROM x))",
    "SELECT * FROM (DELETE FROM tail.problems RETURNING *)",
    "SELECT (COPY (SELECT 1) TO '{target}')",
    "SELECT 1); DROP VIEW runs; SELECT (1",
    "SELECT 1 /* unfinished",
    "SELECT 'unfinished",
]
"""Statements where a SELECT belongs."""

OUTSIDE = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'x.parquet'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/*')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM read_duckdb('x.duckdb')",
    "SELECT * FROM parquet_metadata('x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
]
"""Files."""

WITHHELD = [
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM DuckDB_Settings()",
    'SELECT * FROM "duckdb_settings"()',
    "SELECT * FROM duckdb_settings",
    "SELECT * FROM system.main.duckdb_settings()",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM pg_settings",
    "SUMMARIZE pg_settings",
    "SELECT * FROM (SUMMARIZE pg_settings)",
    "DESCRIBE SELECT * FROM duckdb_settings()",
    "SELECT (SELECT count(*) FROM duckdb_settings())",
    "SELECT * FROM runs WHERE policy IN (SELECT value FROM duckdb_settings())",
    "WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t, LATERAL (SELECT * FROM duckdb_settings())",
    "SELECT * FROM runs POSITIONAL JOIN duckdb_settings()",
    "SELECT array(SELECT value FROM duckdb_settings())",
    "PIVOT duckdb_settings() ON name IN ('threads') USING any_value(value)",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM duckdb_settings()'))",
    "SELECT * FROM query('SELECT * FROM duckdb_settings()')",
    "SELECT * FROM query_table(['duckdb_settings'])",
    "SELECT * FROM pg_settings, (WITH pg_settings AS (SELECT 1) SELECT * FROM pg_settings)",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM pragma_database_list",
    "SELECT current_setting('temp_directory')",
    "SELECT \"current_setting\"('home_directory')",
    "SELECT 'temp_directory'.current_setting()",
    "SELECT list_transform([1], lambda x: getenv('HOME'))",
    "SELECT getvariable('x')",
    "SELECT write_log('x')",
    "SELECT sleep_ms(1)",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM enable_profiling()",
    "SELECT * FROM truncate_duckdb_logs()",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM python_map_function((SELECT 1))",
]
"""What tells of the host, runs a text that nobody looked at, takes pointers or changes the process."""

WELCOME = [
    "SELECT * FROM runs",
    "  select policy from runs  ;  ",
    "SELECT 1 -- a comment at the end",
    "/* a comment */ SELECT 1 /* at both ends */;;",
    "FROM runs",
    "TABLE runs",
    "VALUES (1), (2)",
    "DESCRIBE runs",
    "SHOW TABLES",
    "SUMMARIZE runs",
    "WITH t AS (SELECT 1 AS a) SELECT * FROM t",
    "SELECT 'duckdb_settings', 'COPY x TO y; DROP VIEW runs'",
    'SELECT 1 AS query, 2 AS "glob"',
    "SELECT x FROM (VALUES ($$; DROP VIEW runs$$)) t(x)",
    "SELECT * FROM range(3), unnest([1, 2])",
    "SELECT data ->> '$.loss' FROM raw_events",
    "SELECT * FROM json_each('[1]')",
    "SELECT [x * 2 FOR x IN [1, 2]], list_filter([1, 2], lambda x: x > 1)",
    "PIVOT range(3) t(a) ON a IN (1, 2) USING count(*)",
    "SELECT * FROM (SELECT 1 AS a, 2 AS b) UNPIVOT (v FOR n IN (a, b))",
    "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t WHERE a < 3) SELECT * FROM t",
    "SELECT env_id, band(reversal_rate, n_pairs), wilson_low(1, 3) FROM slot_thrash",
    "SELECT * FROM events LIMIT 1",
    "SELECT count(*) FROM duckdb_columns()",
]
"""What an assistant may write."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("telemetry")
    write_run(folder, "run", n_envs=1, episodes=1, epochs=5)
    with open_store(folder) as store:
        yield store


@pytest.fixture
def unharmed(store: Store, tmp_path: Path) -> Iterator[Store]:
    """The store, which must hold the same afterwards and answer the next question; no file may appear."""
    before = store.select("SELECT * FROM events ORDER BY file_offset").rows
    yield store
    assert store.query("SELECT 41 + 1", limit=1).rows == [[42]]
    assert store.select("SELECT * FROM events ORDER BY file_offset").rows == before
    assert store.select("SELECT count(*) FROM tail.problems").rows == [[0]]
    assert list(tmp_path.iterdir()) == []


def refusal(store: Store, sql: str) -> str:
    with pytest.raises(QueryError) as error:
        store.query(sql, limit=10)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


@pytest.mark.parametrize("sql", OTHER_STATEMENTS)
def test_anything_but_one_select_is_refused(unharmed, tmp_path, sql):
    assert ONE_SELECT in refusal(unharmed, sql.format(target=tmp_path / "out"))


@pytest.mark.parametrize("sql", HIDDEN_STATEMENTS)
def test_a_statement_hidden_in_a_select_is_refused(unharmed, tmp_path, sql):
    refusal(unharmed, sql.format(target=tmp_path / "out"))


@pytest.mark.parametrize("sql", OUTSIDE)
def test_no_file_is_read(unharmed, sql):
    text = refusal(unharmed, sql)
    assert NOT_HERE in text or NO_FILES in text or "unknown view" in text


@pytest.mark.parametrize("sql", WITHHELD)
def test_what_tells_of_the_host_is_withheld_however_it_is_written(unharmed, sql):
    assert NOT_HERE in refusal(unharmed, sql)


@pytest.mark.parametrize("sql", WELCOME)
def test_what_only_reads_is_answered(unharmed, sql):
    assert unharmed.query(sql, limit=5).columns


def test_every_view_of_ours_passes_as_somebody_elses_sql(store):
    for view in store.views.values():
        store.query(view.body, limit=1)


def test_no_table_function_of_duckdb_is_let_in_by_chance(store):
    """A new version may bring functions that read files; only those that are known may be used."""
    names = store.select(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'"
    ).rows
    let_in = []
    for (name,) in names:
        try:
            store.query(f'SELECT * FROM "{name}"()', limit=1)
        except QueryError as error:
            if NOT_HERE in str(error):
                continue
        let_in.append(name)
    assert set(let_in) == {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_types",
        "generate_series",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_show",
        "pragma_table_info",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "test_all_types",
        "unnest",
    }


def test_answers_name_no_path_of_the_host(store):
    here = str(store.telemetry_dir)
    for sql in (
        "SELECT * FROM duckdb_columns()",
        "SELECT * FROM information_schema.tables",
        "SHOW ALL TABLES",
    ):
        assert here not in repr(store.query(sql, limit=1000).rows)
    assert here not in repr(store.query("SELECT * FROM raw_events", limit=1000).rows)


# Errors that teach.


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("", "the SQL is empty; write one SELECT"),
        (" \n ", "the SQL is empty; write one SELECT"),
        ("-- only a comment", "the SQL is empty; write one SELECT"),
        ("SELECT * FROM rns", "unknown view 'rns'; did you mean runs"),
        ("SELECT * FROM slot_trash", "unknown view 'slot_trash'; did you mean slot_thrash"),
        ("SELECT * FROM main.nothing_like_it_at_all_0", "unknown view"),
        ("SELECT polcy FROM runs", 'Candidate bindings: "policy"'),
        ("SELECT ?", "write the value itself into the SQL"),
        ("SELECT * FROM runs WHERE run_dir = $run_dir", "write the value itself into the SQL"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 'a'::INTEGER", "Could not convert string 'a'"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "depth"),
        ("SELECT '" + "x" * MAX_SQL_CHARACTERS + "'", "at most 100000 are taken"),
        ("SELECT '\ud800'", "surrogate"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_refusal_says_what_would_be_right(unharmed, sql, text):
    assert text in refusal(unharmed, sql)


# The limit.


def values(rows: Rows) -> list[object]:
    return [row[0] for row in rows.rows]


@pytest.mark.parametrize(
    ("sql", "expected", "truncated"),
    [
        ("SELECT * FROM range(10)", [0, 1, 2], True),
        ("SELECT * FROM range(10) -- LIMIT 99", [0, 1, 2], True),
        ("SELECT * FROM range(10);", [0, 1, 2], True),
        ("SELECT * FROM range(10) ORDER BY 1 DESC", [9, 8, 7], True),
        ("SELECT * FROM range(10) ORDER BY 1 DESC LIMIT 5", [9, 8, 7], True),
        ("SELECT * FROM (SELECT * FROM range(10) LIMIT 2)", [0, 1], False),
        ("SELECT * FROM range(10) LIMIT 2 -- LIMIT 99", [0, 1], False),
        ("SELECT * FROM range(3)", [0, 1, 2], False),
        ("SELECT * FROM range(4)", [0, 1, 2], True),
        ("SELECT * FROM range(10) LIMIT 0", [], False),
        ("SELECT * FROM range(10) OFFSET 8", [8, 9], False),
        ("VALUES (1), (2), (3), (4)", [1, 2, 3], True),
    ],
)
def test_the_limit_holds_and_truncation_is_said(store, sql, expected, truncated):
    rows = store.query(sql, limit=3)
    assert (values(rows), rows.truncated) == (expected, truncated)


def test_pages_follow_each_other(store):
    sql = "SELECT * FROM range(7) ORDER BY 1"
    pages = [store.query(sql, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [values(page) for page in pages] == [[0, 1, 2], [3, 4, 5], [6], []]
    assert [page.truncated for page in pages] == [True, True, False, False]


@pytest.mark.parametrize("limit", [2**31, 2**63 - 1, 10**30])
def test_no_limit_is_too_large(store, limit):
    assert store.query("SELECT 1", limit=limit).rows == [[1]]


def test_any_type_comes_as_json_can_hold_it(store):
    import json

    rows = store.query("SELECT * FROM test_all_types()", limit=10)
    text = json.dumps(rows.dicts(), allow_nan=False)
    assert json.loads(text)
    (row,) = store.query(
        "SELECT 'NaN'::DOUBLE, 'inf'::FLOAT, 1.10::DECIMAL(10, 4), 2.0::DECIMAL(4, 1), '{\"a\": [1]}'::JSON, "
        "TIMESTAMPTZ '2026-01-01 05:00:00+05', 'x'::BLOB, INTERVAL 2 MINUTE, MAP {1: 2}, NULL",
        limit=1,
    ).rows
    assert row == [
        None,
        None,
        1.1,
        2,
        {"a": [1]},
        "2026-01-01T00:00:00.000000+00:00",
        "78",
        120.0,
        {"1": 2},
        None,
    ]


# The deadline.


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(10000000000) a, range(1000) b",
        "SELECT * FROM range(1000000000000000) ORDER BY 1 DESC",
        "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t",
    ],
    ids=["join", "sort", "recursion"],
)
def test_a_query_without_end_is_stopped_at_its_deadline_and_the_next_is_served(unharmed, sql):
    begun = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"ran past its 0\.2 s"):
        unharmed.query(sql, limit=1, timeout_s=0.2)
    assert time.monotonic() - begun < 5


def test_a_deadline_stops_its_own_query_only(store):
    answers: list[object] = []

    def long_but_allowed() -> None:
        sql = "SELECT count(*) FROM range(30000) a, range(3000) b"
        answers.append(store.query(sql, limit=1, timeout_s=60).rows)

    thread = threading.Thread(target=long_but_allowed)
    thread.start()
    with pytest.raises(QueryTimeoutError):
        store.query("SELECT count(*) FROM range(10000000000) a, range(1000) b", limit=1, timeout_s=0.1)
    thread.join(60)
    assert answers == [[[30000 * 3000]]]


def test_a_query_sees_one_moment_while_the_files_grow(tmp_path):
    path = write_run(tmp_path, "run", n_envs=1, episodes=1, epochs=5)
    with open_store(tmp_path) as store, store.snapshot() as now:
        before = now.select("SELECT count(*) FROM events").rows
        with path.open("ab") as file:
            file.write(b'{"event_type":"X"}\n')
        store.refresh()
        assert now.select("SELECT count(*) FROM events").rows == before
        assert store.select("SELECT count(*) FROM events").rows == [[before[0][0] + 1]]


def test_the_settings_that_keep_sql_from_files_are_locked(store):
    for setting in ("enable_external_access = true", "allowed_directories = ['/']", "memory_limit = '9GB'"):
        with pytest.raises(duckdb.Error):
            store._connection.execute(f"SET {setting}")
