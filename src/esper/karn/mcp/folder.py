"""Finds the telemetry folder where a host starts the server in a folder of its own choice."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TelemetryFolder:
    """The folder to serve, and every place that was tried for it."""

    path: Path
    tried: tuple[Path, ...]

    @property
    def missing_text(self) -> str:
        """One line for a person who gave a wrong folder."""
        return f"no telemetry folder at {' or '.join(map(str, self.tried))}; waiting for {self.path}"


def find_telemetry_dir(given: Path) -> TelemetryFolder:
    """The folder as given, from the working directory; else from the checkout that Karn runs from.

    Hosts differ in where they start a server: some in the project, some in ``/``. A relative folder in
    ``mcp.json`` must mean the same in both.

    Args:
        given: the folder; an absolute one is taken as it is.
    """
    here = Path.cwd() / given
    tried = [here]
    checkout = _checkout()
    if checkout is not None and checkout / given not in tried:
        tried.append(checkout / given)
    for path in tried:
        if path.is_dir():
            return TelemetryFolder(path, tuple(tried))
    return TelemetryFolder(here, tuple(tried))


def announced_telemetry_dir(given: Path) -> Path:
    """The folder to serve; if it is not there yet, a line on standard error says where it was looked for.

    Args:
        given: see ``find_telemetry_dir``.
    """
    found = find_telemetry_dir(given)
    if not found.path.is_dir():
        print(f"karn: {found.missing_text}", file=sys.stderr, flush=True)
    return found.path


def _checkout() -> Path | None:
    """The root of the checkout that this file lies in; None where Karn is installed as a package."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "pyproject.toml").is_file() and (root / "views").is_dir() else None
