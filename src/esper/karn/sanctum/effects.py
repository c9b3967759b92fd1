"""What GROW and SHRINK did against NOOP, as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from esper.karn.diagnosis import Effect
from esper.karn.sanctum.glyphs import UNICODE, Glyphs
from esper.karn.sanctum.text import count
from esper.leyline.thresholds import BASELINE_WARM_VERDICT

NONE = "GROW and SHRINK against NOOP: nothing measured yet"
TITLE = "Beyond NOOP"
SUBTITLE = f"warm: the baseline rests on {BASELINE_WARM_VERDICT} NOOPs or more"


def effect_lines(effects: Sequence[Effect], glyphs: Glyphs = UNICODE) -> Text:
    """A line for each op: the change of loss beyond NOOP, its interval, n and how much of it is warm."""
    if not effects:
        return Text(NONE, "dim", no_wrap=True, overflow="ellipsis")
    lines = [_line(effect, glyphs) for effect in effects]
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def effect_short(effects: Sequence[Effect], glyphs: Glyphs = UNICODE) -> Text:
    """A short line for each op: where two runs stand side by side."""
    lines = []
    for effect in effects:
        text = Text.assemble((f"{_op(effect):<7}", "cyan"), _loss(effect, glyphs))
        lines.append(text.append(f" n {effect.n:,}/{effect.n_all:,}", "dim"))
    return Text("\n").join(lines) if lines else Text(glyphs.nothing, "dim")


def effect_line(effects: Sequence[Effect], glyphs: Glyphs = UNICODE) -> Text:
    """All of it in one line."""
    if not effects:
        return Text(NONE, "dim", no_wrap=True, overflow="ellipsis")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("loss beyond NOOP  ", "dim")
    for place, effect in enumerate(effects):
        text.append(f"  {glyphs.separator}  " if place else "", "dim")
        text.append(_op(effect), "cyan")
        text.append(" ")
        text.append_text(_loss(effect, glyphs))
        text.append(f" n {effect.n:,}/{effect.n_all:,} warm", "dim")
    return text


def _line(effect: Effect, glyphs: Glyphs) -> Text:
    text = Text()
    text.append(f"{_op(effect):<7}", "cyan")
    text.append("loss ", "dim")
    text.append_text(_loss(effect, glyphs))
    if effect.loss_low is not None and effect.loss_high is not None:
        text.append(f" [{effect.loss_low:+.4f}, {effect.loss_high:+.4f}]", "dim")
    text.append(f"  {effect.n:,} of {count(effect.n_all, 'op')} warm", "dim")
    if effect.accuracy_advantage is not None:
        text.append(f"  accuracy {100 * effect.accuracy_advantage:+.2f} points", "dim")
    return text


def _op(effect: Effect) -> str:
    return effect.op_name.removesuffix("_INTERNAL")


def _loss(effect: Effect, glyphs: Glyphs) -> Text:
    """The change of loss, coloured where its interval tells it from nothing."""
    advantage, low, high = effect.loss_advantage, effect.loss_low, effect.loss_high
    if advantage is None:
        return Text(glyphs.nothing, "dim")
    known = low is not None and high is not None
    style = ""
    if known and high is not None and high < 0:
        style = "green"
    elif known and low is not None and low > 0:
        style = "red"
    return Text(f"{advantage:+.4f}", style)
