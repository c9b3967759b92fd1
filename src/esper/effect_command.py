"""``karn effect``: what GROW and SHRINK did against NOOP."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from esper.options import AsJson, Run, TelemetryDir
from esper.terminal import open_store, show


class Op(StrEnum):
    """An op whose effect is asked for."""

    grow = "grow"
    shrink = "shrink"


def effect(
    run: Run = None,
    telemetry_dir: TelemetryDir = None,
    op: Annotated[Op | None, typer.Option(help="Only this op. Default: both.")] = None,
    env: Annotated[int | None, typer.Option(help="Only this environment.")] = None,
    slot: Annotated[str | None, typer.Option(help="Only slots of this name.")] = None,
    horizon: Annotated[int, typer.Option(min=1, max=1000, help="Epochs over which changes are taken.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say what GROW and SHRINK did to accuracy and loss against NOOP, or why it can't be told."""
    import msgspec

    from esper.karn.diagnosis.effect_words import answer_lines
    from esper.karn.store.effects import op_answer

    with open_store(telemetry_dir) as store:
        name = store.check_run(run)
        asked = [f"{one.upper()}_INTERNAL" for one in (Op if op is None else [op])]
        answers = [op_answer(store, name, one, env, slot, horizon) for one in asked]
    if as_json:
        show(msgspec.json.format(msgspec.json.encode(answers), indent=2).decode())
        return
    for n, answer in enumerate(answers):
        where, *told = answer_lines(answer)
        show("\n".join(told if n else [where, *told]))
