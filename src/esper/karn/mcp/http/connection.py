"""One connection of the HTTP server, which ends when its client keeps it waiting."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from esper.karn.mcp.http.limits import HttpLimits


class LimitedConnection(H11Protocol):
    """uvicorn's connection with deadlines that it has not: for a whole request, and for reading an answer.

    uvicorn's keep-alive starts with the first answer and is over with the next byte, so that a client that
    sends nothing, or a byte now and then, would hold its connection for ever.
    """

    limits: ClassVar[HttpLimits] = HttpLimits()

    waiting_since: float | None = None
    """On the loop's clock; None while a request is served."""
    _request_deadline: asyncio.TimerHandle | None = None
    _answer_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """See H11Protocol."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._answer_deadline = self.loop.call_later(self.limits.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._served()
        self._unset_keepalive_if_required()  # H11Protocol leaves it where the connection was reset
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()

    def _watch(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._served()
        elif self.waiting_since is None and not self.transport.is_closing():
            self.waiting_since = self.loop.time()
            self._request_deadline = self.loop.call_later(self.limits.stall_s, self.transport.abort)

    def _served(self) -> None:
        self.waiting_since = None
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _make_room(self) -> None:
        """Close the connection that has waited longest: this one where all the others are being served."""
        waiting = [
            (each.waiting_since, id(each), each)
            for each in self.connections
            if isinstance(each, LimitedConnection) and each.waiting_since is not None
        ]
        _, _, longest = min(waiting)
        longest._served()
        self.connections.discard(longest)  # counted until the loop comes round otherwise
        longest.transport.abort()


def connection_type(limits: HttpLimits) -> type[LimitedConnection]:
    """The class of connections under these limits: uvicorn makes them, and passes nothing of ours."""
    return type("LimitedConnection", (LimitedConnection,), {"limits": limits})
