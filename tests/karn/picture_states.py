"""Every state that a person can find Sanctum in: a folder, and the keys that lead there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sanctum_support import START, FixedSink, fixed_now, fixed_recorder, play, thrashing_run, zigzag

from esper.leyline import EventSink
from esper.simic.training.recorder import InternalOpRecorder

Terminal = tuple[int, int]
"""Columns and rows."""
THREE_SIZES: tuple[Terminal, ...] = ((140, 40), (80, 24), (20, 5))
_TWO_SIZES = THREE_SIZES[1:]


class State(NamedTuple):
    """A state.

    Attributes:
        name: of the file with its pictures.
        make: fills the telemetry folder.
        keys: pressed one after the other.
        run_dir: the run that is opened, None for the latest.
        sizes: of the terminals.
        now: the clock.
        few_colours: whether it is looked at in the terminal's own sixteen colours too, and in none.
    """

    name: str
    make: Callable[[Path], object]
    keys: Sequence[str] = ()
    run_dir: str | None = None
    sizes: tuple[Terminal, ...] = THREE_SIZES
    now: Callable[[], datetime] = fixed_now
    few_colours: bool = False


def one_slot(
    folder: Path, name: str, levels: Sequence[int], *, max_level: int = 4, finished: bool = True
) -> None:
    """A run of one seed that goes through ``levels``."""
    recorder = fixed_recorder(folder, name)
    recorder.training_started()
    recorder.seed_added(0, "r0c0", levels[0], max_level, blueprint="conv")
    play(recorder, 0, "r0c0", levels)
    if finished:
        recorder.training_finished()


def _thrash(folder: Path) -> None:
    thrashing_run(fixed_recorder(folder, "oscillate"))


def _healthy(folder: Path) -> None:
    one_slot(folder, "healthy", [1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 7, 8, 9, 8], max_level=12)


def _caution(folder: Path) -> None:
    one_slot(folder, "caution", [1, 2, 3, 2, 1, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 2])


def _insufficient_data(folder: Path) -> None:
    one_slot(folder, "short", [1, 2, 1, 2])


def _unfinished(folder: Path) -> None:
    one_slot(folder, "unfinished", zigzag(1, 2, 4), finished=False)


def _crashed(folder: Path) -> None:
    one_slot(folder, "crashed", zigzag(1, 2, 4), finished=False)
    path = folder / "crashed" / "events.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    event = json.loads(first)
    # As a collector opens a file; the lock that it holds while it lives is not held.
    with path.open("r+b") as file:
        event["data"] |= {"attempt": 1, "world_size": 1, "inode": os.fstat(file.fileno()).st_ino}
        file.write(json.dumps(event).encode() + b"\n" + b"".join(others))


def _bad_lines(folder: Path) -> None:
    _thrash(folder)
    path = folder / "oscillate" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"garbage\n", *lines[9:-1]]))


def _empty_folder(folder: Path) -> None:
    folder.mkdir()


def _two_runs(folder: Path) -> None:
    _thrash(folder)
    one_slot(folder, "short", [1, 2, 1, 2])


def _two_runs_one_unfinished(folder: Path) -> None:
    _thrash(folder)
    one_slot(folder, "short", [1, 2, 1, 2], finished=False)


class _RankSink(FixedSink):
    """Of one rank of eight, with 16 environments each."""

    def for_env(self, local: int) -> EventSink:
        """A sink for one environment of this rank."""
        return FixedSink(self.path, int(self.path.stem[-5:]) * 16 + local, self)


def _rows_1152(folder: Path) -> None:
    """8 ranks of 16 environments with 9 slots."""
    (folder / "large").mkdir(parents=True)
    for rank in range(8):
        recorder = InternalOpRecorder(_RankSink(folder / "large" / f"events.rank{rank:05d}.jsonl"))
        recorder.training_started()
        for env in range(16):
            for slot in range(9):
                recorder.seed_added(env, f"r{slot // 3}c{slot % 3}", 1, 4, blueprint="conv")
        play(recorder, rank, "r1c1", zigzag(1, 2, 30 if rank in (2, 5) else 12))
        play(recorder, 15, "r0c0", [1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1], first_epoch=2)


def _while_it_runs() -> datetime:
    return START + timedelta(seconds=12)


STATES = (
    State("healthy", _healthy),
    State("caution", _caution),
    State("thrash", _thrash, sizes=(*THREE_SIZES, (200, 50), (110, 32), (45, 16)), few_colours=True),
    State("insufficient_data", _insufficient_data),
    State("stalled", _unfinished),
    State("crashed", _crashed),
    State("bad_lines", _bad_lines),
    State("empty_folder", _empty_folder),
    State("filter_without_match", _thrash, ("f", *"band:caution", "enter")),
    State("slot", _thrash, ("enter",)),
    State("comparison", _two_runs, ("c", "G", "enter"), "oscillate"),
    State("rows_1152", _rows_1152),
    State("live", _unfinished, sizes=_TWO_SIZES, now=_while_it_runs),
    State("history", _thrash, ("left_curly_bracket",), sizes=_TWO_SIZES),
    State("prompt", _thrash, ("f", *"env:1"), sizes=_TWO_SIZES, few_colours=True),
    State("runs", _two_runs_one_unfinished, ("r",), "oscillate", sizes=_TWO_SIZES, few_colours=True),
    State("help", _thrash, ("question_mark",), sizes=((110, 90), *_TWO_SIZES)),
)
