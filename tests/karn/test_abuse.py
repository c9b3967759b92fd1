"""Queries that want all time or all memory: each ends soon, and the next is answered normally."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio

from esper.karn.mcp.query_page import SqlCall, sql_page
from esper.karn.mcp.table import Table
from esper.karn.store.database import Store
from esper.karn.store.worker import StoreWorker
from esper.leyline.errors import QueryError, QueryMemoryError, QueryTimeoutError
from support import write_run

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE_S = 0.5
GROWTH_BYTES = 8_000_000

DEAF = {
    "levenshtein": "SELECT levenshtein(repeat('ab', 400000), repeat('ba', 400000))",
    "bignum": "SELECT (repeat('9', 4000000))::BIGNUM * (repeat('9', 4000000))::BIGNUM",
}
"""One call of a function that lasts longer than the deadline and heeds no interrupt."""

ENDLESS = {
    "cross join": "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = -1",
    "join of events": "SELECT max(random()) FROM events a, events b, events c, events d, "
    "events e, events f, events g, events h, events i",
    "sort": "SELECT * FROM range(1000000000000) ORDER BY 1 DESC",
    "generate_series": "SELECT * FROM generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '9999-01-01', "
    "INTERVAL 1 SECOND) ORDER BY 1 DESC",
    "recursion": "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t",
    "cycle": "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT 1 - a FROM t) SELECT sum(a) FROM t",
    "lateral": "SELECT count(*) FROM range(1000000) a, LATERAL (SELECT count(*) FROM range(a.range * 1000))",
    "many strings": "SELECT max(length(repeat('x', 1000000 + i::INT))) FROM range(1000000) t(i)",
    "md5": "SELECT max(md5(md5(i::VARCHAR))) FROM range(10000000000) t(i)",
    "list_transform": "SELECT max(list_sum([x * i FOR x IN range(1000)])) FROM range(100000000) t(i)",
    "window": "SELECT sum(a.range) OVER (ORDER BY b.range DESC) FROM range(100000) a, range(100000) b",
    "string_agg": "SELECT string_agg(a.range::VARCHAR, ',') FROM range(10000000000) a",
    "list": "SELECT list(a.range) FROM range(10000000000) a",
    "lpad": "SELECT lpad('x', 2000000000, 'y')",
    "concatenation": "SELECT " + " || ".join(["repeat('x', 100000000)"] * 50),
    "doubling": "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a FROM t, range(2)) FROM t ORDER BY 1",
    "doubling text": "WITH RECURSIVE t AS (SELECT 'x' AS a UNION ALL SELECT a || a FROM t) FROM t ORDER BY 1",
}
"""Ends at the deadline, or before it where memory ends first."""

BOMBS = {
    "repeat": "SELECT repeat('x', 2000000000)",
    "range": "SELECT list_sum(range(300000000))",
    "printf": "SELECT printf('%2000000000d', 1)",
    "format": "SELECT format('{:>2000000000}', 'x')",
    "transformed range": "SELECT list_transform(range(100000000), lambda x: x * 2)",
    "big cells": "SELECT repeat('x', 5000000) FROM range(1000)",
}
"""More memory than a process has. How far they get first depends on the machine."""

REFUSED = {
    "unnest": "SELECT unnest(range(1000000000000))",
    "parentheses": "SELECT " + "(" * 40000 + "1" + ")" * 40000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 3000 + "runs" + ")" * 3000,
    "negations": "SELECT " + "NOT " * 20000 + "true",
    "sums": "SELECT 1" + " + 1" * 30000,
    "deeper lists": "SELECT " + "[" * 900 + "1" + "]" * 900,
    "factorial": "SELECT factorial(20000000)",
}

ANSWERED = {
    "regular expression": "SELECT regexp_matches(repeat('a', 1000000), '(a?){500}a{500}$')",
    "backtracking": "SELECT length(regexp_replace(repeat('a', 1000000), '((a*)*)*b', 'x', 'g'))",
    "columns": "SELECT " + ", ".join(f"1 AS c{number}" for number in range(2000)),
    "deep lists": "SELECT " + "[" * 100 + "1" + "]" * 100,
    "deep JSON": "SELECT (repeat('[', 400) || repeat(']', 400))::JSON",
    "deeper JSON": "SELECT (repeat('[', 100000) || repeat(']', 100000))::JSON",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StoreWorker]:
    folder = tmp_path_factory.mktemp("telemetry")
    write_run(folder, "run", n_envs=1, episodes=1, epochs=5)
    worker = StoreWorker(folder)
    await ask(worker, "SELECT 1", timeout_s=60)
    yield worker
    await worker.close()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def next_query_is_answered(worker: StoreWorker) -> AsyncIterator[None]:
    before = resident_bytes()
    yield
    assert (await ask(worker, "SELECT 41 + 1 AS a", timeout_s=60)).rows == [[42]]
    assert resident_bytes() - before < GROWTH_BYTES, "the server has grown"


async def ask(worker: StoreWorker, sql: str, timeout_s: float = DEADLINE_S) -> Table:
    call = SqlCall(sql=sql, limit=1000, cursor=None, timeout_s=timeout_s)
    begun = time.monotonic()
    try:
        with anyio.fail_after(30):
            return await worker.run_sql("", sql_page, call)
    finally:
        print(f"{time.monotonic() - begun:.2f} s")


async def pid(worker: StoreWorker) -> int:
    return await worker.run(_pid)


def _pid(store: Store) -> int:
    return os.getpid()


def resident_bytes() -> int:
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("sql", DEAF.values(), ids=DEAF)
async def test_a_function_that_heeds_nothing_ends_with_its_process(worker: StoreWorker, sql: str) -> None:
    before = await pid(worker)
    with pytest.raises(QueryTimeoutError, match=r"ran past its 0\.5 s"):
        await ask(worker, sql)
    assert await pid(worker) != before


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
async def test_a_query_without_end_is_ended(worker: StoreWorker, sql: str) -> None:
    with pytest.raises((QueryTimeoutError, QueryMemoryError), match="ran"):
        await ask(worker, sql)


@pytest.mark.parametrize("sql", BOMBS.values(), ids=BOMBS)
async def test_a_query_that_wants_all_memory_is_told_so(worker: StoreWorker, sql: str) -> None:
    before = await pid(worker)
    with pytest.raises((QueryTimeoutError, QueryMemoryError), match="ran") as caught:
        await ask(worker, sql, timeout_s=5)
    if isinstance(caught.value, QueryMemoryError):
        assert await pid(worker) != before, "its memory was not given back"


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED)
async def test_what_can_not_be_is_refused(worker: StoreWorker, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        await ask(worker, sql, timeout_s=10)
    assert type(caught.value) is QueryError
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("sql", ANSWERED.values(), ids=ANSWERED)
async def test_what_only_looks_bad_is_answered(worker: StoreWorker, sql: str) -> None:
    assert (await ask(worker, sql, timeout_s=10)).row_count == 1


async def test_a_long_cell_is_cut_and_its_length_said(worker: StoreWorker) -> None:
    ((text, values),) = (await ask(worker, "SELECT repeat('x', 5000000), range(200000)", timeout_s=20)).rows
    assert len(text) < 5000
    assert text.endswith("... [cut: 5000000 characters]")
    assert len(values) < 5000
    assert values.endswith(" characters]")


async def test_many_rows_come_page_by_page(worker: StoreWorker) -> None:
    table = await ask(worker, "SELECT range AS a FROM range(400000) ORDER BY a", timeout_s=20)
    assert table.row_count == 1000
    assert table.truncated
    assert table.next_cursor is not None
