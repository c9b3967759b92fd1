"""``karn compare``: two runs side by side, and the treatment's exit gates."""

from __future__ import annotations

from typing import Annotated

import typer

from esper.options import AsJson, TelemetryDir
from esper.terminal import open_store, show


def compare(
    control: Annotated[str, typer.Argument(help="The run to compare with.")],
    treatment: Annotated[str, typer.Argument(help="The run that is judged.")],
    telemetry_dir: TelemetryDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what a treatment changed against its control, and which of the four exit gates it passes."""
    import msgspec

    from esper.karn.diagnosis.comparison_words import comparison_text
    from esper.karn.store.compare import compare_runs

    with open_store(telemetry_dir) as store:
        comparison = compare_runs(store, control, treatment)
    if as_json:
        show(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    else:
        show(comparison_text(comparison))
