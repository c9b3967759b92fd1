"""What the kernel says of processes: who descends from whom, and their share of memory. Linux only."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")


def is_known() -> bool:
    """Whether this system tells."""
    return (_PROC / "self" / "smaps_rollup").exists()


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children[parent].append(int(folder.name))
    found: list[int] = []
    ahead = [pid]
    while ahead:
        of_one = children[ahead.pop()]
        found += of_one
        ahead += of_one
    return sorted(found)


def pss_mb(pid: int) -> float | None:
    """Proportional set size: its own memory, and its share of what it has in common with others [MB].

    None where the process is not ours to look into.
    """
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:"))


def _parent(folder: Path) -> int | None:
    try:
        # The name before it may hold blanks and brackets.
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it ended meanwhile
        return None
