"""Pages of the lists of tools, resources and prompts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

PAGE = 50
"""Entries of a page."""

T = TypeVar("T")


def page_of(kind: str, entries: Sequence[T], cursor: str | None) -> tuple[list[T], str | None]:
    """One page of a list, and the cursor of the next one if there is one.

    Args:
        kind: of the list; its cursors continue no other one.
        entries: all of them.
        cursor: as the page before gave it; None for the first.

    Raises:
        MCPError: on a cursor that the list did not give.
    """
    begin = 0 if cursor is None else _offset(kind, cursor)
    end = begin + PAGE
    following = base64.urlsafe_b64encode(f"{kind}:{end}".encode()).decode() if end < len(entries) else None
    return list(entries[begin:end]), following


def _offset(kind: str, cursor: str) -> int:
    try:
        name, _, offset = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().rpartition(":")
        if name == kind and offset.isascii() and offset.isdigit() and len(offset) < 10:
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    raise MCPError(
        code=INVALID_PARAMS,
        message=f"this is no cursor of {kind}: pass nextCursor as it was returned, or leave it out",
    )
