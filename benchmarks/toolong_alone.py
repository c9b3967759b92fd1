"""toolong, the log viewer, in an environment of its own: it asks for a Textual of its own."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

VERSION = "1.5.0"


def toolong_command(work_dir: Path) -> list[str] | str:
    """The command that opens files in toolong; installed at the first call. Else why there is none."""
    folder = work_dir / f"toolong-{VERSION}"
    command = folder / "bin" / "tl"
    if not command.exists():
        venv.create(folder, with_pip=True, clear=True)
        done = subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"toolong=={VERSION}"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return f"toolong can't be installed: {done.stderr.strip().splitlines()[-1]}"
    return [str(command)]
