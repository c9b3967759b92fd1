"""One rank of a small training, put together as ``karn train`` does it; see rank_processes.py."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from esper.leyline.errors import KarnError
from esper.simic.config import TrainConfig
from esper.training_run import run_training


def main(telemetry_dir: str, run_dir: str, config: str, resume: str) -> None:
    try:
        run_training(
            msgspec.json.decode(config, type=TrainConfig),
            Path(telemetry_dir),
            run_dir or None,
            resume=resume == "resume",
        )
    except KarnError as error:
        raise SystemExit(f"karn: {error}") from None


if __name__ == "__main__":
    main(*sys.argv[1:])
