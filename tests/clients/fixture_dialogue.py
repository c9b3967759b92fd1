"""Tools of the conformance suite that ask the client something, or change what the server offers.

Up to 2025-11-25 a server asks by a request of its own; from 2026-07-28 on its answer says what it needs, and
the client calls again with that.
"""

from __future__ import annotations

from typing import Any, Literal

from fixture_content import PURPOSE
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel, Field

Ctx = Context[Any, Any]
Asks = str | InputRequiredResult


class Person(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def _titled(*values: str) -> list[dict[str, str]]:
    return [{"const": value, "title": value.title()} for value in values]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": _titled("value1", "value2", "value3")})
    legacyEnum: str = Field(
        json_schema_extra={"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Opt 1", "Opt 2", "Opt 3"]}
    )
    untitledMulti: list[str] = Field(
        json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2", "option3"]}}
    )
    titledMulti: list[str] = Field(
        json_schema_extra={"items": {"anyOf": _titled("value1", "value2", "value3")}}
    )


def add_dialogue(server: MCPServer[Any]) -> None:
    """Register them under the names that the suite asks for."""

    async def test_trigger_tool_change(ctx: Ctx) -> str:
        await ctx.notify_tools_changed()
        return "said that the tools have changed"

    async def test_trigger_prompt_change(ctx: Ctx) -> str:
        await ctx.notify_prompts_changed()
        return "said that the prompts have changed"

    for tool in (
        test_elicitation,
        test_elicitation_sep1034_defaults,
        test_elicitation_sep1330_enums,
        test_missing_capability,
        test_streaming_elicitation,
        test_logging_tool,
        test_trigger_tool_change,
        test_trigger_prompt_change,
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_tampered_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_capabilities,
    ):
        server.tool(description=PURPOSE, structured_output=False)(tool)
    server.prompt(description=PURPOSE)(test_input_required_result_prompt)


async def test_elicitation(message: str, ctx: Ctx) -> str:
    return repr(await ctx.elicit(message, Person))


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
    return repr(await ctx.elicit("Please check", Defaults))


async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
    return repr(await ctx.elicit("Please choose", Choices))


def test_missing_capability(ctx: Ctx) -> str:
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="this tool needs a client that samples",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "the client samples"


def test_streaming_elicitation(ctx: Ctx) -> Asks:
    return _answer(ctx, {"user_name": NAME})


def test_logging_tool() -> str:
    return "nothing was logged to the client"


def test_input_required_result_elicitation(ctx: Ctx) -> Asks:
    return _answer(ctx, {"user_name": NAME})


def test_input_required_result_sampling(ctx: Ctx) -> Asks:
    return _answer(ctx, {"capital_question": _sample("What is the capital of France?")})


def test_input_required_result_list_roots(ctx: Ctx) -> Asks:
    return _answer(ctx, {"client_roots": ListRootsRequest()})


def test_input_required_result_request_state(ctx: Ctx) -> Asks:
    asked = _answer(ctx, {"confirm": CONFIRM}, state="asked")
    return asked if isinstance(asked, InputRequiredResult) else f"{asked}, state-ok"


def test_input_required_result_tampered_state(ctx: Ctx) -> Asks:
    return _answer(ctx, {"confirm": CONFIRM}, state="asked")


def test_input_required_result_multiple_inputs(ctx: Ctx) -> Asks:
    wanted = {
        "user_name": NAME,
        "greeting": _sample("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    return _answer(ctx, wanted, state="asked")


def test_input_required_result_multi_round(ctx: Ctx) -> Asks:
    if ctx.request_state is None:
        return _answer(ctx, {"step1": _elicit("Step 1: What is your name?", "name")}, state="1")
    return _answer(ctx, {"step2": _elicit("Step 2: What is your favorite color?", "color")}, state="2")


def test_input_required_result_capabilities(ctx: Ctx) -> Asks:
    able = ctx.client_capabilities
    wanted: dict[str, InputRequest] = {}
    if able is not None and able.sampling is not None:
        wanted["greeting"] = _sample("Generate a greeting")
    if able is not None and able.elicitation is not None:
        wanted["user_name"] = NAME
    return _answer(ctx, wanted)


def test_input_required_result_prompt(ctx: Ctx) -> Asks:
    return _answer(ctx, {"user_context": _elicit("What context should the prompt use?", "context")})


def _answer(ctx: Ctx, wanted: dict[str, InputRequest], state: str | None = None) -> Asks:
    """Ask for what the client has not given yet, or say that all is there."""
    given = ctx.input_responses or {}
    missing = {name: request for name, request in wanted.items() if not _fits(given.get(name), request)}
    if missing:
        return InputRequiredResult(input_requests=missing, request_state=state)
    return f"got {', '.join(wanted)}"


def _fits(response: object, request: InputRequest) -> bool:
    if isinstance(request, ElicitRequest):
        return isinstance(response, ElicitResult)
    return response is not None


def _elicit(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(question: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


NAME = _elicit("What is your name?", "name")
CONFIRM = _elicit("Please confirm", "ok", "boolean")
