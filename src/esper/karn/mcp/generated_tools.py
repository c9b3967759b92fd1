"""Tools made from SQL files: their arguments, titles and descriptions are those of the headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from mcp_types import CallToolResult
from pydantic import Field, create_model

from esper.karn.mcp.query_page import QueryCall, query_page
from esper.karn.mcp.state import ServerState
from esper.karn.mcp.tool import TABLE_SCHEMA, Arguments, KarnTool, make_tool, table_result
from esper.karn.mcp.view_page import BOUNDS, EQUAL_FILTERS, ViewCall, view_page
from esper.karn.store.sqlfile import ALL, LATEST, PARAM_TYPES, Param, SqlFile

VIEW_TOOLS = ("seed_internal_levels", "internal_op_summary", "internal_op_metrics", "counterfactual_deltas")
"""Views with a tool of their own; query_sql reads them all."""

MAX_LIMIT = 1_000
"""Most rows that one answer may be asked for; its budget is usually reached before."""

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

_FILTERS: dict[str, Any] = {
    "run_dir": Annotated[str | None, Field(description="all runs if left out")],
    "env_id": int | None,
    "slot_id": str | None,
    "episode_idx": int | None,
    "epoch_min": int | None,
    "epoch_max": int | None,
    "since": Annotated[str | None, Field(description="ISO 8601")],
    "until": Annotated[str | None, Field(description="ISO 8601, exclusive")],
}
_ORDER = Annotated[str | None, Field(description="'column [desc], ...'")]


def view_tool(state: ServerState, view: SqlFile) -> KarnTool:
    """A tool that reads a view, with those filters whose columns the view has."""
    names = [*(name for name in EQUAL_FILTERS if name in view.columns)]
    names += [name for name, (column, _) in BOUNDS.items() if column in view.columns]
    fields: dict[str, Any] = {name: (_FILTERS[name], None) for name in names}
    arguments = create_model(
        f"{view.name}_arguments",
        __base__=Arguments,
        **fields,
        order=(_ORDER, None),
        limit=(Limit, 100),
        cursor=(str | None, None),
    )

    async def read_view(given: Arguments) -> CallToolResult:
        values = given.model_dump()
        call = ViewCall(
            view=view.name,
            filters={name: values[name] for name in names if values[name] is not None},
            order=values["order"],
            limit=values["limit"],
            cursor=values["cursor"],
        )
        return table_result(await state.worker.run(view_page, call))

    description = _described(view)
    return make_tool(view.name, view.title, description, arguments, read_view, TABLE_SCHEMA)


def query_tool(state: ServerState, query: SqlFile) -> KarnTool:
    """A tool that runs an example query, with the parameters of its header."""
    # By neutral names, and shown under their own: a parameter may be called as anything in pydantic is.
    fields: dict[str, Any] = {f"p{i}": _parameter(param) for i, param in enumerate(query.params)}
    arguments = create_model(
        f"{query.name}_arguments", __base__=Arguments, **fields, limit=(Limit, 100), cursor=(str | None, None)
    )

    async def run_query(given: Arguments) -> CallToolResult:
        values = given.model_dump(by_alias=True)
        params = {param.name: values[param.name] for param in query.params if values[param.name] is not None}
        call = QueryCall(
            query=query,
            params=params,
            limit=values["limit"],
            cursor=values["cursor"],
            timeout_s=state.query_timeout_s,
        )
        return table_result(await state.worker.run(query_page, call))

    description = _described(query)
    return make_tool(query.name, query.title, description, arguments, run_query, TABLE_SCHEMA)


def _described(file: SqlFile) -> str:
    """What a file is about and what its rows are, which users' own files may leave out."""
    rows = f" {file.grain[0].upper()}{file.grain[1:]}." if file.grain else ""
    return f"{file.description}{rows}"


def _parameter(param: Param) -> tuple[Any, Any]:
    kind: Any = PARAM_TYPES[param.sql_type]
    if param.required:
        return kind, Field(alias=param.name, description=param.meaning)
    default = None if param.default in (LATEST, ALL) else param.default
    return kind | None, Field(default, alias=param.name, description=param.meaning)


def generated_tools(state: ServerState) -> Iterator[KarnTool]:
    """The tools of the views that have one, then those of all example queries."""
    for name in VIEW_TOOLS:
        yield view_tool(state, state.views[name])
    for query in state.queries.values():
        yield query_tool(state, query)
