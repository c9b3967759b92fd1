"""What all tools share: arguments that teach when they are wrong, schemas that are short, errors as text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from msgspec import to_builtins
from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from esper.karn.mcp.table import Table, table_text
from esper.karn.textout import clean
from esper.leyline.errors import KarnError, unknown_name

MAX_ERROR = 2_000
"""Characters of an error's text."""

READ_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
"""Every tool of this server only reads, and only the telemetry folder."""


class Arguments(ArgModelBase):
    """Base of every tool's arguments; an unknown one is an error, which the SDK alone would pass over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


A = TypeVar("A", bound=Arguments)


class KarnTool(Tool):
    """A tool whose function takes its checked arguments as one object."""

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> CallToolResult:
        """Check the arguments and call the tool.

        Raises:
            ToolError: with a text that says what to do.
        """
        try:
            checked = self._check(arguments)
            result: CallToolResult = await self.fn(checked)
        except KarnError as error:
            raise ToolError(error_text(error)) from error
        except (ToolError, MCPError):
            raise
        except Exception as error:
            # The SDK logs the cause and shows this text alone: a bug's own words may name host paths.
            raise UnexpectedToolError(
                f"{self.name} failed: this is a bug in Karn, see the server's log"
            ) from error
        return result

    def _check(self, arguments: dict[str, Any]) -> Arguments:
        model = self.fn_metadata.arg_model
        # Some hosts send null for what their model left out.
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            checked = model.model_validate(self.fn_metadata.pre_parse_json(given))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            for problem in problems:
                if problem["type"] == "extra_forbidden":
                    name = str(problem["loc"][0])
                    known = [field.alias or own for own, field in model.model_fields.items()]
                    raise ToolError(
                        error_text(unknown_name(f"argument of {self.name}:", name, known))
                    ) from error
            raise ToolError("; ".join(_problem_text(problem) for problem in problems[:5])) from error
        assert isinstance(checked, Arguments)
        return checked


def make_tool(
    name: str,
    title: str,
    description: str,
    arguments: type[A],
    function: Callable[[A], Awaitable[CallToolResult]],
    output_schema: dict[str, Any],
) -> KarnTool:
    """A read-only tool.

    Args:
        name: as it is called.
        title: for people.
        description: for the assistant; every session pays for it.
        arguments: what it takes.
        function: gets the arguments, checked; raises KarnError for what the caller can mend.
        output_schema: of the structured content.
    """
    return KarnTool(
        fn=function,
        name=name,
        title=title,
        description=description,
        parameters=lean_schema(arguments.model_json_schema()),
        fn_metadata=FuncMetadata(arg_model=arguments, output_schema=output_schema),
        is_async=True,
        context_kwarg=None,
        annotations=READ_ONLY,
    )


def lean_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A pydantic schema without what an assistant does not need: titles, nulls, repeated descriptions.

    An optional argument is one that may be left out; that null means the same is not worth its tokens.
    """
    lean = {key: value for key, value in schema.items() if key not in ("title", "description")}
    lean["properties"] = {name: _lean_property(field) for name, field in schema.get("properties", {}).items()}
    return lean


def _lean_property(field: dict[str, Any]) -> dict[str, Any]:
    lean = {key: value for key, value in field.items() if key not in ("title", "anyOf")}
    for option in field.get("anyOf", []):
        if option != {"type": "null"}:
            lean = {**option, **lean}
    if lean.get("default", ...) is None:
        del lean["default"]
    return lean


TEXT_OR_NULL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
"""Not as a list of types: some clients know one type alone."""

TABLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array"}},
        "row_count": {"type": "integer"},
        "truncated": {"type": "boolean"},
        "next_cursor": TEXT_OR_NULL,
        "as_of": {"type": "object"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["columns", "rows", "row_count", "truncated", "next_cursor", "as_of", "warnings"],
}
"""Of every answer that is a Table."""


def table_result(table: Table) -> CallToolResult:
    """A table as structured content and, the same, as CSV: some hosts show only one of the two."""
    return text_result(table_text(table), to_builtins(table))


def text_result(text: str, structured: dict[str, Any]) -> CallToolResult:
    """A tool's answer in both forms."""
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


def error_text(error: BaseException) -> str:
    """An error's own words without control characters, cut to what is useful."""
    lines = [clean(line) for line in str(error).splitlines()]
    text = "\n".join(line for line in lines if line.strip())
    return text if len(text) <= MAX_ERROR else text[:MAX_ERROR] + "..."


def _problem_text(problem: ErrorDetails) -> str:
    name = clean(".".join(str(step) for step in problem["loc"])) or "arguments"
    if problem["type"] == "missing":
        return f"{name} is required"
    given = repr(problem["input"])
    shown = given if len(given) <= 80 else given[:80] + "..."
    return f"{name}: {problem['msg']}, not {clean(shown)}"
