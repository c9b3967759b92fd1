"""The tools that no SQL file makes: runs, views, the verdict, and SQL."""

from __future__ import annotations

from typing import Annotated

from mcp_types import CallToolResult
from pydantic import Field

from esper.karn.mcp.catalogue import view_columns, view_list
from esper.karn.mcp.compare import COMPARISON_SCHEMA, compare_answer
from esper.karn.mcp.effect import EFFECT_SCHEMA, OpName, effect_answer
from esper.karn.mcp.generated_tools import Limit, generated_tools
from esper.karn.mcp.plot import LEVELS_SCHEMA, picture_result, plot_answer
from esper.karn.mcp.query_page import SqlCall, sql_page
from esper.karn.mcp.run_list import run_list
from esper.karn.mcp.state import CLIENT, ServerState
from esper.karn.mcp.tool import TABLE_SCHEMA, Arguments, KarnTool, make_tool, table_result, text_result
from esper.karn.mcp.verdict import VERDICT_SCHEMA, Detail, verdict_answer

OWN_TOOLS = (
    "thrash_verdict",
    "op_effect",
    "compare_runs",
    "plot_levels",
    "list_runs",
    "describe_views",
    "query_sql",
)
"""Names of the tools that no SQL file makes."""


class ListRuns(Arguments):
    """Arguments of list_runs."""

    limit: Limit = 50
    cursor: str | None = None


class DescribeViews(Arguments):
    """Arguments of describe_views."""

    view: Annotated[str | None, Field(description="one view or query in full")] = None


class ThrashVerdict(Arguments):
    """Arguments of thrash_verdict."""

    run_dir: Annotated[str | None, Field(description="the latest run if left out")] = None
    env_id: int | None = None
    slot_id: str | None = None
    detail: Detail = "concise"


class OpEffect(Arguments):
    """Arguments of op_effect."""

    run_dir: str | None = None
    op: OpName = "GROW_INTERNAL"
    env_id: int | None = None
    slot_id: str | None = None
    horizon: Annotated[int, Field(ge=1, le=1000, description="epochs")] = 1


class CompareRuns(Arguments):
    """Arguments of compare_runs."""

    control: str
    treatment: str


class PlotLevels(Arguments):
    """Arguments of plot_levels."""

    run_dir: str | None = None
    env_id: int | None = None
    slot_id: str | None = None


class QuerySql(Arguments):
    """Arguments of query_sql."""

    sql: Annotated[str, Field(description="one SELECT, DESCRIBE or SHOW")]
    limit: Limit = 100
    cursor: str | None = None


def all_tools(state: ServerState) -> list[KarnTool]:
    """Every tool of the server, the verdict first."""

    async def thrash_verdict(given: ThrashVerdict) -> CallToolResult:
        answer = await state.worker.run(
            verdict_answer, given.run_dir, given.env_id, given.slot_id, given.detail
        )
        return text_result(answer.text, answer.structured)

    async def op_effect(given: OpEffect) -> CallToolResult:
        answer = await state.worker.run(
            effect_answer, given.run_dir, given.op, given.env_id, given.slot_id, given.horizon
        )
        return text_result(answer.text, answer.structured)

    async def compare_runs(given: CompareRuns) -> CallToolResult:
        answer = await state.worker.run(compare_answer, given.control, given.treatment)
        return text_result(answer.text, answer.structured)

    async def plot_levels(given: PlotLevels) -> CallToolResult:
        return picture_result(await state.worker.run(plot_answer, given.run_dir, given.env_id, given.slot_id))

    async def list_runs(given: ListRuns) -> CallToolResult:
        return table_result(await state.worker.run(run_list, given.limit, given.cursor))

    async def describe_views(given: DescribeViews) -> CallToolResult:
        if given.view is None:
            return table_result(await state.worker.run(view_list, state.queries))
        return table_result(await state.worker.run(view_columns, state.queries, given.view))

    async def query_sql(given: QuerySql) -> CallToolResult:
        call = SqlCall(sql=given.sql, limit=given.limit, cursor=given.cursor, timeout_s=state.query_timeout_s)
        return table_result(await state.worker.run_sql(CLIENT.get(), sql_page, call))

    return [
        make_tool(
            "thrash_verdict",
            "Is the policy thrashing?",
            "Start here. Whether a run's policy thrashes, since when, in which slots and environments, "
            "why, and whether GROW and SHRINK help: a verdict over the whole run with its evidence.",
            ThrashVerdict,
            thrash_verdict,
            VERDICT_SCHEMA,
        ),
        make_tool(
            "op_effect",
            "Effect of GROW or SHRINK",
            "What GROW or SHRINK did to accuracy and loss against NOOP, by a holdout or the policy's own "
            "probabilities, with intervals; or why it can't be told. Beside it the naive advantage.",
            OpEffect,
            op_effect,
            EFFECT_SCHEMA,
        ),
        make_tool(
            "compare_runs",
            "Treatment against control",
            "What a treatment run changed: op usage, thrash, return, accuracy and params at the end, "
            "blueprint dominance; and its four exit gates: passed, failed or not measurable, and why.",
            CompareRuns,
            compare_runs,
            COMPARISON_SCHEMA,
        ),
        make_tool(
            "plot_levels",
            "Levels over epochs",
            "Levels over epochs of the worst slots, reversals and since marked: sparklines, points, a PNG.",
            PlotLevels,
            plot_levels,
            LEVELS_SCHEMA,
        ),
        make_tool(
            "list_runs",
            "Runs",
            "Runs in the telemetry folder, latest first: status, policy, ranks, events, bad lines, age.",
            ListRuns,
            list_runs,
            TABLE_SCHEMA,
        ),
        make_tool(
            "describe_views",
            "Views and their columns",
            "What query_sql can read: views with grain and columns, macros, example queries.",
            DescribeViews,
            describe_views,
            TABLE_SCHEMA,
        ),
        *generated_tools(state),
        make_tool(
            "query_sql",
            "SQL over the views",
            "Read-only DuckDB SQL over the views of describe_views, for what no other tool answers. Events "
            "are ordered by run_dir, rank, seq, never by timestamp.",
            QuerySql,
            query_sql,
            TABLE_SCHEMA,
        ),
    ]
