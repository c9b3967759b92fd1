"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TelemetryDir = Annotated[
    Path | None,
    typer.Option(
        "--telemetry-dir",
        "-d",
        metavar="DIR",
        help="Folder of all runs. Default: $KARN_TELEMETRY_DIR, else ./telemetry.",
        show_default=False,
    ),
]
Run = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="The run's folder name. Default: the latest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
