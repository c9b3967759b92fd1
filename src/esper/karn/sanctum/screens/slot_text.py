"""Everything that is known of one slot, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from esper.karn.diagnosis import LABELS, SlotVerdict
from esper.karn.sanctum.columns import Look, SlotRow, column_named, sparkline
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.state import SlotInternalState, SlotKey, SlotOp
from esper.karn.sanctum.text import STYLES, TREND_STYLES, count, label_style, plain, what_happened, where
from esper.karn.sanctum.verdict_line import NO_OP
from esper.leyline.thresholds import COIN_FLIP_RATE, UNDO_EPOCHS

_NAME_CELLS = 60
_HISTORY_CELLS = 60
_LOSS_DIGITS = 4
_WIDE = 58
"""Cells from which on there is room for an op's numbers beside it."""
_LABEL_CELLS = 20
_LABELS = {
    "level": ("Level", "Level"),
    "history": ("History", "Past"),
    "rate": ("Reversal rate", "Rate"),
    "free": ("Free rate", "Free"),
    "bound": ("  its lower bound", "Bound"),
    "churn": ("Churn", "Churn"),
    "undone": ("Undone", "Undone"),
    "coin": ("Against a coin", "Coin"),
    "sweeping": ("Sweeping", "Sweeps"),
    "window": ("The training's own", "Own"),
}
_WIDE_LABELS = {name: f"{label:<{_LABEL_CELLS}}" for name, (label, _) in _LABELS.items()}
_SHORT_LABELS = {name: f"{label:<7}" for name, (_, label) in _LABELS.items()}
OPS_LEGEND = "beyond NOOP: loss, accuracy in points; p: its probability as carried out"
SHORT_HEAD = "Episode:epoch, op"
OPS_HEAD = "Episode  Epoch  Event              Loss  Accuracy     p"


def slot_text(
    key: SlotKey,
    state: SlotInternalState | None,
    verdict: SlotVerdict | None,
    history: Sequence[SlotOp],
    width: int,
    glyphs: Glyphs,
    *,
    n_judged: int,
) -> Text:
    """A slot's page: its seed, its judgement with every number behind it, its ops.

    Args:
        key: environment and slot.
        state: its row, None where it holds no seed now.
        verdict: the judgement, None before its first op.
        history: its ops, begins and ends of its seeds, the newest last.
        width: terminal cells of a line; with few the labels are short, and an op's numbers are left out.
        glyphs: to draw with.
        n_judged: slots of the run that can be judged, for which the verdict is corrected.
    """
    narrow = width < _WIDE
    labels = _SHORT_LABELS if narrow else _WIDE_LABELS
    title, why = _title(key, verdict, glyphs, narrow), _why(verdict)
    facts, level = _facts(state, glyphs), _level(key, state, width, labels, glyphs)
    if verdict is None:
        judged = [Text(NO_OP, "dim")]
    else:
        judged = [*_numbers(verdict, labels, max(1, n_judged)), *_window(state, labels)]
    if narrow:  # where little can be seen at once, the numbers come first
        lines = [title, *level, *judged, Text(), *why, *facts]
    else:
        lines = [title, *why, *facts, *level, Text(), *judged]
    if history:
        lines += [Text(), Text(f"Events, newest first ({len(history):,} shown)", "bold")]
        heads = (SHORT_HEAD,) if narrow else (OPS_LEGEND, OPS_HEAD)
        lines += [Text(words, "dim") for words in heads]
        draw = short_op_text if narrow else op_text
        lines += [draw(op, glyphs) for op in reversed(history)]
    cut = Text("\n") if narrow else Text("\n", no_wrap=True, overflow="ellipsis")
    return cut.join(lines)


def _title(key: SlotKey, verdict: SlotVerdict | None, glyphs: Glyphs, narrow: bool) -> Text:
    text = Text(where(*key, width=_NAME_CELLS, glyphs=glyphs), "bold cyan")
    if verdict is None:
        return text
    text.append("\n" if narrow else "   ")
    text.append(f"{glyphs.bands[verdict.band]} ", f"{STYLES[verdict.indicator]} bold")
    text.append(verdict.label.replace("_", " "), f"{label_style(verdict.label, verdict.indicator)} bold")
    return text


def _why(verdict: SlotVerdict | None) -> list[Text]:
    return [] if verdict is None else [Text(f"it {LABELS[verdict.label]}")]


def _facts(state: SlotInternalState | None, glyphs: Glyphs) -> list[Text]:
    if state is None:
        return [Text("holds no seed now", "dim")]
    facts = [f"rank {state.rank}"]
    if state.blueprint_id is not None:
        facts.append(f"blueprint {plain(state.blueprint_id, 24, glyphs)}")
    if state.seed_id is not None:
        facts.append(f"seed {plain(state.seed_id, 24, glyphs)}")
    if state.fossilized:
        facts.append("fossilized")
    if state.outdated:
        facts.append("of an episode that is over")
    return [Text(", ".join(facts), "dim")]


def _level(
    key: SlotKey, state: SlotInternalState | None, width: int, labels: Mapping[str, str], glyphs: Glyphs
) -> list[Text]:
    if state is None:
        return []
    row, look = SlotRow(key, state), Look(glyphs, _HISTORY_CELLS)
    level = Text(labels["level"], "dim")
    gap = "  " if len(level) == _LABEL_CELLS else " "
    for title in ("Level", "Bar", "Trend"):
        level.append_text(Text.assemble(*column_named(title).cell(row, look))).append(gap)
    lines = [level]
    if state.levels and state.has_ladder:
        cells = max(1, min(_HISTORY_CELLS, width - len(labels["history"])))
        spark = sparkline(state.levels, state.max_level, cells, glyphs)
        lines.append(Text.assemble((labels["history"], "dim"), (spark, "blue")))
    return lines


def _numbers(verdict: SlotVerdict, labels: Mapping[str, str], n_judged: int) -> list[Text]:
    band = verdict.band.replace("_", " ")
    net = f"{verdict.grow_count:,} grown, {verdict.shrink_count:,} shrunk, net {verdict.net_change:+,}"
    lines = [
        _number(labels["rate"], verdict.reversal_rate, f"{band}, over {count(verdict.n_pairs, 'pair')}"),
        _number(labels["free"], verdict.free_reversal_rate, _free(verdict)),
        *_corrected(verdict, labels, n_judged),
        _number(labels["churn"], verdict.churn, f"{count(verdict.n_ops, 'op')}: {net}"),
        _number(
            labels["undone"],
            verdict.undone_within_5,
            f"of the ops, reversed within {UNDO_EPOCHS} epochs",
        ),
    ]
    lines[0].stylize(STYLES[verdict.indicator], len(labels["rate"]), len(labels["rate"]) + 4)
    against = "not enough to tell" if verdict.vs_random is None else f"{verdict.vs_random}"
    lines.append(_word(labels["coin"], f"{against} (a coin flip gives {COIN_FLIP_RATE})"))
    lines.append(_word(labels["sweeping"], "yes: up and down without settling" if verdict.sweeping else "no"))
    return lines


def _free(verdict: SlotVerdict) -> str:
    pairs = count(verdict.n_free_pairs, "pair")
    if verdict.free_low is None or verdict.free_high is None:
        return f"over {pairs} that could have gone either way"
    return f"[{verdict.free_low:.2f}, {verdict.free_high:.2f}] over {pairs}"


def _corrected(verdict: SlotVerdict, labels: Mapping[str, str], n_judged: int) -> list[Text]:
    if verdict.corrected_low is None:
        return []
    return [_number(labels["bound"], verdict.corrected_low, f"when corrected for {count(n_judged, 'slot')}")]


def _window(state: SlotInternalState | None, labels: Mapping[str, str]) -> list[Text]:
    if state is None or state.window_reversal_rate is None:
        return []
    return [_number(labels["window"], state.window_reversal_rate, "reversal rate over its latest ops")]


def _number(label: str, value: float | None, words: str) -> Text:
    number = "  - " if value is None else f"{value:.2f}"
    gap = "   " if len(label) == _LABEL_CELLS else " "
    return Text.assemble((label, "dim"), number, (f"{gap}{words}", "dim"))


def _word(label: str, words: str) -> Text:
    return Text.assemble((label, "dim"), words)


def op_text(op: SlotOp, glyphs: Glyphs) -> Text:
    """One line of a slot's op history, below OPS_HEAD."""
    trend, words = what_happened(op, glyphs)
    episode = "" if op.episode is None else f"{op.episode}"
    epoch = "" if op.epoch is None else f"{op.epoch}"
    text = Text(f"{episode:>7}{epoch:>7}  ", "dim")
    text = Text.assemble(text, (f"{glyphs.trends[trend]} ", TREND_STYLES[trend]))
    if op.kind != "changed":
        return text.append(words if op.to_level is None else f"{words} at level {op.to_level}")
    text.append(f"{words:<8}")
    text.append(f"{'reversal' if op.reversal else '':<9}", "yellow" if op.free else "dim")
    text.append(_advantage(op.loss_advantage, 9, _LOSS_DIGITS), _loss_style(op.loss_advantage))
    points = None if op.accuracy_advantage is None else 100 * op.accuracy_advantage
    text.append(_advantage(points, 10, 2), "dim")
    return text.append("" if op.op_probability is None else f"{op.op_probability:>6.2f}", "dim")


def short_op_text(op: SlotOp, glyphs: Glyphs) -> Text:
    """The same for a narrow window, below SHORT_HEAD."""
    trend, words = what_happened(op, glyphs)
    place = ":".join(str(number) for number in (op.episode, op.epoch) if number is not None)
    text = Text.assemble((f"{place} ", "dim"), (f"{glyphs.trends[trend]} ", TREND_STYLES[trend]), words)
    return text.append(" undid", "yellow" if op.free else "dim") if op.reversal else text


def _loss_style(advantage: float | None) -> str:
    shown = round(advantage or 0.0, _LOSS_DIGITS)
    return "dim" if shown == 0 else "red" if shown > 0 else "green"


def _advantage(value: float | None, cells: int, digits: int) -> str:
    # What is rounded to nothing has no sign.
    return " " * cells if value is None else f"{round(value, digits) + 0.0:>+{cells}.{digits}f}"
