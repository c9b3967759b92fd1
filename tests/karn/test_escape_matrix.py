"""Every way out that is known, by every trick that is known: nothing outside is read, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from esper.karn.store.database import Store
from esper.leyline.errors import QueryError
from store_support import open_store
from support import write_run

SECRET = "the-secret-beside-the-folder"
captured = duckdb.values([SECRET])
"""A relation of this process, which DuckDB's Python package would find by its name."""

READERS = [
    "glob",
    "parquet_bloom_probe",
    "parquet_file_metadata",
    "parquet_full_metadata",
    "parquet_kv_metadata",
    "parquet_metadata",
    "parquet_scan",
    "parquet_schema",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_duckdb",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_json_objects_auto",
    "read_ndjson",
    "read_ndjson_auto",
    "read_ndjson_objects",
    "read_parquet",
    "read_single_csv_file",
    "read_single_json_file",
    "read_single_parquet_file",
    "read_text",
    "seq_scan",
    "sniff_csv",
]
"""Functions that read files, as tables."""

CALLS = {
    "plain": "SELECT * FROM {f}({p})",
    "bare FROM": "FROM {f}({p})",
    "case": "SELECT * FROM {F}({p})",
    "quotes": 'SELECT * FROM "{f}"({p})',
    "comment": "SELECT * FROM /* a table */ {f} -- really\n ({p})",
    "main": "SELECT * FROM main.{f}({p})",
    "system": "SELECT * FROM system.main.{f}({p})",
    "quoted schema": 'SELECT * FROM "system"."main"."{f}"({p})',
    "parentheses": "SELECT * FROM ((((FROM {f}({p})))))",
    "list of paths": "SELECT * FROM {f}([{p}])",
    "concatenation": "SELECT * FROM {f}({p} || '')",
    "pattern": "SELECT * FROM {f}(left({p}, -3) || '*')",
    "expression": "SELECT * FROM {f}((SELECT {p}))",
    "CTE": "WITH x AS (SELECT * FROM {f}({p})) SELECT * FROM x",
    "materialized CTE": "WITH x AS MATERIALIZED (FROM {f}({p})) FROM x",
    "recursive CTE": "WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM {f}({p})) FROM x LIMIT 2",
    "scalar": "SELECT (SELECT {f} FROM {f}({p}) LIMIT 1)",
    "array": "SELECT array(SELECT {f} FROM {f}({p}))",
    "exists": "SELECT exists(FROM {f}({p}))",
    "lateral": "SELECT * FROM (VALUES ({p})) t(x), LATERAL (SELECT * FROM {f}(t.x))",
    "lateral without the word": "SELECT * FROM (VALUES ({p})) t(x), {f}(x)",
    "join": "SELECT * FROM runs LEFT JOIN {f}({p}) ON true",
    "union": "SELECT run_dir FROM runs UNION ALL BY NAME SELECT * FROM {f}({p})",
    "order": "SELECT 1 ORDER BY (SELECT count(*) FROM {f}({p}))",
    "limit": "SELECT 1 LIMIT (SELECT count(*) FROM {f}({p}))",
    "describe": "DESCRIBE SELECT * FROM {f}({p})",
    "summarize": "SUMMARIZE SELECT * FROM {f}({p})",
    "pivot": "PIVOT {f}({p}) ON filename USING count(*)",
    "lambda": "SELECT list_transform([{p}], lambda x: (SELECT count(*) FROM {f}({p})))",
    "query": "SELECT * FROM query('SELECT * FROM {f}(''' || {p} || ''')')",
    "query_table": "SELECT * FROM query_table('{f}({q})')",
    "serialized": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM {f}({q})'))",
    "out by a parenthesis": "SELECT 1) UNION ALL SELECT * FROM {f}({p}) --",
    "out by a quote": "SELECT 1') UNION ALL SELECT * FROM {f}({p}) --",
    "out by a comment": "SELECT 1 /*') UNION ALL*/ FROM {f}({p}) --*/",
    "out by a semicolon": "SELECT 1; SELECT * FROM {f}({p})",
    "as a scalar": "SELECT {f}({p})",
    "as a method": "SELECT ({p}).{f}()",
}

TABLES = {
    "single quotes": "SELECT * FROM {p}",
    "double quotes": 'SELECT * FROM "{path}"',
    "address": "SELECT * FROM 'file://{path}'",
    "pattern": "SELECT * FROM '{path}*'",
    "schema": 'SELECT * FROM main."{path}"',
    "suffix as a name": 'SELECT * FROM "{stem}"."{suffix}"',
    "parts as schemas": 'SELECT * FROM "{stem}".x.{suffix}',
    "shown": "SHOW {p}",
    "deep": "SELECT (SELECT count(*) FROM {p} x, LATERAL (FROM {p}) y)",
    "describe": "DESCRIBE {p}",
    "summarize": "SUMMARIZE {p}",
    "dollar quotes": "SELECT * FROM $${path}$$",
    "captured": "SELECT * FROM captured",
    "captured, quoted": 'SELECT * FROM "captured"',
    "captured by query_table": "SELECT * FROM query_table('captured')",
    "captured by a CTE": "WITH x AS (FROM captured) FROM x",
    "captured path": "SELECT * FROM SECRET",
}
"""Files and variables of the process that are named like tables."""

STATEMENTS = [
    "COPY (SELECT 1) TO '{out}'",
    "COPY runs TO '{out}' (FORMAT parquet)",
    "COPY tail.problems FROM '{path}'",
    "COPY FROM DATABASE memory TO other",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{path}'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET GLOBAL allowed_paths = ['/']",
    "PRAGMA enable_logging",
    "CALL enable_logging(storage = 'file', storage_path = '{out}')",
    "CALL enable_profiling()",
    "PRAGMA profiling_output = '{out}'",
    "INSERT INTO tail.problems (run_dir) VALUES ('x')",
    "UPDATE tail.problems SET run_dir = 'x'",
    "DELETE FROM tail.problems",
    "TRUNCATE tail.problems",
    "DROP VIEW runs",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "CREATE TEMP MACRO wilson_low(a, b) AS 42",
    "CREATE OR REPLACE VIEW runs AS SELECT 1",
    "CREATE TYPE mood AS ENUM ('x')",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "CREATE SECRET s (TYPE s3)",
    "CHECKPOINT",
    "VACUUM",
]

WRAPPED = {
    "plain": "{s}",
    "case": "{S}",
    "comment before": "-- SELECT\n/* SELECT 1 */ {s}",
    "second": "SELECT 1; {s}",
    "second of three": "SELECT 1; {s}; SELECT 2",
    "first": "{s}; SELECT 1",
    "explained": "EXPLAIN ANALYZE {s}",
    "CTE": "WITH x AS ({s}) SELECT 1",
    "used CTE": "WITH x AS ({s} RETURNING *) SELECT * FROM x",
    "deep CTE": "SELECT * FROM (SELECT * FROM (WITH x AS ({s}) SELECT 1))",
    "table": "SELECT * FROM ({s})",
    "value": "SELECT ({s})",
    "out of query()": "SELECT 1); {s}; SELECT (1",
    "out of query() by a quote": "SELECT 1'); {s} --",
    "query()": "SELECT * FROM query($x${s}$x$)",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("home") / "telemetry"
    write_run(folder, "run", n_envs=1, episodes=1, epochs=3)
    (folder.parent / "secret.csv").write_text(f"a,b\n{SECRET},1\n")
    with open_store(folder) as store:
        yield store


@pytest.fixture
def unharmed(store: Store) -> Iterator[Store]:
    """The store; afterwards every file and row is as before, and the next question is answered."""
    everything = "SELECT * FROM events ORDER BY file_offset"
    files, rows = files_of(store), store.select(everything).rows
    yield store
    assert store.query("SELECT 41 + 1, wilson_low(1, 3) < 1", limit=1).rows == [[42, True]]
    assert store.select(everything).rows == rows
    assert files_of(store) == files
    assert store.query("SHOW TABLES", limit=1000).rows == store.query("SHOW TABLES", limit=1000).rows


def files_of(store: Store) -> dict[str, bytes]:
    paths = store.telemetry_dir.parent.rglob("*")
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def answer(store: Store, sql: str) -> str:
    """All that comes back: rows, or the text of the refusal."""
    try:
        return repr(store.query(sql, limit=1000))
    except QueryError as error:
        return f"refused: {error}"


def places(store: Store) -> Iterator[Path]:
    """A file outside of the folder, and one inside: the rows are read, the files are not."""
    yield store.telemetry_dir.parent / "secret.csv"
    yield store.telemetry_dir / "run" / "events.jsonl"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("reader", READERS)
def test_no_function_reads_a_file(unharmed: Store, reader: str, call: str) -> None:
    for path in places(unharmed):
        quoted, twice = f"'{path}'", f"''{path}''"
        text = answer(unharmed, call.format(f=reader, F=reader.upper(), p=quoted, q=twice))
        assert text.startswith("refused: ")
        assert SECRET not in text
        assert "TRAINING_STARTED" not in text


def test_the_matrix_has_every_function_that_reads_files(store: Store) -> None:
    """A new version of DuckDB may bring more of them."""
    names = store.select(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type LIKE 'table%' "
        "AND regexp_matches(function_name, 'read_|parquet|glob|sniff|seq_scan|_auto$')"
    )
    assert {name for (name,) in names.rows} <= {*READERS, "read_xlsx"}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_name_stands_for_a_file_or_a_variable(unharmed: Store, table: str) -> None:
    for path in places(unharmed):
        stem, suffix = path.with_suffix(""), path.suffix[1:]
        text = answer(unharmed, table.format(p=f"'{path}'", path=path, stem=stem, suffix=suffix))
        assert text.startswith("refused: ")
        assert SECRET not in text
        assert "TRAINING_STARTED" not in text


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_no_statement_but_one_select_runs(unharmed: Store, wrap: str) -> None:
    path = unharmed.telemetry_dir.parent / "secret.csv"
    for statement in STATEMENTS:
        sql = statement.format(out=unharmed.telemetry_dir / "out", path=path)
        text = answer(unharmed, wrap.format(s=sql, S=sql.swapcase()))
        assert text.startswith("refused: "), sql
        assert SECRET not in text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM duckdb_settings()",
        "SELECT /* */ Current_Setting('allowed_directories')",
        "SELECT 'allowed_directories'.current_setting()",
        "SELECT system.main.current_setting('home_directory')",
        "SHOW DATABASES",
        "FROM pragma_database_list()",
        "FROM duckdb_temporary_files()",
        "FROM duckdb_external_file_cache()",
        "FROM duckdb_secrets()",
        "FROM duckdb_logs",
        "FROM information_schema.views",
        "FROM sqlite_master",
        "SELECT getenv('HOME')",
        "SHOW ALL TABLES",
        "SHOW TABLES",
        "FROM duckdb_columns()",
        "FROM information_schema.tables",
        "SELECT error('x')",
    ],
)
def test_no_answer_names_a_path_of_the_host(unharmed: Store, sql: str) -> None:
    text = answer(unharmed, sql)
    assert str(unharmed.telemetry_dir.parent) not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize(
    ("sql", "expected", "truncated"),
    [
        ("SELECT a FROM range(9) t(a) -- LIMIT 1", [0, 1, 2], True),
        ("SELECT a FROM range(9) t(a) /* LIMIT 1 */", [0, 1, 2], True),
        ("SELECT a FROM range(9) t(a) WHERE 'LIMIT 1' <> ''", [0, 1, 2], True),
        ("SELECT a FROM (SELECT a FROM range(9) t(a) LIMIT 5) ORDER BY a DESC", [4, 3, 2], True),
        ("WITH x AS (SELECT a FROM range(9) t(a) LIMIT 2) FROM x", [0, 1], False),
        ("SELECT a AS limit_x FROM range(9) t(a) ORDER BY limit_x DESC", [8, 7, 6], True),
        ('SELECT a AS "limit" FROM range(9) t(a) ORDER BY "limit" DESC LIMIT 2', [8, 7], False),
        ("SELECT a FROM range(9) t(a) ORDER BY a DESC LIMIT 4 OFFSET 2", [6, 5, 4], True),
        ("SELECT a FROM range(9) t(a) ORDER BY a DESC LIMIT 30%", [8, 7], False),
        ("SELECT a FROM range(9) t(a) LIMIT 1; -- LIMIT 100", [0], False),
        ("SELECT a FROM range(9) t(a) LIMIT ALL", [0, 1, 2], True),
        ("SELECT a FROM range(9) t(a) LIMIT 1000000", [0, 1, 2], True),
        ("(SELECT a FROM range(9) t(a) LIMIT 1) UNION ALL (SELECT 7 LIMIT 1)", [0, 7], False),
    ],
)
def test_the_callers_own_limit_and_order_are_kept(
    unharmed: Store, sql: str, expected: list[int], truncated: bool
) -> None:
    rows = unharmed.query(sql, limit=3)
    assert [row[0] for row in rows.rows] == expected
    assert rows.truncated is truncated
