"""The one reading of an event's timestamp."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_timestamp(text: str | None) -> datetime | None:
    """A moment from ISO-8601 text, UTC where it names no offset; None if it is no such text."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
