"""The resources: what can be read without a question."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Resource

from esper.karn.jsonl.ends import EndsReader, last_event_of
from esper.karn.mcp.completions import run_views
from esper.karn.mcp.guide import guide
from esper.karn.mcp.run_list import run_json, runs_json
from esper.karn.mcp.state import ServerState
from esper.karn.mcp.table import MORE_ROWS, table_text
from esper.karn.mcp.view_page import ViewCall, view_page
from esper.karn.settings import find_event_files
from esper.karn.store.sqlfile import SqlFile
from esper.karn.textout import clean
from esper.leyline.errors import KarnError, NotFoundError, unknown_name

if TYPE_CHECKING:
    from esper.karn.store.database import Store

P = ParamSpec("P")
T = TypeVar("T")

MARKDOWN = "text/markdown"
JSON = "application/json"
CSV = "text/csv"
ROWS_OF_RUN = 200
"""Rows of karn://runs/{run_dir}/{view}."""


def add_resources(server: MCPServer[Any], state: ServerState) -> None:
    """Register every resource and template."""

    async def ask(function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await state.worker.run(function, *args, **kwargs)
        except NotFoundError as error:
            raise ResourceNotFoundError(str(error)) from error
        except KarnError as error:
            raise ResourceError(str(error)) from error

    @server.resource(
        "karn://guide",
        title="How to read the numbers",
        description="What each metric means, its bands and its known bias.",
        mime_type=MARKDOWN,
    )
    def read_guide() -> str:
        return guide()

    @server.resource(
        "karn://views",
        title="Views",
        description="Every view and example query in a line.",
        mime_type=MARKDOWN,
    )
    def views() -> str:
        return _view_lines(state)

    @server.resource(
        "karn://views/{view}",
        title="A view in full",
        description="Grain, key, columns with units, and the SELECT of a view or example query.",
        mime_type=MARKDOWN,
    )
    def one_view(view: str) -> str:
        files = {**state.views, **state.queries}
        if view not in files:
            raise ResourceNotFoundError(str(unknown_name("view", view, files)))
        return _view_page(files[view])

    @server.resource(
        "karn://runs",
        title="Runs",
        description="Every run, the latest first: status, policy, size, age.",
        mime_type=JSON,
    )
    async def runs() -> str:
        return await ask(runs_json)

    @server.resource(
        "karn://runs/{run_dir}",
        title="A run",
        description="Status, size, age and number of events of each type of one run.",
        mime_type=JSON,
    )
    async def one_run(run_dir: str) -> str:
        return await ask(run_json, run_dir)

    @server.resource(
        "karn://runs/{run_dir}/{view}",
        title="A view of a run",
        description="The first rows of a view, of one run alone, as CSV; its tool and query_sql have pages.",
        mime_type=CSV,
    )
    async def rows_of_run(run_dir: str, view: str) -> str:
        names = run_views(state)
        if view not in names:
            raise ResourceNotFoundError(str(unknown_name("view of a run", view, names)))
        call = ViewCall(view=view, filters={"run_dir": run_dir}, order=None, limit=ROWS_OF_RUN, cursor=None)
        page = await ask(view_page, call)
        if page.next_cursor is not None:  # it continues a call of the view's tool, which few views have
            page.warnings.remove(MORE_ROWS)
            page.warnings.append(f"the first {page.row_count} rows: query_sql has the rest")
            page.next_cursor = None
        return table_text(page)


def run_resources(telemetry_dir: Path, ends: EndsReader) -> list[Resource]:
    """Each run as a resource, the one with the newest event first; only the ends of its files are read."""
    latest: dict[str, datetime] = {}
    for run_dir, files in find_event_files(telemetry_dir).items():
        with suppress(UnicodeEncodeError):  # a name of other bytes can't be written as an address
            run_dir.encode()
            latest[run_dir] = last_event_of(files, ends)
    return [
        Resource(
            uri=f"karn://runs/{quote(run_dir, safe='')}",
            name=clean(run_dir),
            description="Status, size, age and number of events of each type.",
            mime_type=JSON,
        )
        for run_dir in sorted(latest, key=lambda run_dir: (latest[run_dir], run_dir), reverse=True)
    ]


def resource_uris(state: ServerState) -> list[str]:
    """Every address that can be read, but for those of the runs."""
    views = [f"karn://views/{name}" for name in (*state.views, *state.queries)]
    of_runs = ["karn://runs", "karn://runs/{run_dir}", "karn://runs/{run_dir}/{view}"]
    return ["karn://guide", "karn://views", *of_runs, *views]


def _view_lines(state: ServerState) -> str:
    def lines(files: Any) -> str:
        return "\n".join(f"- `{file.name}`: {file.title} ({file.grain})" for file in files.values())

    return f"# Views\n\n{lines(state.views)}\n\n# Example queries (tools)\n\n{lines(state.queries)}\n"


def _view_page(file: SqlFile) -> str:
    columns = "\n".join(f"- `{name}`: {meaning}" for name, meaning in file.columns.items())
    params = "\n".join(f"- `${param.name}` {param.sql_type}: {param.meaning}" for param in file.params)
    parameters = f"\n## Parameters\n\n{params}\n" if params else ""
    return (
        f"# {file.name}: {file.title}\n\n{file.description}\n\nGrain: {file.grain}. Key: {file.key}.\n"
        f"{parameters}\n## Columns\n\n{columns}\n\n## SQL\n\n```sql\n{file.body}\n```\n"
    )
