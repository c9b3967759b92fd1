"""``make runs``: records the example runs anew, unedited, by the commands in examples/telemetry/README.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

TELEMETRY = Path(__file__).resolve().parent / "telemetry"


def main() -> None:
    """Run each command of the README there, and keep the events alone."""
    for command in re.findall(r"^    karn (train .*)$", (TELEMETRY / "README.md").read_text(), re.MULTILINE):
        arguments = command.split()
        run = TELEMETRY / arguments[arguments.index("--run-dir") + 1]
        shutil.rmtree(run, ignore_errors=True)
        subprocess.run(
            [sys.executable, "-m", "esper", *arguments, "--telemetry-dir", str(TELEMETRY)], check=True
        )
        (run / "checkpoint.pt").unlink()


if __name__ == "__main__":
    main()
