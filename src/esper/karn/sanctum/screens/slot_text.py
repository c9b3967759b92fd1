"""Everything that is known of one slot, as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from esper.karn.diagnosis import LABELS, SlotVerdict
from esper.karn.sanctum.columns import Look, SlotRow, column_named, sparkline
from esper.karn.sanctum.glyphs import Glyphs
from esper.karn.sanctum.state import SlotInternalState, SlotKey, SlotOp
from esper.karn.sanctum.text import STYLES, TREND_STYLES, count, plain, where
from esper.leyline.thresholds import COIN_FLIP_RATE, UNDO_EPOCHS

_NAME_CELLS = 60
_HISTORY_CELLS = 60
_LABEL_CELLS = 20


def slot_text(
    key: SlotKey,
    state: SlotInternalState | None,
    verdict: SlotVerdict | None,
    history: Sequence[SlotOp],
    glyphs: Glyphs,
) -> Text:
    """A slot's page: its seed, its judgement with every number behind it, its ops.

    Args:
        key: environment and slot.
        state: its row, None where it holds no seed now.
        verdict: the judgement, None before its first op.
        history: its ops, the newest last.
        glyphs: to draw with.
    """
    lines = [_title(key, verdict, glyphs), *_seed(key, state, glyphs), Text()]
    if verdict is None:
        lines.append(Text("no internal op yet", "dim"))
    else:
        lines += [*_numbers(verdict), *_window(state), Text()]
        lines.append(Text(f"Ops, newest first ({len(history):,} shown)", "bold"))
        lines += [op_text(op, glyphs) for op in reversed(history)]
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def _title(key: SlotKey, verdict: SlotVerdict | None, glyphs: Glyphs) -> Text:
    text = Text(where(*key, width=_NAME_CELLS, glyphs=glyphs), "bold cyan")
    if verdict is None:
        return text
    style = STYLES[verdict.indicator]
    text.append(f"   {glyphs.bands[verdict.band]} {verdict.label.replace('_', ' ')}", f"{style} bold")
    return text.append(f"\nit {LABELS[verdict.label]}", "not bold default")


def _seed(key: SlotKey, state: SlotInternalState | None, glyphs: Glyphs) -> list[Text]:
    if state is None:
        return [Text("holds no seed now", "dim")]
    row, look = SlotRow(key, state), Look(glyphs, _HISTORY_CELLS)
    facts = [f"rank {state.rank}"]
    if state.blueprint_id is not None:
        facts.append(f"blueprint {plain(state.blueprint_id, 24, glyphs)}")
    if state.seed_id is not None:
        facts.append(f"seed {plain(state.seed_id, 24, glyphs)}")
    if state.fossilized:
        facts.append("fossilized")
    if state.outdated:
        facts.append("of an episode that is over")
    level = Text.assemble((f"{'Level':<{_LABEL_CELLS}}", "dim"))
    for title in ("Level", "Bar", "Trend"):
        level.append_text(Text.assemble(*column_named(title).cell(row, look))).append("  ")
    lines = [Text(", ".join(facts), "dim"), level]
    if state.levels and state.has_ladder:
        spark = sparkline(state.levels, state.max_level, _HISTORY_CELLS, glyphs)
        lines.append(Text.assemble((f"{'History':<{_LABEL_CELLS}}", "dim"), (spark, "blue")))
    return lines


def _numbers(verdict: SlotVerdict) -> list[Text]:
    band = verdict.band.replace("_", " ")
    net = f"{verdict.grow_count:,} grown, {verdict.shrink_count:,} shrunk, net {verdict.net_change:+,}"
    lines = [
        _number("Reversal rate", verdict.reversal_rate, f"{band}, over {count(verdict.n_pairs, 'pair')}"),
        _number("Free rate", verdict.free_reversal_rate, _free(verdict)),
        _number("Churn", verdict.churn, f"{count(verdict.n_ops, 'op')}: {net}"),
        _number(
            "Undone",
            verdict.undone_within_5,
            f"of the ops, reversed within {UNDO_EPOCHS} epochs",
        ),
    ]
    lines[0].stylize(STYLES[verdict.indicator], _LABEL_CELLS, _LABEL_CELLS + 4)
    against = "not enough to tell" if verdict.vs_random is None else f"{verdict.vs_random}"
    lines.append(_word("Against a coin", f"{against} (a coin flip gives {COIN_FLIP_RATE})"))
    lines.append(_word("Sweeping", "yes: up and down without settling" if verdict.sweeping else "no"))
    return lines


def _free(verdict: SlotVerdict) -> str:
    pairs = count(verdict.n_free_pairs, "pair")
    if verdict.free_low is None or verdict.free_high is None:
        return f"over {pairs} that could have gone either way"
    corrected = "" if verdict.corrected_low is None else f", corrected from {verdict.corrected_low:.2f}"
    return f"[{verdict.free_low:.2f}, {verdict.free_high:.2f}] over {pairs}{corrected}"


def _window(state: SlotInternalState | None) -> list[Text]:
    if state is None or state.window_reversal_rate is None:
        return []
    return [_number("The training's own", state.window_reversal_rate, "reversal rate over its latest ops")]


def _number(label: str, value: float | None, words: str) -> Text:
    number = "  - " if value is None else f"{value:.2f}"
    return Text.assemble((f"{label:<{_LABEL_CELLS}}", "dim"), number, (f"   {words}", "dim"))


def _word(label: str, words: str) -> Text:
    return Text.assemble((f"{label:<{_LABEL_CELLS}}", "dim"), words)


def op_text(op: SlotOp, glyphs: Glyphs) -> Text:
    """One line of a slot's op history."""
    text = Text()
    trend = "grow" if op.to_level > op.from_level else "shrink"
    episode = "" if op.episode is None else f"episode {op.episode}"
    epoch = "" if op.epoch is None else f"epoch {op.epoch}"
    text.append(f"{episode:<12} {epoch:<10} ", "dim")
    text.append(f"{glyphs.trends[trend]} ", TREND_STYLES[trend])
    text.append(f"{op.from_level} {glyphs.to} {op.to_level}")
    word = "reversal" if op.reversal else ""
    text.append(f"  {word:<8}", "yellow" if op.free else "dim")
    if op.loss_advantage is not None:
        text.append(f"  loss {op.loss_advantage:+.4f}", "red" if op.loss_advantage > 0 else "green")
    if op.accuracy_advantage is not None:
        text.append(f"  accuracy {100 * op.accuracy_advantage:+.2f} points", "dim")
    if op.op_probability is not None:
        text.append(f"  p {op.op_probability:.2f}", "dim")
    return text
