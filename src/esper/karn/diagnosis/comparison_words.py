"""A comparison as text: for the terminal and for hosts that show an assistant only text."""

from __future__ import annotations

from esper.karn.diagnosis.comparison import NOTHING, Comparison, Figure
from esper.karn.diagnosis.intervals import Interval
from esper.karn.textout import clean, counted

SHOWN_BLUEPRINTS = 3
SHOWN_NOTES = 3


def comparison_text(comparison: Comparison) -> str:
    """The comparison in lines of text, the gates first; under 600 tokens."""
    control, treatment = clean(comparison.control), clean(comparison.treatment)
    lines = [
        f"control {control} ({comparison.status[0]}), treatment {treatment} ({comparison.status[1]})",
        comparison.answer,
        *[f"gate {gate.name}: {gate.status.upper()}: {clean(gate.reason)}" for gate in comparison.gates],
        "figure: control | treatment | difference [95 %]",
        *[_figure_line(figure) for figure in comparison.figures if _is_known(figure)],
        *_blueprint_lines(comparison),
    ]
    unknown = [figure.name for figure in comparison.figures if not _is_known(figure)]
    if unknown:
        lines.append(f"not known of either run: {', '.join(unknown)}")
    lines += [f"note: {clean(note)}" for note in comparison.notes[:SHOWN_NOTES]]
    if len(comparison.notes) > SHOWN_NOTES:
        more = counted(len(comparison.notes) - SHOWN_NOTES, "more note")
        lines.append(f"note: {more} in the structured content")
    return "\n".join(lines)


def _is_known(figure: Figure) -> bool:
    return figure.control.value is not None or figure.treatment.value is not None


def _figure_line(figure: Figure) -> str:
    n = f"n {figure.n_control}, {figure.n_treatment} {figure.n_of}"
    if figure.unit == "share":
        values = _percents((figure.control.value, figure.treatment.value))
        return f"{figure.name}: {values} | {_points(figure.difference)}; {n}"
    values = f"{_number(figure.control.value)} | {_number(figure.treatment.value)}"
    return f"{figure.name}: {values} | {_difference(figure.difference)}; {n}"


def _blueprint_lines(comparison: Comparison) -> list[str]:
    lines = [
        f"{clean(share.blueprint)}: {_percents(share.germinated_share)} of germinations, "
        f"{_percents(share.fossilized_share)} of fossilized, "
        f"{_percents(share.seed_epochs_share)} of seed-epochs"
        for share in comparison.blueprints[:SHOWN_BLUEPRINTS]
    ]
    more = len(comparison.blueprints) - SHOWN_BLUEPRINTS
    return [*lines, f"... and {counted(more, 'more blueprint')}"] if more > 0 else lines


def _percents(shares: tuple[float | None, float | None]) -> str:
    return " | ".join("-" if share is None else f"{100 * share:.0f} %" for share in shares)


def _points(difference: Interval) -> str:
    if difference.value is None:
        return "-"
    points = f"{100 * difference.value:+.0f} points"
    if difference.low is None or difference.high is None:
        return points
    return f"{points} [{100 * difference.low:+.0f}, {100 * difference.high:+.0f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else _rounded(value).removeprefix("+")


def _difference(difference: Interval) -> str:
    if difference.value is None:
        return "-"
    if difference.low is None or difference.high is None:
        return _rounded(difference.value)
    return f"{_rounded(difference.value)} [{_rounded(difference.low)}, {_rounded(difference.high)}]"


def _rounded(value: float) -> str:
    """Three digits, no exponent where a whole number says it, and 0 for what only rounding left."""
    if abs(value) < NOTHING:
        value = 0.0
    return f"{value:+.0f}" if 1000 <= abs(value) < 1e9 else f"{value:+.3g}"
