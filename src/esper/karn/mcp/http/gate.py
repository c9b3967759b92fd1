"""Who comes in: looks at a request's head, before anything of its body is read."""

from __future__ import annotations

import hmac

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from esper.karn.mcp.http.bind import split_authority

MCP_PATH = "/mcp"
HEALTH_PATH = "/healthz"


class Gate:
    """ASGI middleware: Host, Origin, path and token, in this order.

    Args:
        app: for requests that may come in.
        names: what a Host header may hold, as ``served_names`` gives them.
        token: what clients must show; None lets all in.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], token: bytes | None) -> None:
        self._app = app
        self._names = names
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (self._app if answer is None else answer)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").casefold()
        if split_authority(host)[0] not in self._names:
            return _refusal(421, "this server has another name; allow this one with --allow-host")
        origin = headers.get(b"origin")
        # No web page is served: what has an origin but our own is a page of somebody else.
        if origin is not None and origin.decode("latin-1").casefold() not in (
            f"http://{host}",
            f"https://{host}",
        ):
            return _refusal(403, "requests of web pages are refused")
        if scope["path"] == HEALTH_PATH and scope["method"] in ("GET", "HEAD"):
            return PlainTextResponse("ok")
        if scope["path"] != MCP_PATH:
            return _refusal(404, "not found")
        if self._token is not None and not self._shown(headers.get(b"authorization", b"")):
            return _refusal(
                401, "a token is needed: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"}
            )
        return None

    def _shown(self, authorization: bytes) -> bool:
        assert self._token is not None
        scheme, _, token = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    # Whoever is refused may go on sending: the connection ends with the answer.
    return PlainTextResponse(text, status, {"connection": "close", **(headers or {})})
