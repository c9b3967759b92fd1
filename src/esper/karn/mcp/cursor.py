"""Cursors: where the next page of an answer begins. They carry their own state; the server keeps none."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from esper.leyline.errors import TelemetryUsageError

NO_CURSOR = (
    "this cursor is not one that the server gave: pass next_cursor as it was returned, "
    "or leave cursor out to begin anew"
)
MAX_CURSOR = 4_000
"""Characters of a cursor; a position that would be longer is given as a number of rows instead."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The place between two pages of one call."""

    call: str
    """Digest of the tool and its arguments: a cursor continues no other call."""
    bytes: int
    """Of all event files when the first page was made; more now means that data was added since."""
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Rows to skip: from the start, or where ``after`` is given of those that stand where its row stood."""
    after: list[str | int | float | bool | None] | None = None
    """The last row shown, in the columns that the rows are ordered by."""
    run_dir: str | None = None
    """The run that was the latest for the first page."""


def call_digest(tool: str, arguments: Mapping[str, Any]) -> str:
    """A short name for a call, the same for all its pages."""
    asked = {name: value for name, value in arguments.items() if name not in ("cursor", "limit")}
    return hashlib.sha256(msgspec.json.encode([tool, sorted(asked.items())])).hexdigest()[:12]


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str | None, call: str) -> Cursor | None:
    """The cursor of a call; None where none was given.

    Raises:
        TelemetryUsageError: if the text is no cursor, or belongs to another call.
    """
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=Cursor)
    except (binascii.Error, ValueError, RecursionError):
        raise TelemetryUsageError(NO_CURSOR) from None
    if cursor.call != call:
        raise TelemetryUsageError(
            "this cursor belongs to another call: repeat the call that returned it with the same arguments "
            "(limit may differ), or leave cursor out to begin anew"
        )
    return cursor
