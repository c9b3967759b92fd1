"""What was seen in the part of an event file that was read, small enough to be kept beside a segment."""

from __future__ import annotations

from datetime import datetime

import msgspec

from esper.leyline.events import SCHEMA


class FileState(msgspec.Struct, frozen=True):
    """What was seen in the part of a file that was read."""

    events: int = 0
    bad_lines: int = 0
    attempt: int = 1
    """The process that wrote the last event: 1, then one more for each resume."""
    finished_attempt: int = 0
    """The last attempt that said it finished; 0 for none."""
    world_size: int | None = None
    inode: int | None = None
    """Of the file that was written; another number than the file's own means that this is a copy."""
    numbered: bool = False
    """Whether its events carry ``seq``."""
    newest_format: int = SCHEMA
    """The highest ``schema`` of its events, this program's own at least."""
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
