"""Two runs side by side: each figure of both with its difference, and the treatment's exit gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esper.karn.diagnosis.figures import EnvEnd, RunFigures
from esper.karn.diagnosis.gates import FAILED, NOT_MEASURABLE, PASSED, Gate, exit_gates
from esper.karn.diagnosis.intervals import (
    Interval,
    Part,
    Sample,
    mean_difference,
    mean_interval,
    share_difference,
    share_interval,
)
from esper.karn.textout import quoted

NOTHING = 1e-12
"""Less than this is what rounding leaves of two equal numbers, and no difference."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both runs. Intervals are 95 % ones; None where there is too little for one."""

    name: str
    unit: str
    """``share`` is a fraction of so many things, which people read as per cent."""
    n_of: str
    """What ``n`` counts."""
    control: Interval
    n_control: int
    treatment: Interval
    n_treatment: int
    difference: Interval
    """Treatment less control."""


class BlueprintShare(msgspec.Struct, frozen=True, kw_only=True):
    """One blueprint's dominance in both runs: its share of germinations, fossilizations and seed-epochs."""

    blueprint: str
    germinated: tuple[int, int]
    """Of control and of treatment, as in all that follow."""
    germinated_share: tuple[float | None, float | None]
    fossilized: tuple[int, int]
    fossilized_share: tuple[float | None, float | None]
    seed_epochs: tuple[int, int]
    """Epochs that its seeds spent in a slot before they were removed."""
    seed_epochs_share: tuple[float | None, float | None]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a treatment changed against its control."""

    control: str
    treatment: str
    status: tuple[str, str]
    answer: str
    """What changed beyond chance, how many gates passed, and which did not."""
    gates: list[Gate]
    figures: list[Figure]
    blueprints: list[BlueprintShare]
    """The most germinated in either run first."""
    environments: tuple[list[EnvEnd], list[EnvEnd]]
    notes: list[str]
    """What makes the comparison less than fair."""


def compare_figures(control: RunFigures, treatment: RunFigures) -> Comparison:
    """Put a comparison together.

    Args:
        control: the run to compare with.
        treatment: the run that is judged.
    """
    gates, figures = exit_gates(control, treatment), _figures(control, treatment)
    return Comparison(
        control=control.run_dir,
        treatment=treatment.run_dir,
        status=(control.status, treatment.status),
        answer=f"{_changed(control, treatment, figures)} {_answer(gates)}",
        gates=gates,
        figures=figures,
        blueprints=_blueprints(control, treatment),
        environments=(control.environments, treatment.environments),
        notes=_notes(control, treatment),
    )


def _changed(control: RunFigures, treatment: RunFigures, figures: Sequence[Figure]) -> str:
    """The figures whose difference lies beyond chance."""
    if control.run_dir == treatment.run_dir:
        return "This is one run beside itself: no difference means anything."
    moved = [
        f"{figure.name} {'rose' if (figure.difference.value or 0) > 0 else 'fell'}"
        for figure in figures
        if figure.difference.low is not None
        and figure.difference.high is not None
        and (figure.difference.low > NOTHING or figure.difference.high < -NOTHING)
    ]
    if not moved and all(figure.difference.low is None for figure in figures):
        return "Nothing can be compared: one side has too few values of each figure."
    if not moved:
        return "Against the control nothing changed beyond chance."
    return f"Against the control, beyond chance: {', '.join(moved)}."


def _answer(gates: Sequence[Gate]) -> str:
    parts = []
    for status in (PASSED, FAILED, NOT_MEASURABLE):
        names = [gate.name for gate in gates if gate.status == status]
        if names:
            parts.append(f"{len(names)} {status} ({', '.join(names)})")
    return f"Of {len(gates)} exit gates of the treatment: {'; '.join(parts)}."


def _figures(control: RunFigures, treatment: RunFigures) -> list[Figure]:
    one, other = control.thrash, treatment.thrash
    return [
        _means(
            "return", "reward of an episode", "episodes", control.episode_return, treatment.episode_return
        ),
        _means("accuracy at the end", "fraction", "episodes", control.accuracy, treatment.accuracy),
        _means("loss at the end", "loss", "episodes", control.loss, treatment.loss),
        _means("params at the end", "scalars", "episodes", control.params, treatment.params),
        _shares("op usage", "decisions", control.usage, treatment.usage),
        _shares("reversal rate", "pairs", one.reversals, other.reversals),
        _shares("free reversal rate", "pairs", one.free_reversals, other.free_reversals),
        _shares("undone within 5", "ops", one.undone, other.undone),
        _plain("churn", "fraction", "ops", (one.churn, one.undone.n), (other.churn, other.undone.n)),
        _shares("thrashing slots", "judged slots", one.named, other.named, unit="share"),
        _shares(
            "settled", "slot episodes", control.settling.settled, treatment.settling.settled, unit="share"
        ),
        _shares("top blueprint", "germinations", control.dominance, treatment.dominance, unit="share"),
        _plain(
            "blueprint entropy",
            "nats",
            "germinations",
            (control.blueprint_entropy, control.dominance.n),
            (treatment.blueprint_entropy, treatment.dominance.n),
        ),
    ]


def _means(name: str, unit: str, n_of: str, control: Sample, treatment: Sample) -> Figure:
    return Figure(
        name=name,
        unit=unit,
        n_of=n_of,
        control=mean_interval(control),
        n_control=control.n,
        treatment=mean_interval(treatment),
        n_treatment=treatment.n,
        difference=mean_difference(control, treatment),
    )


def _shares(name: str, n_of: str, control: Part, treatment: Part, unit: str = "fraction") -> Figure:
    return Figure(
        name=name,
        unit=unit,
        n_of=n_of,
        control=share_interval(control),
        n_control=control.n,
        treatment=share_interval(treatment),
        n_treatment=treatment.n,
        difference=share_difference(control, treatment),
    )


def _plain(
    name: str, unit: str, n_of: str, control: tuple[float | None, int], treatment: tuple[float | None, int]
) -> Figure:
    (first, n_first), (second, n_second) = control, treatment
    return Figure(
        name=name,
        unit=unit,
        n_of=n_of,
        control=Interval(first),
        n_control=n_first,
        treatment=Interval(second),
        n_treatment=n_second,
        difference=Interval(None if first is None or second is None else second - first),
    )


def _blueprints(control: RunFigures, treatment: RunFigures) -> list[BlueprintShare]:
    runs = [{use.blueprint: use for use in run.blueprints} for run in (control, treatment)]
    names = dict.fromkeys(name for run in runs for name in run)

    def both(name: str, count: str) -> Any:
        counts = [getattr(run[name], count) if name in run else 0 for run in runs]
        totals = [sum(getattr(use, count) for use in run.values()) for run in runs]
        shares = [part / whole if whole else None for part, whole in zip(counts, totals, strict=True)]
        return {count: tuple(counts), f"{count}_share": tuple(shares)}

    found = [
        BlueprintShare(
            blueprint=name,
            **both(name, "germinated"),
            **both(name, "fossilized"),
            **both(name, "seed_epochs"),
        )
        for name in names
    ]
    return sorted(found, key=lambda share: -max(value or 0 for value in share.germinated_share))


def _notes(control: RunFigures, treatment: RunFigures) -> list[str]:
    notes = []
    if control.run_dir == treatment.run_dir:
        notes.append("control and treatment are the same run: no difference means anything")
    for side, run in (("control", control), ("treatment", treatment)):
        notes += [f"the {side}: {note}" for note in run.notes]
        if run.lost_returns:
            episodes = run.lost_returns + run.episode_return.n
            notes.append(f"the {side}: reward was not finite in {run.lost_returns} of {episodes} episodes")
    for name, value in control.settings.items():
        other = treatment.settings.get(name)
        if value is not None and other is not None and value != other:
            notes.append(f"the runs differ in {name}: {quoted(str(value))} and {quoted(str(other))}")
    for side, run in (("control", control), ("treatment", treatment)):
        if run.status != "finished":
            notes.append(f"the {side} is {run.status}: its figures are of what it has written so far")
    return notes
