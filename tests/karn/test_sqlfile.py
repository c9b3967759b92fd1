"""SQL files: a header that documents, one bare SELECT, and errors that name file and line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from esper.karn.store.database import Store
from esper.karn.store.sqlfile import SqlFile, SqlFileError, read_sql_file
from esper.karn.store.views import shipped_queries, shipped_views, sql_folder
from support import ROOT

GOOD = """\
-- title: A title
-- description: What it says.
-- grain: one row per thing
-- key: a, b
-- a comment between, which is for people who read the file
-- param run_dir VARCHAR = latest: the run
-- param threshold DOUBLE = 0.5: a rate
-- param n INTEGER: how many
-- param all_of BOOLEAN = true: whether
-- column a: the first [unit]
-- column b: the second
SELECT 1 AS a, '$.path' AS b -- $not_a_param
WHERE $run_dir = 'x' AND $threshold > 0 AND $n > 0 AND $all_of;
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str, name: str = "things.sql") -> Path:
        path = tmp_path / name
        path.write_text(dedent(text))
        return path

    return written


def test_a_header_is_read_with_every_column_and_parameter(write):
    file = read_sql_file(write(GOOD))
    assert (file.name, file.title, file.description) == ("things", "A title", "What it says.")
    assert (file.grain, file.key) == ("one row per thing", "a, b")
    assert file.columns == {"a": "the first [unit]", "b": "the second"}
    assert [(p.name, p.sql_type, p.required, p.default) for p in file.params] == [
        ("run_dir", "VARCHAR", False, "latest"),
        ("threshold", "DOUBLE", False, 0.5),
        ("n", "INTEGER", True, None),
        ("all_of", "BOOLEAN", False, True),
    ]
    assert file.body.startswith("SELECT 1 AS a")
    assert not file.body.endswith(";")


def without(start: str) -> str:
    return "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(start))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (without("-- title"), "things.sql:11: no '-- title: ...' line"),
        (without("-- description"), "things.sql:11: no '-- description: ...' line"),
        (without("SELECT").replace("WHERE", "--"), "things.sql:13: no SELECT after the header"),
        ("", "things.sql:1: no '-- title: ...' line"),
        ("SELECT 1", "things.sql:1: no '-- title: ...' line"),
        (GOOD.replace("-- grain", "-- grian"), "things.sql:3: not a header line"),
        (GOOD.replace("-- key: a, b", "-- key"), "things.sql:4: not a header line"),
        (GOOD.replace("-- column a: the first", "-- column a the first"), "things.sql:10: not a header line"),
        (GOOD.replace("-- column b", "-- column b-b"), "things.sql:11: not a header line"),
        (GOOD.replace("-- column b", "-- column a"), "things.sql:11: a is there twice"),
        (GOOD.replace("-- key", "-- title"), "things.sql:4: title is there twice"),
        (GOOD.replace("n INTEGER: how", "n: how"), "things.sql:8: not a header line"),
        (GOOD.replace("n INTEGER: how many", "n INTEGER = 3"), "things.sql:8: not a header line"),
        (GOOD.replace("n INTEGER", "n NUMBER"), "things.sql:8: parameter n has type NUMBER; use one of"),
        (GOOD.replace("DOUBLE = 0.5", "DOUBLE = half"), "things.sql:7: 'half' is no DOUBLE for threshold"),
        (GOOD.replace("BOOLEAN = true", "BOOLEAN = yes"), "things.sql:9: 'yes' is no BOOLEAN for all_of"),
        (without("-- param n "), "things.sql:12: $n has no '-- param n TYPE: ...' line"),
        (GOOD.replace("AND $n > 0", ""), "things.sql:8: the SELECT does not use $n"),
    ],
)
def test_a_broken_header_is_named_with_file_and_line(write, text, message):
    with pytest.raises(SqlFileError) as error:
        read_sql_file(write(text))
    assert message in str(error.value)


def test_a_file_must_be_named_as_a_view_can_be(write):
    with pytest.raises(SqlFileError, match=r"My View\.sql: the name must be lower-case"):
        read_sql_file(write(GOOD, "My View.sql"))


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "things.sql").write_bytes(b"-- title: \xff\n")
    with pytest.raises(SqlFileError, match=r"things\.sql: can't be read"):
        read_sql_file(tmp_path / "things.sql")
    with pytest.raises(SqlFileError, match=r"gone\.sql: can't be read"):
        read_sql_file(tmp_path / "gone.sql")


def view(name: str, body: str) -> dict[str, SqlFile]:
    return {name: SqlFile(name, "t", "d", "", "", {}, [], body)}


def test_users_own_views_may_read_ours_and_each_other_in_any_order(tmp_path):
    own = view("a_first", "SELECT * FROM b_second") | view(
        "b_second", "SELECT count(*) AS n FROM slot_thrash"
    )
    with Store(tmp_path, views=own) as store:
        assert store.select("SELECT n FROM a_first").rows == [[0]]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (view("a", "SELECT * FROM b") | view("b", "SELECT * FROM a"), "a.sql: .*; b.sql: "),
        (view("a", "SELECT * FROM nowhere"), "a.sql: .*nowhere"),
        (view("a", "SELEC 1"), "a.sql: Parser Error"),
        (view("a", "SELECT nothing FROM runs"), "a.sql: Binder Error"),
    ],
    ids=["circle", "unknown view", "syntax", "unknown column"],
)
def test_views_that_can_not_be_made_are_named_by_their_files(tmp_path, own, message):
    with Store(tmp_path, views=own) as store, pytest.raises(SqlFileError, match=message):
        store.select("SHOW TABLES")


def test_the_checkouts_own_files_are_found():
    assert sql_folder() == ROOT / "views"
    assert {path.stem for path in (ROOT / "views").glob("*.sql")} == shipped_views().keys()
    assert {path.stem for path in (ROOT / "views/queries").glob("*.sql")} == shipped_queries().keys()
