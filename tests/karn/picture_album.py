"""The pictures that somebody has looked at, one file for each state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from picture_difference import told
from picture_text import Picture

SCREENS = Path(__file__).parent / "screens"
"""What the screen should look like. UPDATE_SNAPSHOTS=1 writes it anew: look at each."""
_HEAD = "@@ "
"""Before a picture's name."""


def album_text(pictures: Mapping[str, Picture]) -> str:
    """Pictures as a file has them; what one has in common with another before it stands there only once.

    Args:
        pictures: by a name that ends with their size, "dark 80x24".
    """
    parts: list[str] = []
    seen: dict[tuple[str, ...], str] = {}
    for name, picture in pictures.items():
        size = name.split()[-1]
        parts += [f"{_HEAD}{name}", "legend:", *picture.legend]
        for kind, lines in (("text", picture.text), ("styles", picture.styles)):
            before = seen.setdefault((kind, size, *lines), name)
            parts.append(f"{kind}:" if before == name else f"{kind} as in {before}")
            parts += lines if before == name else ()
    return "\n".join(parts) + "\n"


def album(text: str) -> dict[str, Picture]:
    """The pictures of a file, by their names: ``album_text`` the other way round."""
    pictures: dict[str, Picture] = {}
    for part in text.removesuffix("\n").removeprefix(_HEAD).split(f"\n{_HEAD}"):
        name, _, *lines = part.split("\n")
        rows = int(name.rpartition("x")[2])
        at = next(n for n, line in enumerate(lines) if line.startswith("text"))
        legend, lines = lines[:at], lines[at:]
        found: dict[str, tuple[str, ...]] = {}
        for kind in ("text", "styles"):
            head, *lines = lines
            if head == f"{kind}:":
                found[kind], lines = tuple(lines[:rows]), lines[rows:]
            else:
                found[kind] = getattr(pictures[head.removeprefix(f"{kind} as in ")], kind)
        pictures[name] = Picture(found["text"], tuple(legend), found["styles"])
    return pictures


def difference(state: str, pictures: Mapping[str, Picture], folder: Path = SCREENS) -> str:
    """How the pictures differ from those that were looked at, picture by picture; empty where they don't.

    With UPDATE_SNAPSHOTS=1 they are written down instead.

    Args:
        state: that they are of.
        pictures: as for ``album_text``.
        folder: of those that were looked at.
    """
    path = folder / f"{state}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(album_text(pictures), encoding="utf-8")
        return ""
    if not path.exists():
        return f"nobody has looked at {path.name} yet: UPDATE_SNAPSHOTS=1 writes it"
    before = album(path.read_text(encoding="utf-8"))
    found: list[str] = []
    for name in sorted({*before, *pictures}):
        if name not in before or name not in pictures:
            found.append(f"{state}, {name}: {'is new' if name in pictures else 'is there no more'}")
        elif lines := told(before[name], pictures[name]):
            found += [f"{state}, {name} (- as looked at, + as it is now):", *lines, ""]
    return "\n".join([*found, "UPDATE_SNAPSHOTS=1 writes them anew"]) if found else ""
