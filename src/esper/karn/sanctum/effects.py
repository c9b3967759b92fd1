"""What GROW and SHRINK did against NOOP, as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from esper.karn.diagnosis import Effect
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.text import count
from esper.leyline.thresholds import BASELINE_WARM_VERDICT

NONE = "GROW and SHRINK against NOOP: nothing measured yet"
NONE_YET, NOT_YET = "not measurable yet", "not yet"
"""Where no op was measured against a baseline that is warm."""
TITLE = "Beyond NOOP"
LEGEND = (
    "change of loss after an op, less that after a NOOP; above 0 is worse. "
    f"An op is warm once {BASELINE_WARM_VERDICT} NOOPs were measured before it: no other counts."
)
SUBTITLE = f"warm: the baseline rests on {BASELINE_WARM_VERDICT} NOOPs or more"


def effect_lines(effects: Sequence[Effect]) -> Text:
    """A line for each op: the change of loss beyond NOOP, its interval, n and how much of it is warm."""
    if not effects:
        return Text(NONE, "dim", no_wrap=True, overflow="ellipsis")
    lines = [_line(effect) for effect in effects]
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def effect_short(effects: Sequence[Effect], glyphs: Glyphs = UNICODE) -> Text:
    """A short line for each op: where two runs stand side by side."""
    lines = []
    for effect in effects:
        text = Text.assemble((f"{_op(effect):<7}", "cyan"), _loss(effect, NOT_YET))
        lines.append(text.append(f" ({effect.n:,}/{effect.n_all:,} warm)", "dim"))
    return Text("\n").join(lines) if lines else Text(glyphs.nothing, "dim")


def effect_line(effects: Sequence[Effect], glyphs: Glyphs = UNICODE) -> Text:
    """All of it in one line."""
    if not effects:
        return Text(NONE, "dim", no_wrap=True, overflow="ellipsis")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("loss beyond NOOP  ", "dim")
    none_yet = all(effect.loss_advantage is None for effect in effects)
    text.append(f"{NONE_YET}: " if none_yet else "", "dim")
    for place, effect in enumerate(effects):
        text.append(", " if place and none_yet else f"  {glyphs.separator}  " if place else "", "dim")
        text.append(_op(effect), "cyan")
        if not none_yet:
            text.append(" ").append_text(_loss(effect, NOT_YET)).append(",", "dim")
        text.append(f" {effect.n:,} of {effect.n_all:,}", "dim")
    return text.append(" warm", "dim")


def _line(effect: Effect) -> Text:
    text = Text()
    text.append(f"{_op(effect):<7}", "cyan")
    text.append("loss ", "dim")
    text.append_text(_loss(effect, NONE_YET))
    if effect.loss_low is not None and effect.loss_high is not None:
        text.append(f" [{effect.loss_low:+.4f}, {effect.loss_high:+.4f}]", "dim")
    text.append(f"  {effect.n:,} of {count(effect.n_all, 'op')} warm", "dim")
    if effect.accuracy_advantage is not None:
        text.append(f"  accuracy {100 * effect.accuracy_advantage:+.2f} points", "dim")
    return text


def _op(effect: Effect) -> str:
    return effect.op_name.removesuffix("_INTERNAL")


def _loss(effect: Effect, none: str) -> Text:
    """The change of loss, coloured where its interval tells it from nothing; ``none`` where there is none."""
    advantage, low, high = effect.loss_advantage, effect.loss_low, effect.loss_high
    if advantage is None:
        return Text(none, "dim")
    known = low is not None and high is not None
    style = ""
    if known and high is not None and high < 0:
        style = "green"
    elif known and low is not None and low > 0:
        style = "red"
    return Text(f"{advantage:+.4f}", style)
