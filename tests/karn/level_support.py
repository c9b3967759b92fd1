"""What the tests of levels over epochs need: events of a run in order, and its levels."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from esper.karn.plotting.curves import RunLevels
from esper.karn.store.levels import run_levels
from store_support import event, level_change, open_store, write_lines
from support import ROOT

EXAMPLES = ROOT / "examples/telemetry"


class Lines:
    """Events of a run in order."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._seq = count()

    def germinated(self, level: int, **fields: Any) -> None:
        self.add("SEED_GERMINATED", level=level, max_level=4, **fields)

    def add(self, event_type: str, *, slot_id: str = "r0c0", episode_idx: int = 0, **fields: Any) -> None:
        line = event(
            event_type, next(self._seq), slot_id=slot_id, env_id=0, episode_idx=episode_idx, **fields
        )
        line["data"]["slot_id"] = slot_id
        self.lines.append(line)

    def walk(self, levels: Iterable[int], *, first: int = 1, **place: Any) -> None:
        """One op at each epoch from ``first`` on."""
        for epoch, (before, after) in enumerate(pairwise(levels), first):
            self.lines.append(level_change(next(self._seq), before, after, epoch=epoch, **place))

    def epochs(self, last: int, episode_idx: int = 0) -> None:
        for epoch in range(1, last + 1):
            self.add("EPOCH_COMPLETED", epoch=epoch, episode_idx=episode_idx)

    def levels(self, folder: Path, name: str = "run", **asked: Any) -> RunLevels:
        write_lines(folder / name / "events.jsonl", *self.lines)
        return levels_of(folder, name, **asked)


def levels_of(folder: Path, name: str | None = None, **asked: Any) -> RunLevels:
    with open_store(folder) as store:
        return run_levels(store, name, **asked)
