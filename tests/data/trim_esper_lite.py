"""Cuts the predecessor's telemetry down to what tests in a public clone need.

Reads ``shared/data`` beside the checkout. Lines are kept byte for byte and in their order: all of the
types that are few, and of the others some that are spread over the whole run. ``columns.json`` gets the
name and type of each column of the predecessor's views.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).resolve().parent / "esper_lite"

KEPT = {
    "last_action": 12,
    "PPO_UPDATE_COMPLETED": 2,
    "EPOCH_COMPLETED": 24,
    "MORPHOLOGY_CAUSAL_LOG": 30,
    "PHASE_PROFILE_COMPLETED": 16,
    "SEED_STAGE_CHANGED": 12,
    "SEED_GATE_EVALUATED": 3,
    "SEED_GERMINATED": 6,
    "SEED_PRUNED": 6,
    "COUNTERFACTUAL_MATRIX_COMPUTED": 2,
    "TAMIYO_INITIATED": 2,
}
"""Events of each run, by kind of snapshot or type; of types that are not here all are kept."""


def trimmed(lines: list[bytes]) -> list[bytes]:
    """The lines of one run that are kept."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        event = json.loads(line)
        by_kind[event["data"].get("kind", event["event_type"])].append(number)
    kept = set()
    for kind, numbers in by_kind.items():
        n = min(KEPT.get(kind, len(numbers)), len(numbers))
        kept |= {numbers[(2 * i + 1) * len(numbers) // (2 * n)] for i in range(n)}
    return [lines[number] for number in sorted(kept)]


def main() -> None:
    """Write the trimmed files."""
    shared = next(p for p in (ROOT.parent / "shared/data", ROOT / "shared/data") if p.is_dir())
    for source in sorted(shared.glob("esper_lite/*/events.jsonl")):
        target = TARGET / source.parent.name / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"".join(trimmed(source.read_bytes().splitlines(keepends=True))))
    columns = json.loads((shared / "predecessor_view_columns.json").read_text())
    lines = [
        f"{json.dumps(view)}: {json.dumps(dict(pairs))}" for view, pairs in columns.items()
    ]  # one line for each view
    (TARGET / "columns.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
