"""The resources: what can be read without a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from esper.karn.mcp.guide import guide
from esper.karn.mcp.run_list import run_json, runs_json
from esper.karn.mcp.state import ServerState
from esper.karn.store.sqlfile import SqlFile
from esper.leyline.errors import KarnError, NotFoundError, unknown_name

if TYPE_CHECKING:
    from esper.karn.store.database import Store

P = ParamSpec("P")
T = TypeVar("T")

MARKDOWN = "text/markdown"
JSON = "application/json"


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


def resource_uris(state: ServerState) -> list[str]:
    """Every address that can be read, but for those of the runs."""
    views = [f"karn://views/{name}" for name in (*state.views, *state.queries)]
    return ["karn://guide", "karn://views", "karn://runs", "karn://runs/{run_dir}", *views]


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
